"""One interval over seeds and test pairs together, for a claim about a kind of test set and not about one set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import SeedInterval, gold_of_both_sides, spearman_of_runs


@dataclass(frozen=True)
class CrossedInterval(SeedInterval):
    """A difference of Spearman x 100 between two methods, with an interval over seeds and pairs together.

    ``n`` is the number of seeds, and ``standard_deviation`` the standard error times its root.

    Attributes:
        freedom: degrees of freedom of the standard error, by Satterthwaite.
        over_seeds: the standard error if the test pairs stay the same.
        over_pairs: the standard error if the seeds stay the same.
    """

    freedom: float
    over_seeds: float
    over_pairs: float


def seeds_and_pairs(
    predicted: np.ndarray,
    baseline: np.ndarray,
    gold: Sequence[float],
    groups: int = 50,
    confidence: float = 0.95,
    seed: int = 0,
) -> CrossedInterval:
    """Interval of the difference of two methods' Spearman correlations, for other seeds and other pairs at once.

    The pairs are divided at random into G groups of (nearly) one size. Leaving out group g, one at a time, gives the
    pseudo-values of a jackknife for the difference d_s of the two runs with seed s:

        z_sg = G d_s - (G - 1) d_s(without group g)

    They are a crossed table of S seeds and G groups, whose analysis of variance gives

        variance = (MS_seeds + MS_groups - MS_interaction) / (S G)

    Each of the first two holds the interaction, which must count once: resampling seeds and pairs together counts it
    twice, and is too wide. By chance the sum can fall below the variance over seeds or over pairs alone. It is then
    the larger of these. In simulations the 95% interval holds the truth in 96 to 99% of the cases; one over seeds alone
    in 38 to 97%, one over pairs alone in 40 to 97%, depending on which of the two matters.

    The interval speaks of other seeds and of other pairs from the source of these. The seeds must be independent of
    each other: their students share no teachers.

    Args:
        predicted, baseline: cosines of the pairs from S runs, [S, n] each; run s of both sides has the same seed.
        gold: gold scores, [n].
        groups: G; more of them take longer. At most n.
        confidence: of the interval, in (0, 1).
        seed: of the division into groups.

    Raises:
        KitError: the shapes do not match; fewer than two seeds, ten pairs or ten groups; a confidence outside (0, 1);
            or cosines or gold scores that are all equal without one of the groups.

    Reference:
        Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007), on why crossed resampling is too wide.
    """
    scores = gold_of_both_sides(predicted, baseline, gold)
    if len(predicted) < 2:
        raise KitError("One seed shows nothing of other seeds; give at least two.")
    if min(len(scores), groups) < 10:
        raise KitError(f"{len(scores)} pairs in {groups} groups are too few; give at least 10 of both.")
    if not 0 < confidence < 1:
        raise KitError(f"confidence is {confidence}; it must lie in (0, 1).")
    everything = np.random.default_rng(seed).permutation(len(scores))
    parts = np.array_split(everything, min(groups, len(scores)))
    count, seeds = len(parts), len(predicted)

    def difference(rows: np.ndarray) -> np.ndarray:
        return spearman_of_runs(predicted, scores, rows) - spearman_of_runs(baseline, scores, rows)

    whole = difference(everything)
    # Groups of one size, of which there are two at most, are left out together: far fewer calls.
    kept = [np.setdiff1d(everything, part) for part in parts]
    sizes = sorted({len(rows) for rows in kept})
    without = np.concatenate([difference(np.stack([r for r in kept if len(r) == size])) for size in sizes], axis=1)
    if not np.isfinite(without).all():
        raise KitError("Without some of the pairs, all gold scores or all cosines are equal; give more pairs.")
    of_seeds, of_pairs, both = _mean_squares(count * whole[:, None] - (count - 1) * without) / (seeds * count)
    variance = max(of_seeds + of_pairs - both, of_seeds, of_pairs)
    error, freedom = math.sqrt(variance), math.inf
    if variance:
        uncertain = of_seeds**2 / (seeds - 1) + of_pairs**2 / (count - 1) + both**2 / ((seeds - 1) * (count - 1))
        freedom = variance**2 / uncertain
    return CrossedInterval(
        float(whole.mean()),
        error * float(student_t.ppf((1 + confidence) / 2, freedom)),
        seeds,
        error * math.sqrt(seeds),
        freedom,
        math.sqrt(of_seeds),
        math.sqrt(of_pairs),
    )


def _mean_squares(values: np.ndarray) -> np.ndarray:
    """Mean squares of rows, columns and interaction of a crossed table [S, G]."""
    s, g = values.shape
    of_rows, of_columns = (values.mean(axis=axis, keepdims=True) for axis in (1, 0))
    rest = values - of_rows - of_columns + values.mean()
    return np.array(
        [g * of_rows.var(ddof=1), s * of_columns.var(ddof=1), (rest**2).sum() / ((s - 1) * (g - 1))], dtype=np.float64
    )
