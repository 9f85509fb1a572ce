"""What is saved beside the weights, so that other libraries embed as the kit does and report nothing missing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig

from distillcse_kit.config import Pooling
from distillcse_kit.encoder.architectures import has_pooler, model_class
from distillcse_kit.encoder.head import FOLDER

# Old class names: sentence-transformers 6 still maps them, older versions know only them.
_ST = "sentence_transformers.models."

_ST_POOLING_MODES = {"cls": "cls", "cls_before_pooler": "cls", "avg": "mean"}


def sentence_transformers_files(
    pooling: Pooling, width: int, max_tokens: int, normalised: bool, head: bool = False
) -> dict[str, Any]:
    """The small JSON files that tell sentence-transformers how to embed.

    Without them it would load a BERT folder with mean pooling. It has nothing like the poolers over several layers: for
    those, only our own file names the pooling, and modules.json is left out.
    """
    files: dict[str, Any] = {
        "distillcse.json": {"pooling": pooling}
        | ({"normalised": True} if normalised else {})
        | ({"head": True} if head else {}),
        "sentence_bert_config.json": {"max_seq_length": max_tokens, "do_lower_case": False},
    }
    if pooling not in _ST_POOLING_MODES:
        return files
    mode = _ST_POOLING_MODES[pooling]
    kinds = ["Transformer", "Pooling", *["Dense"] * head, *["Normalize"] * normalised]
    files["modules.json"] = [
        {"idx": place, "name": str(place), "path": f"{place}_{kind}" if place else "", "type": _ST + kind}
        for place, kind in enumerate(kinds)
    ]
    files["1_Pooling/config.json"] = {
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": mode == "cls",
        "pooling_mode_mean_tokens": mode == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    if head:
        files[f"{FOLDER}/config.json"] = {
            "in_features": width,
            "out_features": width,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        }
    return files


def plain_pooler(config: PretrainedConfig) -> dict[str, Tensor]:
    """Weights of transformers' own pooler that leave the [CLS] state as it is, up to its tanh; {} where there is none.

    The kit does not use that pooler. Without weights for it, transformers would draw random ones at each loading, and
    report them missing.
    """
    if not has_pooler(config):
        return {}
    with torch.device("meta"):
        whole = model_class(config)(config)
    shapes = {name: weight.shape for name, weight in whole.state_dict().items() if name.startswith("pooler.")}
    return {name: torch.eye(*shape) if len(shape) == 2 else torch.zeros(shape) for name, shape in shapes.items()}
