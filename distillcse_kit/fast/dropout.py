"""Dropout whose masks are cheap on a processor.

Measured on two cores without bfloat16 (`distillcse bench --tricks`): with torch's masks instead, a training step takes
1.06 [1.06, 1.06] times as long. It is also what lets a run draw its masks from a generator of its own.

torch draws one random number for each element, one after the other. Here one draw of 64 bits, by a quicker generator,
decides four elements. The share that is dropped is p to within 1 / 131,072.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

_LEVELS = 2**16

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # an element's bytes, as whole numbers

_here = threading.local()  # .stream: what draws the masks in this thread


@contextmanager
def mask_stream(seed: int) -> Iterator[None]:
    """Inside, all masks of this thread come from one stream, which depends on the seed alone."""
    outer = getattr(_here, "stream", None)
    _here.stream = np.random.SFC64(seed)
    try:
        yield
    finally:
        _here.stream = outer


def dropout_mask(shape: torch.Size, p: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Independent elements, 0 with probability p and 1 / (1 - p) otherwise.

    They come from the thread's ``mask_stream``. Outside of one, torch's global generator is drawn from, as nn.Dropout
    does, to seed a new stream. p, below 1, is rounded to a multiple of 2^-16; the scale follows the rounded p, so the
    mean is exactly 1.
    """
    dropped = min(round(p * _LEVELS), _LEVELS - 1)
    stream = getattr(_here, "stream", None) or np.random.SFC64(int(torch.randint(2**63 - 1, ())))
    draws = stream.random_raw((shape.numel() + 3) // 4)
    kept = draws.view(np.int16)[: shape.numel()] >= dropped - _LEVELS // 2
    # The bits of 1 / (1 - p), times 0 or 1: numpy is several times quicker at this than torch, but knows no bfloat16.
    scale = torch.tensor(_LEVELS / (_LEVELS - dropped), dtype=dtype)
    bits = scale.view(_BITS[scale.element_size()]).numpy()
    return torch.from_numpy(np.multiply(kept, bits, dtype=bits.dtype)).view(dtype).view(shape)


class CheapDropout(nn.Dropout):
    """``nn.Dropout`` with the masks of ``dropout_mask`` on a processor; elsewhere ``nn.Dropout`` itself."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p in (0, 1) or input.device.type != "cpu":
            return super().forward(input)
        return input * dropout_mask(input.shape, self.p, input.dtype)


def use_cheap_dropout(model: nn.Module) -> None:
    """Replace the dropout of a model in place; its weights and its settings stay as they are."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, CheapDropout(child.p).train(child.training))


def has_cheap_dropout(model: nn.Module) -> bool:
    """Whether ``use_cheap_dropout`` was applied to the model or to a part of it."""
    return any(isinstance(module, CheapDropout) for module in model.modules())
