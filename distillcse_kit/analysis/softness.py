"""What a set of teachers is when it is read as one: how soft its targets are, and how far its members agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distillcse_kit.analysis.logits import off_diagonal, unit_ranks
from distillcse_kit.errors import KitError


def mean_entropy(cosines: np.ndarray, temperature: float) -> float:
    """Entropy of the targets softmax_{j != i}(t_ij / temperature), mean over all rows: [..., N, N] -> nats."""
    logits = off_diagonal(np.asarray(cosines, dtype=np.float64)) / temperature
    logits -= logits.max(axis=-1, keepdims=True)
    weights = np.exp(logits)
    total = weights.sum(axis=-1)
    # H = ln sum_j e^z_j - sum_j q_j z_j
    return float((np.log(total) - (weights * logits).sum(axis=-1) / total).mean())


class Softness:
    """How soft the targets of any subset of M teachers are, as a temperature of single teachers.

    Teachers disagree, so that their mean's logits lie closer together than the logits of each, and its targets are
    softer: as if one teacher were read at a higher temperature. The effective temperature is that at which the chosen
    teachers' own targets have, on average, the entropy of their mean's targets.

    Args:
        cosines: of the teachers on one batch, [M, N, N].
        temperature: tau_t, at which the mean is read.

    Raises:
        KitError: the temperature is not positive.
    """

    def __init__(self, cosines: np.ndarray, temperature: float = 0.01) -> None:
        if not temperature > 0:
            raise KitError(f"The temperature is {temperature}; it must be greater than 0.")
        self.cosines, self.temperature = np.asarray(cosines, dtype=np.float64), temperature
        self._at = temperature * np.geomspace(1 / 16, 16, 161)  # neighbours differ by 3.5%; between them, a line
        self._entropy = np.array([[mean_entropy(own, at) for at in self._at] for own in self.cosines])

    def effective_temperature(self, teachers: Sequence[int]) -> float:
        """Of the mean of these teachers, at most 16 times ``temperature``; that itself for a single one."""
        chosen = list(teachers)
        wanted = mean_entropy(self.cosines[chosen].mean(axis=0), self.temperature)
        return float(np.exp(np.interp(wanted, self._entropy[chosen].mean(axis=0), np.log(self._at))))


def rank_agreement(cosines: np.ndarray) -> np.ndarray:
    """Spearman x 100 of a row's logits between each two teachers, mean over the rows: [M, N, N] -> [M, M]."""
    ranks = unit_ranks(off_diagonal(np.asarray(cosines, dtype=np.float64)))
    return 100 * np.einsum("arj,brj->ab", ranks, ranks, optimize=True) / ranks.shape[1]
