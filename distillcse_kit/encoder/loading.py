"""Finding, checking and identifying model files before anything is loaded from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, AutoModelForMaskedLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from distillcse_kit.data.reading import one_line
from distillcse_kit.encoder.architectures import require_known
from distillcse_kit.encoder.head import FOLDER as HEAD
from distillcse_kit.encoder.hub import hub_folder
from distillcse_kit.encoder.makers_way import module_folders
from distillcse_kit.errors import KitError
from distillcse_kit.store import file_fingerprint

MICRO = Path(__file__).parent.parent / "micro"

# What decides an encoder that the kit or transformers has saved; a run folder also has files that change later.
_OWN_FILES = ("*.safetensors", "config.json", "tokenizer*", "vocab*", "distillcse.json")

# What may decide one that sentence-transformers has saved: settings, vocabularies and weights of all its modules.
_FILES = (".json", ".txt", ".model", ".jinja", ".safetensors")

_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


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


def model_folder(source: str | Path) -> Path:
    """The folder with a model's files: of "micro", of a folder as it is, of a hub name after downloading.

    Args:
        source: "micro", a folder, or a hub name ("owner/model", or "owner/model@revision").

    Raises:
        KitError: there is no such folder, or no such model on the hub.
    """
    if str(source) == "micro":
        if not MICRO.is_dir():
            raise KitError(f"The micro encoder is not at {MICRO}; install the kit again, or name another encoder.")
        return MICRO
    path = Path(source)
    if path.is_dir():
        return path
    if looks_like_a_path(source):
        raise KitError(f"There is no model folder {source}; give an existing folder, a hub name, or 'micro'.")
    return hub_folder(str(source))


def looks_like_a_path(source: str | Path) -> bool:
    """Whether a source is meant as a path, rather than as a hub name."""
    text = str(source).partition("@")[0]
    return Path(source).is_absolute() or text.startswith((".", "~")) or text.count("/") > 1 or "\\" in text


def load_masked_lm(source: str | Path) -> PreTrainedModel:
    """The same source as ``SentenceEncoder.load`` with its masked-LM head, for the auxiliary loss.

    A source without such a head gets one that torch's global generator draws.

    Raises:
        KitError: the architecture has no masked-LM head, or as ``SentenceEncoder.load``.
    """
    folder = model_folder(source)
    with quietly(), one_sentence(source):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        require_known(config, source)
        if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
            raise KitError(f"{config.model_type} has no masked-LM head; train {source} with mlm_weight 0.")
        return AutoModelForMaskedLM.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )


@contextmanager
def one_sentence(source: str | Path) -> Iterator[None]:
    """Turn what libraries raise about a model's files into one sentence that names the fix."""
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise KitError(
            f"The model {source} could not be loaded ({one_line(error)}); give a folder with config.json, a tokenizer "
            "and model.safetensors."
        ) from error


def source_fingerprint(source: str | Path) -> str:
    """What identifies "micro" or a folder: a hash of the files that decide its embeddings."""
    return file_fingerprint(*model_files(source))


def model_files(source: str | Path) -> list[Path]:
    """The files that decide an encoder, of "micro" or of a folder; none for a hub name."""
    path = MICRO if str(source) == "micro" else Path(source)
    if not path.is_dir():
        return []
    if (path / "distillcse.json").is_file() or not (path / "modules.json").is_file():
        inside = [file for file in path.iterdir() if any(fnmatch(file.name, pattern) for pattern in _OWN_FILES)]
        modules = (path / "1_Pooling" / "config.json", *(path / HEAD).glob("*"))
        return sorted(file for file in (*inside, *modules) if file.is_file())
    return sorted(file for folder in module_folders(path) for file in folder.iterdir() if file.suffix in _FILES)


def require_safe_weights(path: Path, source: str | Path) -> None:
    """KitError unless the folder holds a config, a tokenizer and safetensors weights.

    Args:
        path: the folder. source: what the user named it, for the message.
    """
    if not (path / "config.json").is_file():
        raise KitError(f"The model {source} has no config.json; give the folder that a model was saved into.")
    require_no_pickle(path, source)
    if not any(path.glob("*.safetensors")):
        raise KitError(f"The model {source} has no weights; it needs model.safetensors.")
    if not any(file for pattern in _TOKENIZERS for file in path.glob(pattern)):
        # transformers would make one without words, for which all sentences are alike.
        raise KitError(f"The model {source} has no tokenizer; save its tokenizer into the same folder.")


def require_no_pickle(path: Path, source: str | Path) -> None:
    """KitError if a folder has its weights as pickle only."""
    pickled = [file.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in path.glob(pattern)]
    if pickled and not any(path.glob("*.safetensors")):
        raise KitError(
            f"The model {source} has its weights as pickle only ({pickled[0]}), which can run foreign code; save it "
            "again with save_pretrained(..., safe_serialization=True), or name a revision of the hub model that has "
            "model.safetensors, as NAME@REVISION."
        )


def require_complete(missing: Iterable[str], model: PreTrainedModel, words: int, source: str | Path) -> None:
    """KitError if weights of the model were not in its files, or if the tokenizer knows words that the model does not.

    Args:
        missing: names of the weights that transformers has drawn at random instead; a pooler's may be among them.
        model: as loaded.
        words: the tokenizer's largest id, plus 1.
        source: for the message.
    """
    drawn = sorted(name for name in missing if not name.startswith("pooler."))
    if drawn:
        raise KitError(
            f"The model {source} lacks weights ({drawn[0]}{', ...' if drawn[1:] else ''}), and random ones would take "
            "their place; get its files again."
        )
    rows = len(cast("Tensor", model.get_input_embeddings().weight))
    if words > rows:
        raise KitError(
            f"The tokenizer of {source} has {words} tokens and the model only {rows}; give it the tokenizer that it "
            "was trained with."
        )
