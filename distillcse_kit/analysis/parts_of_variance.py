"""Where the variance of the teachers' logits comes from: the pair, the teacher, or both together (beyond the paper).

The model is a crossed two-way random model, in which every teacher m judges every pair p once:

    t_mp = mean + pair_p + teacher_m + interaction_mp

The paper's Table 2 gives one spread over teachers. Here that spread has two parts. The first is how high a teacher
rates all pairs alike, which a softmax over a row does not see. The second is the teacher's opinion of single pairs,
which is what a student overfits. (The paper's "teacher components", Eq 7, are something else: the average of several
teachers' logits, in ``method.ensemble``.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distillcse_kit.errors import KitError


@dataclass(frozen=True)
class VariancePart:
    """One part of the variance, in the unit of squared cosines.

    Attributes:
        name: "pair", "teacher" or "interaction".
        variance: unbiased estimate. Chance can make it negative.
        low, high: the 95% interval, cut off at zero.
        share: this part of the sum of the three parts, where a negative part counts as zero.
    """

    name: str
    variance: float
    low: float
    high: float
    share: float


def variance_parts(
    logits: np.ndarray, confidence: float = 0.95, draws: int = 20_000, seed: int = 0
) -> tuple[VariancePart, VariancePart, VariancePart]:
    """Pair, teacher and interaction variance of logits, where every teacher has judged every pair.

    The estimates are the unbiased ones of the analysis of variance. The intervals are generalised confidence intervals:
    if the effects are normal, each mean square divided by its expectation is a chi-square divided by its degrees of
    freedom. Drawing these chi-squares gives the distribution of each part.

    Args:
        logits: [M, P]. The intervals assume that the pairs are independent: take ``disjoint_pairs``. With pairs that
            share sentences the intervals come out too narrow.
        confidence: of the intervals, in (0, 1).
        draws: how many chi-squares are drawn.
        seed: of these draws.

    Raises:
        KitError: fewer than two teachers or two pairs, a value that is not finite, or a confidence outside (0, 1).
    """
    if logits.ndim != 2 or min(logits.shape) < 2:
        raise KitError(f"Logits of shape {list(logits.shape)} cannot be split; give at least 2 teachers and 2 pairs.")
    if not np.isfinite(logits).all():
        raise KitError("Some logits are not finite; look for a damaged teacher.")
    if not 0 < confidence < 1:
        raise KitError(f"confidence is {confidence}; it must lie in (0, 1).")
    m, p = logits.shape
    squares = np.array(mean_squares(np.asarray(logits, dtype=np.float64)))
    freedom = np.array([p - 1, m - 1, (m - 1) * (p - 1)])
    draw = np.random.default_rng(seed)
    likely = squares * freedom / draw.chisquare(freedom, (draws, 3))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    parts = {
        "pair": ((squares[0] - squares[2]) / m, (likely[:, 0] - likely[:, 2]) / m),
        "teacher": ((squares[1] - squares[2]) / p, (likely[:, 1] - likely[:, 2]) / p),
        "interaction": (squares[2], likely[:, 2]),
    }
    total = sum(max(value, 0.0) for value, _ in parts.values())
    pair, teacher, interaction = (_part(name, value, drawn, tails, total) for name, (value, drawn) in parts.items())
    return pair, teacher, interaction


def _part(name: str, value: float, drawn: np.ndarray, tails: list[float], total: float) -> VariancePart:
    low, high = np.quantile(drawn, tails).clip(min=0).tolist()
    return VariancePart(name, float(value), low, high, float(max(value, 0.0) / total) if total else 0.0)


def mean_squares(logits: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of pairs, teachers and interaction: [M, P] -> three numbers.

    Their expectations are

        M var_pair + var_interaction,   P var_teacher + var_interaction,   var_interaction.
    """
    m, p = logits.shape
    mean, of_pairs, of_teachers = logits.mean(), logits.mean(axis=0), logits.mean(axis=1)
    rest = logits - of_pairs - of_teachers[:, None] + mean
    return (
        m * float(((of_pairs - mean) ** 2).sum()) / (p - 1),
        p * float(((of_teachers - mean) ** 2).sum()) / (m - 1),
        float((rest**2).sum()) / ((m - 1) * (p - 1)),
    )


def disjoint_pairs(cosines: np.ndarray) -> np.ndarray:
    """Logits of pairs that share no sentence: sentences 1 and 2 of each batch, then 3 and 4, and so on.

    Args:
        cosines: [M, B, N, N].

    Returns:
        [M, P], where P = B * floor(N / 2).
    """
    n = cosines.shape[-1] // 2 * 2
    first = np.arange(0, n, 2)
    return cosines[:, :, first, first + 1].reshape(len(cosines), -1)
