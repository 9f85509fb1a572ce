"""How sure can one be? Intervals over seeds and over pairs, and paired differences."""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap, rankdata, ttest_rel
from scipy.stats import t as student_t

from distillcse_kit.errors import KitError

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.05  # of every test
AT_A_TIME = 100_000  # resampled pairs that are ranked together: faster than one draw at a time, in a few megabytes


@dataclass(frozen=True)
class SeedInterval:
    """Mean of n runs that differ in the seed, with a confidence interval.

    Attributes:
        mean: mean of the values.
        half_width: the interval is mean +- half_width; nan for a single value.
        n: number of values.
        standard_deviation: of the values, unbiased in the variance; nan for a single value.
    """

    mean: float
    half_width: float
    n: int
    standard_deviation: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half_width

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if math.isnan(self.half_width) else f"{self.mean:.2f} ± {self.half_width:.2f}"


def seed_interval(values: Sequence[float], confidence: float = 0.95) -> SeedInterval:
    """Student's t interval of the mean: mean +- t_{n-1, (1 + confidence) / 2} s / sqrt(n).

    The interval is about other seeds with the same corpus and the same test pairs, not about other corpora or tests.

    Raises:
        KitError: there is no value, a value is not finite, or the confidence is outside (0, 1).
    """
    if not len(values) or not np.isfinite(values).all():
        raise KitError("An interval needs at least one value and only finite ones; look for a failed run.")
    if not 0 < confidence < 1:
        raise KitError(f"confidence is {confidence}; it must lie in (0, 1).")
    n = len(values)
    if n == 1:
        return SeedInterval(float(values[0]), math.nan, 1, math.nan)
    deviation = float(np.std(values, ddof=1))
    factor = float(student_t.ppf((1 + confidence) / 2, n - 1))
    return SeedInterval(float(np.mean(values)), factor * deviation / math.sqrt(n), n, deviation)


def paired_difference(values: Sequence[float], baseline: Sequence[float], confidence: float = 0.95) -> SeedInterval:
    """Interval of the mean of values[s] - baseline[s], where both come from runs with the same seed s.

    Raises:
        KitError: the two lists differ in length, or as ``seed_interval``.
    """
    if len(values) != len(baseline):
        raise KitError(f"{len(values)} and {len(baseline)} values cannot be paired; run both with the same seeds.")
    return seed_interval(np.subtract(values, baseline).tolist(), confidence)


def verdict(difference: SeedInterval, what: str, than: str) -> str:
    """One sentence that says whether ``what`` is significantly higher or lower than ``than``, or neither.

    Args:
        difference: of ``what`` and ``than`` with its 95% interval, as ``paired_difference`` gives it.
        what, than: names of the two sides.
    """
    direction = f"{abs(difference.mean):.2f} {'lower' if difference.mean < 0 else 'higher'} than {than}"
    if math.isnan(difference.half_width):
        return f"{what} is {direction}, but a single value cannot show a difference."
    interval = f"[{difference.low:+.2f}, {difference.high:+.2f}]"
    if difference.low > 0 or difference.high < 0:
        return f"{what} is {direction} {interval}: significant at 5%, {difference.n} seeds."
    return (
        f"{what} is not significantly different from {than}: {difference.mean:+.2f} {interval}, {difference.n} seeds; "
        f"the interval contains 0."
    )


