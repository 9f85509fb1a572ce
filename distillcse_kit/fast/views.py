"""The views of a batch, each computed in a thread of its own: sentences twice under two dropout masks, or pairs.

Measured with ``threads``: 1.05 of a training step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from distillcse_kit.fast.dropout import has_cheap_dropout, mask_stream
from distillcse_kit.fast.threads import in_threads

Batch = Mapping[str, Tensor]


def two_views(model: nn.Module, batch: Batch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """``model(batch)`` twice, with gradient.

    With the dropout of ``use_cheap_dropout``, on a processor, each view draws its masks from a stream of its own. So
    the result does not depend on how many threads there are. Without it, both views go through the model in one pass.

    Args:
        model: takes a batch of N sentences to [N, d]; its result depends on its weights, the batch and dropout only.
        batch: tensors with a row for each sentence.
        generator: draws a seed for each stream; None takes torch's global one. A single pass always draws from that.

    Returns:
        [N, d] and [N, d].
    """
    if not has_cheap_dropout(model):
        both = model({key: torch.cat([value, value]) for key, value in batch.items()})
        return both.chunk(2)  # type: ignore[return-value]
    return views_of(model, [batch, batch], generator)  # type: ignore[return-value]


def views_of(
    model: nn.Module, batches: Sequence[Batch], generator: torch.Generator | None = None
) -> tuple[Tensor, ...]:
    """``model(batch)`` of each batch, with gradient and with dropout masks of its own: for pairs and hard negatives.

    Args:
        model, generator: as for ``two_views``.
        batches: their widths may differ.

    Returns:
        [N, d] for each batch.
    """
    if not has_cheap_dropout(model):
        return tuple(model(batch) for batch in batches)
    kind = next(iter(batches[0].values())).device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    seeds = torch.randint(2**63 - 1, (len(batches),), generator=generator).tolist()
    passes = [
        partial(_one_view, model, batch, seed, kind, precision) for batch, seed in zip(batches, seeds, strict=True)
    ]
    return _SideBySide.apply(passes, *(weight for weight in model.parameters() if weight.requires_grad))


def _one_view(model: nn.Module, batch: Batch, seed: int, kind: str, precision: torch.dtype | None) -> Tensor:
    """A pass with gradient; it sets autocast and gradient mode, which each thread has for itself."""
    with torch.enable_grad(), torch.autocast(kind, precision, enabled=precision is not None), mask_stream(seed):
        return model(batch)


class _SideBySide(torch.autograd.Function):
    """Passes side by side, forward and then backward."""

    @staticmethod
    def forward(ctx: Any, passes: list[Callable[[], Tensor]], *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.weights = weights
        ctx.views = list(in_threads(passes))
        return tuple(view.detach() for view in ctx.views)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        works = [
            partial(torch.autograd.grad, view, ctx.weights, gradient, allow_unused=True)
            for view, gradient in zip(ctx.views, gradients, strict=True)
        ]
        found = list(in_threads(works))
        return None, *(_sum(parts) for parts in zip(*found, strict=True))


def _sum(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """Always in this order, because sums of floats depend on it. Not in place: two weights may share one gradient."""
    known = [gradient for gradient in gradients if gradient is not None]
    return sum(known[1:], start=known[0]) if known else None
