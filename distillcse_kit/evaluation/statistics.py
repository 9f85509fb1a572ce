"""How sure one can be: intervals over seeds, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from distillcse_kit.errors import KitError


@dataclass(frozen=True)
class SeedInterval:
    """Mean of n runs that differ in the seed, with a confidence interval.

    Attributes:
        mean: of the values.
        half_width: the interval is mean +- half_width; nan for one value.
        n: number of values.
        standard_deviation: unbiased; nan for one value.
    """

    mean: float
    half_width: float
    n: int
    standard_deviation: float

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if math.isnan(self.half_width) else f"{self.mean:.2f} ± {self.half_width:.2f}"


def seed_interval(values: Sequence[float], confidence: float = 0.95) -> SeedInterval:
    """Student's t interval of the mean: mean +- t_{n-1, (1 + confidence) / 2} s / sqrt(n).

    It speaks of other seeds, with the same data and the same pairs; it knows nothing of other corpora or tests.

    Raises:
        KitError: no value, a value that is not finite, or a confidence outside (0, 1).
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
    """Interval of the mean of values[s] - baseline[s], where both were run with the same seed s.

    Raises:
        KitError: the two differ in length.
    """
    if len(values) != len(baseline):
        raise KitError(f"{len(values)} and {len(baseline)} values cannot be paired; run both with the same seeds.")
    return seed_interval(np.subtract(values, baseline).tolist(), confidence)


def verdict(difference: SeedInterval, what: str, than: str) -> str:
    """One plain sentence on a paired difference: above, below, or not decided by these seeds."""
    if math.isnan(difference.half_width):
        return f"{what} against {than}: {difference.mean:+.2f} from one seed, which decides nothing."
    interval = f"{difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}], {difference.n} seeds"
    if difference.low > 0:
        return f"{what} lies above {than}: {interval}."
    if difference.high < 0:
        return f"{what} lies below {than}: {interval}."
    return f"{what} against {than} is not decided: {interval}; the interval contains 0."
