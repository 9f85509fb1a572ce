"""Pooling: how token states become one vector a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from distillcse_kit.config import POOLINGS, Pooling, choose


def pool(hidden_states: Sequence[Tensor], attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """Pool the token states of all layers into one vector a sentence.

        cls, cls_before_pooler    h_last[CLS] (they differ in training: only "cls" has a head)
        avg                       mean over tokens of h_last
        avg_top2                  mean over tokens of (h_last + h_{last - 1}) / 2
        avg_first_last            mean over tokens of (h_1 + h_last) / 2, h_1 = output of the first layer

    Args:
        hidden_states: embedding output and each layer's output, each [N, L, d].
        attention_mask: [N, L], 1 for tokens, 0 for padding.

    Returns:
        [N, d].

    Raises:
        KitError: unknown pooling.
    """
    choose("pooling", pooling, POOLINGS)
    last = hidden_states[-1]
    if pooling in ("cls", "cls_before_pooler"):
        return last[:, 0]
    if pooling == "avg_top2":
        last = (last + hidden_states[-2]) / 2
    elif pooling == "avg_first_last":
        last = (last + hidden_states[1]) / 2
    weights = attention_mask.unsqueeze(-1).to(last.dtype)
    return (last * weights).sum(1) / weights.sum(1).clamp(min=1)
