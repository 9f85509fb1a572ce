"""BERT's rule for hidden words, over many draws and beside the pretraining's own masking."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from distillcse_kit.training.hidden_words import disguised
from distillcse_kit.training.masked_lm import mask_tokens
from distillcse_kit.training.word_pieces import SPECIAL_TOKENS

MASK, N = 4, 60_000


def drawn(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    words = torch.tensor([7, 9, 12, 30])
    ids = torch.full((300, N // 300), 50)  # no random word equals it
    return disguised(ids, MASK, words, torch.Generator().manual_seed(seed)), words


def test_the_shares_are_berts() -> None:
    found, words = drawn()
    counts = [int((found == MASK).sum()), int(torch.isin(found, words).sum()), int((found == 50).sum())]
    assert sum(counts) == N == found.numel()
    assert stats.chisquare(counts, [0.8 * N, 0.1 * N, 0.1 * N]).pvalue > 1e-4


def test_random_words_are_drawn_evenly_from_the_given_ones_alone() -> None:
    found, words = drawn()
    counts = [int((found == word).sum()) for word in words]
    assert stats.chisquare(counts).pvalue > 1e-4


def test_each_token_is_drawn_by_itself() -> None:
    """The number of [MASK] in rows of 200 scatters as a binomial does."""
    found, _ = drawn()
    masked = (found == MASK).sum(dim=1).double().numpy()
    assert 1e-4 < stats.chi2(299).cdf(299 * np.var(masked, ddof=1) / (200 * 0.8 * 0.2)) < 1 - 1e-4


def test_a_seed_decides_the_draw() -> None:
    assert torch.equal(drawn(1)[0], drawn(1)[0]) and not torch.equal(drawn(1)[0], drawn(2)[0])


def test_pretraining_disguises_by_the_same_rule() -> None:
    ids = torch.randint(len(SPECIAL_TOKENS), 100, (40, 20), generator=torch.Generator().manual_seed(5))
    masked, positions, labels = mask_tokens(ids, 0.5, MASK, 100, torch.Generator().manual_seed(6))
    again = torch.Generator().manual_seed(6)
    torch.rand(ids.shape, generator=again)  # the draw that chooses the positions
    expected = disguised(labels, MASK, torch.arange(len(SPECIAL_TOKENS), 100), again)
    assert torch.equal(masked.flatten()[positions], expected)
