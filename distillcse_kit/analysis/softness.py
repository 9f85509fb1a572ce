"""Several teachers as one: how soft the targets of their mean are, and how much they agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distillcse_kit.analysis.logits import off_diagonal, unit_ranks
from distillcse_kit.errors import KitError


def mean_entropy(cosines: np.ndarray, temperature: float) -> float:
    """Mean entropy of the targets softmax_{j != i}(t_ij / temperature) over all rows, [..., N, N] -> nats."""
    logits = off_diagonal(np.asarray(cosines, dtype=np.float64)) / temperature
    logits -= logits.max(axis=-1, keepdims=True)
    weights = np.exp(logits)
    total = weights.sum(axis=-1)
    # H = ln sum_j e^z_j - sum_j q_j z_j
    return float((np.log(total) - (weights * logits).sum(axis=-1) / total).mean())


class Softness:
    """How soft the targets of any subset of M teachers are, expressed as a temperature for a single teacher.

    Teachers disagree, so the logits of their mean lie closer together than those of each teacher, and its targets are
    softer, as if a single teacher had a higher temperature. At the effective temperature, the chosen teachers' own
    targets have on average the same entropy as the targets of their mean at ``temperature``.

    Args:
        cosines: of the teachers on one batch, [M, N, N].
        temperature: tau_t of the mean's targets, greater than 0; it has the unit of a cosine.

    Raises:
        KitError: the temperature is not positive.
    """

    def __init__(self, cosines: np.ndarray, temperature: float = 0.01) -> None:
        if not temperature > 0:
            raise KitError(f"The temperature is {temperature}; it must be greater than 0.")
        self.cosines, self.temperature = np.asarray(cosines, dtype=np.float64), temperature
        self._at = temperature * np.geomspace(1 / 16, 16, 161)  # steps of 3.5%, interpolated linearly
        self._entropy = np.array([[mean_entropy(own, at) for at in self._at] for own in self.cosines])

    def effective_temperature(self, teachers: Sequence[int]) -> float:
        """Effective temperature of the mean of these teachers, at most 16 times ``temperature``.

        For a single teacher it is ``temperature`` itself.
        """
        chosen = list(teachers)
        wanted = mean_entropy(self.cosines[chosen].mean(axis=0), self.temperature)
        return float(np.exp(np.interp(wanted, self._entropy[chosen].mean(axis=0), np.log(self._at))))


def rank_agreement(cosines: np.ndarray) -> np.ndarray:
    """Spearman x 100 between each two teachers' logits of a row, mean over rows: [M, N, N] -> [M, M]."""
    ranks = unit_ranks(off_diagonal(np.asarray(cosines, dtype=np.float64)))
    return 100 * np.einsum("arj,brj->ab", ranks, ranks, optimize=True) / ranks.shape[1]
