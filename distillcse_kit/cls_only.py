"""The [CLS] state without the work that nobody reads.

In the last layer of a BERT the [CLS] state depends on the other tokens through their keys and values alone. Their own
queries, attention outputs and feed-forward states are computed in vain where [CLS] is the embedding. Leaving them out
gives the same state and the same gradients, and saves 10 of the last layer's 12 d^2 products a token: 28% of all
products in an encoder of 3 layers, 7% in one of 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask

# These share BERT's modules, under the same names.
_LIKE_BERT = ("bert", "roberta", "xlm-roberta", "camembert")


def is_like_bert(model: PreTrainedModel) -> bool:
    """Whether ``cls_state`` knows the model's parts."""
    config = model.config
    return config.model_type in _LIKE_BERT and not (config.is_decoder or config.add_cross_attention)


def cls_state(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """``model(**batch).last_hidden_state[:, 0]`` of an encoder like BERT.

    Args:
        model: for which ``is_like_bert`` holds.
        batch: "input_ids" and "attention_mask", [N, L].

    Returns:
        [N, d], with gradient and, in training mode, with dropout.
    """
    hidden = model.embeddings(input_ids=batch["input_ids"])
    mask = create_bidirectional_mask(model.config, inputs_embeds=hidden, attention_mask=batch["attention_mask"])
    *layers, last = model.encoder.layer
    for layer in layers:
        hidden = layer(hidden, mask)
    return _cls_of_layer(last, hidden, batch["attention_mask"].bool())


def _cls_of_layer(layer: Any, hidden: Tensor, mask: Tensor) -> Tensor:
    """The first token's output of one layer: [N, L, d] and a mask that is True for tokens -> [N, d]."""
    attention, first = layer.attention, hidden[:, :1]
    parts = attention.self
    shape = (len(hidden), -1, parts.num_attention_heads, parts.attention_head_size)
    query, key, value = (
        project(states).view(shape).transpose(1, 2)
        for project, states in ((parts.query, first), (parts.key, hidden), (parts.value, hidden))
    )
    scores = query @ key.transpose(2, 3) * parts.scaling  # [N, heads, 1, L]
    weights = torch.softmax(scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min), dim=-1)
    context = parts.dropout(weights).to(value.dtype) @ value
    context = context.transpose(1, 2).flatten(2)
    return layer.feed_forward_chunk(attention.output(context, first))[:, 0]
