"""The files beside the weights that tell other libraries how to pool."""

from __future__ import annotations

from typing import Any

from distillcse_kit.config import Pooling

# Old class names: sentence-transformers 6 still maps them, older versions know only them.
_ST_TRANSFORMER = "sentence_transformers.models.Transformer"

_ST_POOLING = "sentence_transformers.models.Pooling"

_ST_POOLING_MODES = {"cls": "cls", "cls_before_pooler": "cls", "avg": "mean"}


def sentence_transformers_files(pooling: Pooling, width: int, max_tokens: int) -> dict[str, Any]:
    """The small JSON files that tell sentence-transformers how to pool.

    Without them it would load a BERT folder with mean pooling. It has nothing like the poolers over several layers: for
    those, only our own file names the pooling, and modules.json is left out.
    """
    files: dict[str, Any] = {"distillcse.json": {"pooling": pooling}}
    if pooling not in _ST_POOLING_MODES:
        return files
    mode = _ST_POOLING_MODES[pooling]
    files["modules.json"] = [
        {"idx": 0, "name": "0", "path": "", "type": _ST_TRANSFORMER},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": _ST_POOLING},
    ]
    files["1_Pooling/config.json"] = {
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": mode == "cls",
        "pooling_mode_mean_tokens": mode == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    files["sentence_bert_config.json"] = {"max_seq_length": max_tokens, "do_lower_case": False}
    return files