@dataclass(frozen=True)
class Comparison:
    """One setting compared with the baseline, both run with the same seeds.

    Attributes:
        difference: mean difference over seeds with its 95% interval, which is not corrected for other settings.
        p_value: of the paired t test, two-sided; nan for a single seed.
        adjusted: the p-value after Holm's correction for all settings of the table.
    """

    difference: SeedInterval
    p_value: float
    adjusted: float

    @property
    def decided(self) -> bool:
        """Whether the difference is significant at 5%, corrected for all settings of the table."""
        return self.adjusted < LEVEL


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, which gives p-values that hold for the table as a whole.

        p~_(k) = max_{j <= k} min(1, (n - j + 1) p_(j)),   p_(k): the k-th smallest of n p-values

    If a table has no effect at all, the chance that any p~ is below a level is at most that level. nan counts as 1.
    """
    from statsmodels.stats.multitest import multipletests  # loads pandas, so not before it is needed

    # ``multipletests`` collects garbage, which takes 0.2 s with all that an explorer has loaded; unless it is frozen.
    gc.freeze()
    try:
        return multipletests(np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0), method="holm")[1].tolist()
    finally:
        gc.unfreeze()


def compare_with(table: Mapping[str, Sequence[float]], baseline: str) -> dict[str, Comparison]:
    """Compare all other rows with the baseline: {row: comparison}, paired by seed, p-values corrected by Holm.

    Raises:
        KitError: the rows differ in length.
    """
    return compare_pairs({row: (table[row], table[baseline]) for row in table if row != baseline})


def compare_by_seed(table: Mapping[str, Mapping[int, float]], baseline: str) -> dict[str, Comparison]:
    """Like ``compare_with``, for rows {seed: score}: each is compared on the seeds that it shares with the baseline.

    Rows that share no seed with the baseline are left out.
    """
    pairs = {}
    for row, scores in table.items():
        common = sorted(set(scores) & set(table[baseline]))
        if row != baseline and common:
            pairs[row] = ([scores[seed] for seed in common], [table[baseline][seed] for seed in common])
    return compare_pairs(pairs)


def compare_pairs(pairs: Mapping[Key, tuple[Sequence[float], Sequence[float]]]) -> dict[Key, Comparison]:
    """Turn {row: (its values, its baseline's)} into {row: comparison}, with p-values corrected by Holm for all rows.

    A key may be anything that names a comparison, such as (row, data set).

    Raises:
        KitError: as ``paired_difference``.
    """
    differences = [paired_difference(*pair) for pair in pairs.values()]
    p_values = [paired_p_value(*pair) for pair in pairs.values()]
    return dict(zip(pairs, map(Comparison, differences, p_values, holm(p_values)), strict=True))


def paired_p_value(values: Sequence[float], baseline: Sequence[float]) -> float:
    """Two-sided p-value of the paired t test; nan for one pair; for differences that are all equal 1 if 0, else 0."""
    differences = np.subtract(values, baseline)
    if len(differences) == 1:
        return math.nan
    if not np.ptp(differences):  # scipy gives nan if all are 0
        return float(not differences[0])
    return float(ttest_rel(values, baseline).pvalue)


@dataclass(frozen=True)
class PairBootstrap:
    """How much a difference of scores depends on which sentence pairs are in the test set.

    Attributes:
        difference: of Spearman x 100 on all pairs, mean over runs.
        low, high: interval over resampled pairs; the runs stay the same.
    """

    difference: float
    low: float
    high: float


def bootstrap_pairs(
    predicted: np.ndarray,
    baseline: np.ndarray,
    gold: Sequence[float],
    resamples: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairBootstrap:
    """Percentile interval of the difference of two Spearman correlations, over pairs drawn with replacement.

    Each draw of pairs is used for both sides and all runs, because pairs that are hard are hard for both.

    Args:
        predicted, baseline: cosines of the pairs from S runs, [S, n] each.
        gold: gold scores, [n].
        resamples: number of draws.
        confidence: of the interval, in (0, 1).
        seed: of the draws.

    Raises:
        KitError: the shapes do not match, there are fewer than three pairs or no draw, or the confidence is outside
            (0, 1).
    """
    scores = gold_of_both_sides(predicted, baseline, gold)

    def difference(rows: np.ndarray, axis: int) -> np.ndarray:
        sides = (spearman_of_runs(side, scores, rows).mean(axis=0) for side in (predicted, baseline))
        return np.subtract(*sides)

    low, high = interval_over_pairs(difference, len(scores), resamples, confidence, seed)
    return PairBootstrap(float(difference(np.arange(len(scores)), -1)), low, high)


def gold_of_both_sides(predicted: np.ndarray, baseline: np.ndarray, gold: Sequence[float]) -> np.ndarray:
    """The gold scores, float64 [n]. KitError unless both sides are [S, n], cosines of these pairs from S runs."""
    scores = np.asarray(gold, dtype=np.float64)
    if predicted.shape != baseline.shape or predicted.ndim != 2 or predicted.shape[1] != len(scores):
        raise KitError("Both sides need the cosines of the same pairs for the same number of runs, [runs, pairs].")
    return scores


def interval_over_pairs(
    statistic: Callable[[np.ndarray, int], np.ndarray], pairs: int, resamples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Percentile interval of a statistic over pairs drawn with replacement; draws where it is nan are left out.

    Args:
        statistic: of rows of pairs [..., n], and the axis, which is always -1: gives [...].
        pairs: n.
        resamples, confidence, seed: as for ``bootstrap_pairs``.

    Raises:
        KitError: fewer than three pairs, no draw, or a confidence outside (0, 1).
    """
    if pairs < 3:
        raise KitError(f"{pairs} pairs cannot be resampled; give at least 3.")
    if not 0 < confidence < 1:
        raise KitError(f"confidence is {confidence}; it must lie in (0, 1).")
    if resamples < 1:
        raise KitError(f"resamples is {resamples}; it must be at least 1.")
    with warnings.catch_warnings():
        # A draw in which all gold scores are equal has no correlation. It is left out here; scipy's interval is nan.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            (np.arange(pairs),),
            statistic,
            n_resamples=resamples,
            batch=max(1, AT_A_TIME // pairs),
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
    low, high = np.nanquantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def spearman_of_runs(runs: np.ndarray, gold: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Spearman x 100 of each run on the pairs ``rows``; ties share their rank: [S, n], [n], [..., m] -> [S, ...].

    By the definition, since scipy's ``spearmanr`` takes one draw of pairs at a time. nan where one side is constant.
    """
    wanted = _centred_ranks(gold[rows])
    found = np.empty((len(runs), *rows.shape[:-1]))
    with np.errstate(invalid="ignore"):
        for number, run in enumerate(runs):
            ranks = _centred_ranks(run[rows])
            found[number] = _dot(ranks, wanted) / np.sqrt(_dot(ranks, ranks) * _dot(wanted, wanted))
    return 100 * found


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    ranks = rankdata(values, axis=-1)
    return ranks - ranks.mean(axis=-1, keepdims=True)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", a, b)
