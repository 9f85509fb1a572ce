"""Finding, checking and identifying model files before anything is loaded from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from distillcse_kit.config import Pooling
from distillcse_kit.data.reading import one_line
from distillcse_kit.errors import KitError
from distillcse_kit.store import file_fingerprint

MICRO = Path(__file__).parent.parent / "micro"

# What decides an encoder; a run folder also has files that change when it is scored.
_MODEL_FILES = ("*.safetensors", "config.json", "tokenizer*", "vocab*", "distillcse.json", "1_Pooling/config.json")


@contextmanager
def quietly() -> Iterator[None]:
    """Load or save without progress bars, and without a report on the masked-LM head that an encoder leaves behind.

    Afterwards transformers reports and shows bars as it did before.
    """
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def load_masked_lm(source: str | Path) -> PreTrainedModel:
    """The same source as ``SentenceEncoder.load`` with its masked-LM head, for the auxiliary loss.

    A source without such a head gets one that torch's global generator draws.
    """
    path = MICRO if str(source) == "micro" else Path(source)
    where = str(path) if path.is_dir() else str(source)
    with quietly():
        return AutoModelForMaskedLM.from_pretrained(
            where, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )


def source_fingerprint(source: str | Path) -> str:
    """What identifies a training start: the weights' hash for "micro" and folders, the name itself for hub models."""
    files = model_files(source)
    return file_fingerprint(*files) if files else str(source)


def model_files(source: str | Path) -> list[Path]:
    """The files that decide an encoder, of "micro" or of a folder; none for a hub name."""
    path = MICRO if str(source) == "micro" else Path(source)
    return sorted(file for pattern in _MODEL_FILES for file in path.glob(pattern)) if path.is_dir() else []


def hub_revision(name: str) -> str:
    """The commit that a hub name stands for now, from the local cache or the hub; downloads one small file at most.

    Raises:
        KitError: the hub has no such model, or cannot be reached.
    """
    try:
        return Path(str(cached_file(name, "config.json"))).parent.name
    except (OSError, ValueError) as error:
        raise KitError(f"The hub model {name} could not be found ({one_line(error)}); check its name.") from error


def require_safe_weights(path: Path) -> None:
    """KitError unless the folder holds a config and safetensors weights."""
    if not (path / "config.json").is_file():
        raise KitError(f"The model folder {path} has no config.json; give the folder that a model was saved into.")
    if not any(path.glob("*.safetensors")):
        pickled = [file.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in path.glob(pattern)]
        if pickled:
            raise KitError(
                f"The model folder {path} has its weights as pickle only ({pickled[0]}), which can run foreign code; "
                "save it again with save_pretrained(..., safe_serialization=True)."
            )
        raise KitError(f"The model folder {path} has no weights; it needs model.safetensors.")


def stored_pooling(path: Path) -> Pooling:
    """The pooling that a saved folder names: our own file first, then sentence-transformers' one; else "cls"."""
    own, pooling_file = path / "distillcse.json", path / "1_Pooling" / "config.json"
    if own.is_file():
        return json.loads(own.read_text(encoding="utf-8"))["pooling"]
    if pooling_file.is_file():
        config = json.loads(pooling_file.read_text(encoding="utf-8"))
        mean = config.get("pooling_mode") == "mean" or config.get("pooling_mode_mean_tokens")
        return "avg" if mean else "cls"
    return "cls"
