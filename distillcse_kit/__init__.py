"""DistillCSE Kit: sentence embeddings distilled from teachers of the same kind.

    import distillcse_kit as dk

``dk`` offers the names below. Each is loaded when it is first used, so importing the kit takes no time and no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distillcse_kit import explorers
    from distillcse_kit.data.corpus import load_corpus
    from distillcse_kit.data.sts import load_sts
    from distillcse_kit.encoder.library_encoder import load_encoder
    from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
    from distillcse_kit.evaluation.scoring import evaluate_sts
    from distillcse_kit.laboratory.laboratory import Laboratory
    from distillcse_kit.method.ensemble import TeacherEnsemble
    from distillcse_kit.method.losses import contrastive_loss, distillation_loss
    from distillcse_kit.method.shuffling import group_mean, group_p_shuffle
    from distillcse_kit.training.recipe import Recipe

__version__ = "0.1.0"  # the only place: pyproject.toml reads it from here

__all__ = [
    "Laboratory",
    "Recipe",
    "SentenceEncoder",
    "TeacherEnsemble",
    "__version__",
    "contrastive_loss",
    "distillation_loss",
    "evaluate_sts",
    "explorers",
    "group_mean",
    "group_p_shuffle",
    "load_corpus",
    "load_encoder",
    "load_sts",
]

# Where each name is defined.
_HOMES = {
    "Laboratory": "laboratory.laboratory",
    "Recipe": "training.recipe",
    "SentenceEncoder": "encoder.sentence_encoder",
    "TeacherEnsemble": "method.ensemble",
    "contrastive_loss": "method.losses",
    "distillation_loss": "method.losses",
    "evaluate_sts": "evaluation.scoring",
    "group_mean": "method.shuffling",
    "group_p_shuffle": "method.shuffling",
    "load_corpus": "data.corpus",
    "load_encoder": "encoder.library_encoder",
    "load_sts": "data.sts",
}


def __getattr__(name: str) -> Any:
    """A public name, loaded now and kept (PEP 562)."""
    if name == "explorers":
        found: Any = importlib.import_module("distillcse_kit.explorers")
    elif name in _HOMES:
        found = getattr(importlib.import_module(f"distillcse_kit.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
