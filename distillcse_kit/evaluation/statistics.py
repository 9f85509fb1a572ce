"""How sure can one be? Intervals over seeds, paired differences, and how many seeds a difference needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct as noncentral_t
from scipy.stats import rankdata
from scipy.stats import t as student_t

from distillcse_kit.errors import KitError


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
        return f"{what} is {direction}, but one seed cannot show a difference."
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
        return self.adjusted < 0.05


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, which gives p-values that hold for the table as a whole.

        p~_(k) = max_{j <= k} min(1, (n - j + 1) p_(j)),   p_(k): the k-th smallest of n p-values

    If a table has no effect at all, the chance that any p~ is below a level is at most that level. nan counts as 1.
    """
    values = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(np.minimum(1.0, values[order] * np.arange(len(values), 0, -1)))
    adjusted = np.empty(len(values))
    adjusted[order] = stepped
    return adjusted.tolist()


def compare_with(table: Mapping[str, Sequence[float]], baseline: str) -> dict[str, Comparison]:
    """Compare all other rows with the baseline: {row: comparison}, paired by seed, p-values corrected by Holm.

    Raises:
        KitError: the rows differ in length.
    """
    return compare_differences(
        {row: paired_difference(table[row], table[baseline]) for row in table if row != baseline}
    )


def compare_by_seed(table: Mapping[str, Mapping[int, float]], baseline: str) -> dict[str, Comparison]:
    """Like ``compare_with``, for rows {seed: score}: each is compared on the seeds that it shares with the baseline.

    Rows that share no seed with the baseline are left out.
    """
    differences = {}
    for row, scores in table.items():
        common = sorted(set(scores) & set(table[baseline]))
        if row != baseline and common:
            differences[row] = paired_difference(
                [scores[seed] for seed in common], [table[baseline][seed] for seed in common]
            )
    return compare_differences(differences)


def compare_differences(differences: Mapping[str, SeedInterval]) -> dict[str, Comparison]:
    """Turn paired differences into {row: comparison}, with p-values corrected by Holm for all rows together."""
    p_values = [_p_value(difference) for difference in differences.values()]
    adjusted = holm(p_values)
    found = map(Comparison, differences.values(), p_values, adjusted)
    return dict(zip(differences, found, strict=True))


def _p_value(difference: SeedInterval) -> float:
    """Two-sided p-value of the t test for a mean of 0. If all values are equal: 1 if they are 0, else 0."""
    if difference.n == 1:
        return math.nan
    error = difference.standard_deviation / math.sqrt(difference.n)
    if error == 0:
        return float(difference.mean == 0)
    return float(2 * student_t.sf(abs(difference.mean) / error, difference.n - 1))


def power(difference: float, standard_deviation: float, n: int, level: float = 0.05) -> float:
    """Chance that a two-sided paired t test with n seeds finds a true difference significant.

    The test statistic has a non-central t distribution with n - 1 degrees of freedom and centre difference sqrt(n) / s.

    Args:
        difference: the true difference.
        standard_deviation: s, of the paired differences over seeds.
        n: number of seeds, at least two.
        level: of the test.
    """
    critical = student_t.ppf(1 - level / 2, n - 1)
    centre = difference * math.sqrt(n) / standard_deviation
    # Far from 0, scipy gives nan for the chance of the wrong sign, which is 0 there.
    wrong = np.nan_to_num(noncentral_t.cdf(-critical, n - 1, centre))
    return float(noncentral_t.sf(critical, n - 1, centre) + wrong)


def detectable_difference(standard_deviation: float, n: int, wanted: float = 0.8) -> float:
    """The true difference that n seeds find significant at 5% with the chance ``wanted``.

    Args:
        standard_deviation: of the paired differences over seeds; 0 gives 0.
        n: number of seeds, at least two.
        wanted: the chance, which is the power of the test.

    Raises:
        KitError: fewer than two seeds.
    """
    if n < 2:
        raise KitError("One seed cannot show a difference; give at least two.")
    if not standard_deviation > 0:
        return 0.0
    most = 1.0  # in units of the standard deviation
    while power(most, 1.0, n) < wanted:
        most *= 2
    return standard_deviation * float(brentq(lambda d: power(d, 1.0, n) - wanted, 0.0, most))


def seeds_needed(difference: float, standard_deviation: float, wanted: float = 0.8) -> int:
    """How many seeds find a true difference significant at 5% with the chance ``wanted``.

    Raises:
        KitError: the difference is 0, which no number of seeds can find.
    """
    if not difference:
        raise KitError("No number of seeds can find a difference of 0; name the difference that matters to you.")
    n = 2
    while detectable_difference(standard_deviation, n, wanted) > abs(difference):
        n += 1
    return n


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
        KitError: the shapes do not match, there are fewer than three pairs, or the confidence is outside (0, 1).
    """
    scores = np.asarray(gold, dtype=np.float64)
    if predicted.shape != baseline.shape or predicted.ndim != 2 or predicted.shape[1] != len(scores):
        raise KitError("Both sides need the cosines of the same pairs for the same number of runs, [runs, pairs].")
    if len(scores) < 3:
        raise KitError(f"{len(scores)} pairs cannot be resampled; give at least 3.")
    if not 0 < confidence < 1:
        raise KitError(f"confidence is {confidence}; it must lie in (0, 1).")
    draw = np.random.default_rng(seed)
    found = [
        _mean_spearman(predicted[:, rows], scores[rows]) - _mean_spearman(baseline[:, rows], scores[rows])
        for rows in draw.integers(len(scores), size=(resamples, len(scores)))
    ]
    low, high = np.nanquantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    whole = _mean_spearman(predicted, scores) - _mean_spearman(baseline, scores)
    return PairBootstrap(whole, float(low), float(high))


def _mean_spearman(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Mean over runs of Spearman x 100, from [S, n] and [n]; ties share their mean rank."""
    ranks, wanted = rankdata(predicted, axis=1), rankdata(gold)
    ranks -= ranks.mean(axis=1, keepdims=True)
    wanted -= wanted.mean()
    with np.errstate(invalid="ignore"):
        found = ranks @ wanted / np.sqrt((ranks**2).sum(axis=1) * (wanted**2).sum())
    return 100 * float(found.mean())
