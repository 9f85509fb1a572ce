"""Intervals for figures of the teachers' noise (Tables 1 and 2, top-k agreement), over teachers as well as batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from distillcse_kit.analysis.logits import batch_cosines, different_pairs, first_order
from distillcse_kit.analysis.orders import moments
from distillcse_kit.analysis.teacher_noise import teacher_spread, top_agreement
from distillcse_kit.errors import KitError

Figures = Callable[[np.ndarray], Mapping[str, float]]


@dataclass(frozen=True)
class FigureInterval:
    """A figure of M teachers on B batches, with its interval over both.

    Attributes:
        value: on all teachers and batches.
        low, high: the interval.
        over_teachers: the standard error if the batches stay the same.
        over_batches: the standard error if the teachers stay the same.
    """

    value: float
    low: float
    high: float
    over_teachers: float
    over_batches: float


def teacher_jackknife(
    figures: Figures, values: np.ndarray, groups: int = 20, confidence: float = 0.95
) -> dict[str, FigureInterval]:
    """Intervals of any figures that are taken over teachers and batches, by leaving out one teacher at a time.

    With theta_(m) the figure without teacher m, theta_[g] without batches of group g, and means over them,

        variance = (M - 1) / M sum_m (theta_(m) - mean)^2 + (G - 1) / G sum_g (theta_[g] - mean)^2

    and the interval is theta +- t sqrt(variance), with (min(M, G) - 1) / 2 degrees of freedom. These are half of the
    usual ones, because a few teachers with much noise move a figure more than many with little. Chance that belongs to
    a teacher and a batch together counts in both sums. In simulations with 16 teachers the 95% interval holds the truth
    in 94 to 100% of the cases, and in 90% where all the noise is a shift of whole teachers. With all degrees of freedom
    these are 2 to 3% less, and an interval over batches alone holds the truth in as few as 16%.

    The interval speaks of other teachers of the same kind and of other batches of the same corpus, not of other
    corpora or bases.

    Args:
        figures: gives {name: figure} for values of some of the teachers and some of the batches, such as
            ``table_2_figures``. It is called M + G + 1 times.
        values: [M, B, ...], such as embeddings [M, B, N, d] or cosines [M, B, N, N].
        groups: G, at most B: the batches are left out in so many groups of neighbours.
        confidence: of the intervals, in (0, 1).

    Raises:
        KitError: fewer than three teachers, batches or groups, or a confidence outside (0, 1).
    """
    if values.ndim < 2 or min(*values.shape[:2], groups) < 3:
        raise KitError("An interval over teachers and batches needs at least three of each, and three groups.")
    if not 0 < confidence < 1:
        raise KitError(f"confidence is {confidence}; it must lie in (0, 1).")
    whole = figures(values)
    parts = np.array_split(np.arange(values.shape[1]), min(groups, values.shape[1]))
    over_teachers = _errors([figures(np.delete(values, m, axis=0)) for m in range(len(values))])
    over_batches = _errors([figures(np.delete(values, part, axis=1)) for part in parts])
    factor = float(student_t.ppf((1 + confidence) / 2, (min(len(values), len(parts)) - 1) / 2))
    found = {}
    for name, value in whole.items():
        half_width = factor * math.hypot(over_teachers[name], over_batches[name])
        found[name] = FigureInterval(
            float(value), value - half_width, value + half_width, over_teachers[name], over_batches[name]
        )
    return found


def _errors(without: list[Mapping[str, float]]) -> dict[str, float]:
    """The jackknife's standard error of each figure, from its values with one part left out at a time."""
    n = len(without)
    return {name: math.sqrt((n - 1) * float(np.var([one[name] for one in without]))) for name in without[0]}


def table_1_figures(vectors: np.ndarray) -> dict[str, float]:
    """Table 1's side of the training batches, mean over teachers: [M, B, N, d] -> {figure: value}.

    Mean and standard deviation of the first order of sentences and of the second order of pairs. The side of the test
    pairs has no batches; an interval over teachers alone is that of ``evaluation.seed_interval``.
    """
    orders = {"1st order": first_order(vectors), "2nd order": different_pairs(batch_cosines(vectors))}
    found = {}
    for name, values in orders.items():
        of_teachers = [moments(own) for own in values]
        found[f"{name}, mean"] = float(np.mean([one.mean for one in of_teachers]))
        found[f"{name}, deviation"] = float(np.mean([one.std for one in of_teachers]))
    return found


def table_2_figures(vectors: np.ndarray) -> dict[str, float]:
    """Table 2: noise over teachers, and noise in units of the signal, of four quantities.

    Args:
        vectors: embeddings, [M, B, N, d].

    Returns:
        {figure: value}. The names are those of ``teacher_spread``, followed by ", noise" or ", noise to signal".
    """
    found = {}
    for one in teacher_spread(vectors):
        found[f"{one.name}, noise"] = one.over_teachers
        found[f"{one.name}, noise to signal"] = one.noise_to_signal
    return found


def agreement_figures(k: int = 12) -> Figures:
    """A function for ``teacher_jackknife``: the top-k agreement of teachers, from cosines [M, B, N, N]."""

    def figures(cosines: np.ndarray) -> dict[str, float]:
        return {f"top {k}": top_agreement(cosines, k).mean}

    return figures
