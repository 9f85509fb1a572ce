"""How the maker of a model means it to embed sentences, as its folder says it.

The kit saves ``distillcse.json``. sentence-transformers saves ``modules.json``, a list of modules that a sentence
passes through, with a settings file for each. The kit's own encoder does the usual ones: a transformer, pooling by
[CLS] or by the mean, and scaling to length 1. Whatever a folder asks for beyond that is named here, and left to
sentence-transformers itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillcse_kit.config import POOLINGS, Pooling, choose
from distillcse_kit.data.reading import one_line
from distillcse_kit.encoder.architectures import computes
from distillcse_kit.errors import KitError

# sentence-transformers' names of pooling, and the flags that older versions wrote instead.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_OURS: dict[str, Pooling] = {"cls": "cls", "mean": "avg"}

_TRANSFORMER_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_USUAL = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
_WITH_HEAD = (["Transformer", "Pooling", "Dense"], ["Transformer", "Pooling", "Dense", "Normalize"])
_TOKEN_STATES = {"method": "forward", "method_output_name": "last_hidden_state"}


@dataclass(frozen=True)
class MakersWay:
    """What a folder says about embedding a sentence.

    Attributes:
        pooling: how token states become a sentence embedding; "cls" where the folder says nothing, as in SimCSE.
        normalised: whether embeddings are scaled to length 1.
        max_tokens: the longest input in word pieces; None where only the model's positions limit it.
        head: whether the kit's training head comes after the pooling.
        beyond: what the kit's own encoder does not do, in words such as "max pooling"; empty if it does everything.
    """

    pooling: Pooling = "cls"
    normalised: bool = False
    max_tokens: int | None = None
    beyond: str = ""
    head: bool = False


def makers_way(folder: Path) -> MakersWay:
    """Read what a model folder says about embedding sentences.

    Raises:
        KitError: one of its files is damaged, or asks for code that comes with the model.
    """
    modules = _read(folder / "modules.json", [])
    kinds = [_kind(module, folder) for module in modules]
    own = _read(folder / "distillcse.json", {})
    limit = _transformer_settings(folder).get("max_seq_length")
    head = bool(own.get("head"))
    if head and "Dense" not in kinds:
        raise KitError(f"{folder} keeps a head, which its modules.json does not name; get the model's files again.")
    if own and kinds in (_WITH_HEAD if head else ([], *_USUAL)):
        choose("pooling", own["pooling"], POOLINGS)
        return MakersWay(own["pooling"], own.get("normalised", False), limit, head=head)
    if not modules:
        return MakersWay(*_pooling(folder / "1_Pooling")[:1])
    if reason := _unusual(kinds, modules) or _prompt(folder) or _transformer(folder):
        return MakersWay(beyond=reason)
    pooling, reason = _pooling(folder / modules[1]["path"])
    return MakersWay(pooling, "Normalize" in kinds, limit, reason)


def module_folders(folder: Path) -> list[Path]:
    """The folders of all modules of a folder that sentence-transformers has saved, itself included.

    A module without settings has an empty folder, which neither the hub nor git keeps.
    """
    named = [folder / module["path"] for module in _read(folder / "modules.json", []) if module["path"]]
    return [folder, *(path for path in named if path.is_dir())]


def _read(path: Path, otherwise: Any) -> Any:
    """A JSON file's content; ``otherwise`` where there is no such file."""
    if not path.is_file():
        return otherwise
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KitError(f"{path} is damaged ({one_line(error)}); get the model's files again.") from error
    if not isinstance(found, type(otherwise)):
        raise KitError(f"{path} is damaged (not what sentence-transformers writes); get the model's files again.")
    return found


def _kind(module: dict[str, Any], folder: Path) -> str:
    """The name of a module's class."""
    library, _, kind = str(module.get("type")).rpartition(".")
    if library.split(".")[0] != "sentence_transformers" or not isinstance(module.get("path"), str):
        raise KitError(
            f"The model {folder} needs code of its own ({module.get('type')}), which the kit never runs; give a model "
            "without such code."
        )
    return kind


def _unusual(kinds: list[str], modules: list[dict[str, Any]]) -> str:
    """The first module that the kit's own encoder does not have."""
    if kinds[:1] != ["Transformer"]:
        return f"a module of the kind {kinds[0]}"
    if modules[0]["path"]:
        return "its transformer in a folder of its own"
    for kind in kinds[1:]:
        if kind not in ("Pooling", "Normalize"):
            return f"a module of the kind {kind}"
    if kinds not in _USUAL:
        return f"the modules {', '.join(kinds)}"
    return "settings of single modules" if any(module.get("kwargs") for module in modules) else ""


def _prompt(folder: Path) -> str:
    """What is put before every sentence, or made of the embedding afterwards."""
    about = _read(folder / "config_sentence_transformers.json", {})
    if about.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        return f"the type {about['model_type']}"
    name = about.get("default_prompt_name")
    return "a prompt before each sentence" if name and (about.get("prompts") or {}).get(name) else ""


def _transformer_settings(folder: Path) -> dict[str, Any]:
    found = (_read(folder / name, {}) for name in _TRANSFORMER_SETTINGS)
    return next((settings for settings in found if settings), {})


def _transformer(folder: Path) -> str:
    """What is unusual about the transformer."""
    settings, config = _transformer_settings(folder), _read(folder / "config.json", {})
    kind, is_decoder = config.get("model_type", ""), config.get("is_decoder", False)
    if not computes(kind, is_decoder):
        return f"the architecture {kind}" + (", as a decoder" if is_decoder else "")
    if _read(folder / "tokenizer_config.json", {}).get("padding_side", "right") != "right":
        return "padding on the left"
    if settings.get("modality_config", {}).get("text", _TOKEN_STATES) != _TOKEN_STATES:
        return "another output than the last layer's"
    usual = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
    known = {"max_seq_length", "modality_config", *usual}
    for name, value in settings.items():
        if (value and name not in known) or (name in usual and value != usual[name]):
            return f"the setting {name} of its transformer"
    return ""


def _pooling(folder: Path) -> tuple[Pooling, str]:
    """The pooling of a Pooling module, and what the kit's own encoder cannot do of it."""
    settings = _read(folder / "config.json", {})
    if not settings:
        return "cls", ""
    modes = settings.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if settings.get(flag)] or "mean"
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) > 1:
        return "cls", f"poolings side by side ({', '.join(modes)})"
    ours = _OURS.get(modes[0])
    return (ours, "") if ours else ("cls", f"{modes[0]} pooling")
