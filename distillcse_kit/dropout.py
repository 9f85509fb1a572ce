"""Dropout whose masks are cheap on a processor.

torch draws one random number for each element, one after the other, which is a tenth of a training step and more. Here
one draw of 64 bits decides four elements. The share that is dropped is p to within 1 / 131,072.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

ATTENTION = "distillcse_kit"
_LEVELS = 2**16


def dropout_mask(shape: torch.Size, p: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Independent elements, 0 with probability p and 1 / (1 - p) otherwise, from torch's global generator.

    p, below 1, is rounded to a multiple of 2^-16, and the rounded one scales, so that the mean is exactly 1.
    """
    dropped = min(round(p * _LEVELS), _LEVELS - 1)
    draws = torch.empty((shape.numel() + 3) // 4, dtype=torch.long).random_(-(2**63), None)
    levels = draws.view(torch.int16)[: shape.numel()].view(shape)
    return (levels >= dropped - _LEVELS // 2).to(dtype).mul_(_LEVELS / (_LEVELS - dropped))


class CheapDropout(nn.Dropout):
    """``nn.Dropout`` with masks of ``dropout_mask``; on other devices than a processor, ``nn.Dropout`` itself."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p in (0, 1) or input.device.type != "cpu":
            return super().forward(input)
        return input * dropout_mask(input.shape, self.p, input.dtype)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """Attention as ``transformers`` writes it out, with the module's own (cheap) dropout: [N, heads, L, d_head]."""
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = torch.softmax(scores, dim=-1)
    if dropout:
        weights = module.dropout(weights)
    return (weights.to(value.dtype) @ value).transpose(1, 2), weights


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


def use_cheap_dropout(model: PreTrainedModel) -> None:
    """Replace the dropout of a BERT-like model, in place; its weights and its settings stay as they are."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, CheapDropout(child.p).train(child.training))
    model.set_attn_implementation(ATTENTION)
