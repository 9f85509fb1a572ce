"""BERT's rule for the tokens that a masked-LM loss hides: 80% [MASK], 10% a random word, 10% unchanged."""

from __future__ import annotations

import torch
from torch import Tensor

RULE = "80% [MASK], 10% random, 10% unchanged"  # part of a run's key


def disguised(ids: Tensor, mask_id: int, words: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """What the encoder reads in the place of hidden tokens: each one is drawn by itself.

    Unchanged and random words keep the encoder from relying on [MASK], which it never reads at evaluation.

    Args:
        ids: hidden token ids, of any shape.
        mask_id: id of [MASK].
        words: [V], the ids that a random word is drawn from, evenly.
        generator: of all draws, on any device; None takes torch's global one of the CPU.

    Returns:
        Token ids of the same shape, on the device of ``ids``.

    Reference: Devlin et al., BERT (NAACL 2019), section 3.1.
    """
    place = "cpu" if generator is None else generator.device
    action = torch.rand(ids.shape, generator=generator, device=place).to(ids.device)
    chosen = torch.randint(len(words), ids.shape, generator=generator, device=place)
    drawn = words.to(place)[chosen].to(ids.device)
    return torch.where(action < 0.8, mask_id, torch.where(action < 0.9, drawn, ids))
