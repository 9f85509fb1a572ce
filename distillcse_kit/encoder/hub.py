"""Models of the Hugging Face hub: a name becomes a commit first, and then a folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from distillcse_kit.data.reading import one_line
from distillcse_kit.errors import KitError

# Settings, vocabularies and safe weights; not the same weights again in other formats, and no pickles.
_WANTED = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
_NOT_WANTED = ("onnx/*", "openvino/*", "*.fp16.safetensors", "consolidated*")

_FEW = ("config.json", "modules.json")  # enough to learn the commit


@lru_cache(maxsize=1_024)
def hub_revision(name: str) -> str:
    """The commit that a hub name stands for, from the hub, or from the local cache where the hub cannot be reached.

    A process asks once for each name. So all that it does with a name is done with the same commit.

    Args:
        name: "owner/model", or "owner/model@revision" with a branch, tag or commit.

    Raises:
        KitError: the hub has no such model, or can't be reached and the cache does not have it.
    """
    return _snapshot(name, None, _FEW).name


@lru_cache(maxsize=1_024)
def hub_folder(name: str) -> Path:
    """A folder with the files of a hub model, at the commit of ``hub_revision``; missing ones are downloaded.

    Raises:
        KitError: as ``hub_revision``.
    """
    return _snapshot(name, hub_revision(name), _WANTED)


def _snapshot(name: str, commit: str | None, patterns: tuple[str, ...]) -> Path:
    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=commit or revision or None,
                allow_patterns=list(patterns),
                ignore_patterns=list(_NOT_WANTED),
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise KitError(
            f"The hub model {name} could not be found ({one_line(error)}); check its name, and that the hub can be "
            "reached."
        ) from error
