"""How much an encoder drops in training: the rates that its config names, under one name in each architecture."""

from __future__ import annotations

import re

from transformers import PreTrainedConfig

from distillcse_kit.errors import KitError

_RATE = re.compile(r"\w*(dropout|dropout_prob|dropout_rate|pdrop)")

# Rates of what stands behind the encoder: poolers, and the heads of other tasks.
_OF_HEADS = re.compile(r"(classif|seq_classif|cls|pooler|summary|qa|head|token)\w*")


def dropout_names(config: PreTrainedConfig) -> list[str]:
    """The fields of a config that hold a dropout rate of the encoder itself, such as ``hidden_dropout_prob``."""
    return [
        name
        for name, value in config.to_dict().items()
        if _RATE.fullmatch(name) and not _OF_HEADS.match(name) and type(value) in (int, float)
    ]


def set_dropout(config: PreTrainedConfig, rate: float | None, source: str) -> None:
    """Set all dropout rates of the encoder in its config, before the model is built: some leave dropout of 0 out.

    Args:
        config: is changed.
        rate: in [0, 1); None leaves the config as it is.
        source: what the config was loaded from, for the message.

    Raises:
        KitError: the config has no field for a dropout rate.
    """
    if rate is None:
        return
    names = dropout_names(config)
    if not names:
        raise KitError(
            f"The config of {source} ({config.model_type}) has no dropout rate that could be set to {rate}; "
            "leave dropout out, or choose another base."
        )
    for name in names:
        setattr(config, name, float(rate))
