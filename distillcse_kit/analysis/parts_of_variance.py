"""Where the variance of teachers' logits comes from: the pairs, the teachers, or the two together (beyond the paper).

A crossed two-way random model, every teacher m judging every pair p once:

    t_mp = mean + pair_p + teacher_m + interaction_mp

The paper's Table 2 has one spread over teachers. Here it falls into two parts: a teacher that is generous to all pairs
alike (which a softmax over a row does not see), and its opinion of single pairs, which is what a student overfits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distillcse_kit.errors import KitError


@dataclass(frozen=True)
class Component:
    """One part of the variance.

    Attributes:
        name: "pair", "teacher" or "interaction".
        variance: unbiased estimate; below zero where chance made it so.
        low, high: 95% interval, not below zero.
        share: of the sum of the three parts, those below zero counted as zero.
    """

    name: str
    variance: float
    low: float
    high: float
    share: float


def disjoint_pairs(cosines: np.ndarray) -> np.ndarray:
    """Logits of pairs that share no sentence: of each batch the first two sentences, the next two, ...

    Args:
        cosines: [M, B, N, N].

    Returns:
        [M, P], P = B times N / 2.
    """
    n = cosines.shape[-1] // 2 * 2
    first = np.arange(0, n, 2)
    return cosines[:, :, first, first + 1].reshape(len(cosines), -1)


def mean_squares(logits: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of pairs, teachers and interaction, [M, P] -> three numbers whose expectations are

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


def variance_components(
    logits: np.ndarray, confidence: float = 0.95, draws: int = 20_000, seed: int = 0
) -> tuple[Component, Component, Component]:
    """Pair, teacher and interaction variance of logits that every teacher gave to every pair.

    Estimates are those of the analysis of variance, unbiased. Intervals are generalised confidence intervals: each mean
    square, divided by its expectation, is a chi-square over its degrees of freedom, for normal effects; the
    distribution of the component follows by drawing these.

    Args:
        logits: [M, P]. Pairs count as independent draws: take ``disjoint_pairs``, or read the intervals as too narrow.
        confidence: of the intervals. draws, seed: of the chi-squares.

    Raises:
        KitError: not two teachers and two pairs, a value that is not finite, or a confidence outside (0, 1).
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
    pair, teacher, interaction = (
        _component(name, value, drawn, tails, total) for name, (value, drawn) in parts.items()
    )
    return pair, teacher, interaction


def _component(name: str, value: float, drawn: np.ndarray, tails: list[float], total: float) -> Component:
    low, high = np.quantile(drawn, tails).clip(min=0).tolist()
    return Component(name, float(value), low, high, float(max(value, 0.0) / total) if total else 0.0)
