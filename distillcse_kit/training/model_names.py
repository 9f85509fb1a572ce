"""Names of models in keys: what a run folder or any other encoder is, whatever it is called."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from distillcse_kit.encoder.hub import hub_revision
from distillcse_kit.encoder.loading import model_files, source_fingerprint
from distillcse_kit.store import key_of, read_json

# What a run folder's run.json holds beside everything that decides the run.
_NOT_IN_THE_KEY = ("versions", "seconds", "device", "model")


def run_key(folder: Path) -> str | None:
    """The key of a run folder; None if it is none, or if its model is no longer the one that training saved there.

    So a copy has the key of the run, under any name, until its weights are changed.
    """
    if not (folder / "run.json").is_file():
        return None
    about = read_json(folder / "run.json")
    content = {name: value for name, value in about.items() if name not in _NOT_IN_THE_KEY}
    return key_of(content) if about.get("model") == model_identity(str(folder)) else None


def encoder_name(source: str) -> str:
    """An encoder's name in keys: a hash of its files, or its hub name with the commit.

    Raises:
        KitError: a hub model that cannot be reached.
    """
    return model_identity(source) if model_files(source) else f"{source.partition('@')[0]}@{hub_revision(source)}"


def model_identity(source: str) -> str:
    """``source_fingerprint``, computed again only if a file of the model has changed."""
    states = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in model_files(source))
    return _identity(source, states)


@lru_cache(maxsize=4_096)
def _identity(source: str, states: tuple[tuple[str, int, int], ...]) -> str:
    return source_fingerprint(source)
