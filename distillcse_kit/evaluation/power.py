"""How many seeds does a difference need? The power of the paired t test, and what follows from it."""

from __future__ import annotations

import math
from bisect import bisect_left

from scipy.optimize import brentq
from scipy.stats import chi
from scipy.stats import t as student_t

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import LEVEL

MOST_SEEDS = 1_000_000


def power(difference: float, standard_deviation: float, n: int, level: float = LEVEL) -> float:
    """Chance that a two-sided paired t test with n seeds finds a true difference significant.

    The test statistic has a non-central t distribution with n - 1 degrees of freedom and centre difference sqrt(n) / s.

    Args:
        difference: the true difference.
        standard_deviation: s, of the paired differences over seeds, above 0.
        n: number of seeds, at least two.
        level: of the test, in (0, 1).

    Raises:
        KitError: fewer than two seeds, a standard deviation that is not positive, or a level outside (0, 1).
    """
    from statsmodels.stats.power import TTestPower  # loads pandas, so not before it is needed

    _require_two_seeds(n)
    if not standard_deviation > 0:
        raise KitError(f"The standard deviation is {standard_deviation}; the power needs one above 0.")
    if not 0 < level < 1:
        raise KitError(f"level is {level}; it must lie in (0, 1).")
    effect = abs(difference) / standard_deviation
    right, wrong = (float(TTestPower().power(effect, n, level / 2, alternative=sign)) for sign in ("larger", "smaller"))
    # Far from 0, statsmodels gives nan: for the wrong sign, whose chance is 0 there, and farther out for the right one.
    # At such a centre only the spread of the estimated standard deviation counts, s chi / sqrt(n - 1).
    if math.isnan(right):
        right = float(chi.cdf(math.sqrt((n - 1) * n) * effect / student_t.isf(level / 2, n - 1), n - 1))
    return right if math.isnan(wrong) else right + wrong


def _require_two_seeds(n: int) -> None:
    if n < 2:
        raise KitError("One seed cannot show a difference; give at least two.")


def _scatters(standard_deviation: float, wanted: float) -> bool:
    """Whether the standard deviation is above 0. KitError if it is no standard deviation, or ``wanted`` no power."""
    if not standard_deviation >= 0:
        raise KitError(f"The standard deviation is {standard_deviation}; give that of at least two differences.")
    if not LEVEL < wanted < 1:
        raise KitError(f"The wanted chance is {wanted}; give one between {LEVEL}, which luck alone has, and 1.")
    return standard_deviation > 0


def detectable_difference(standard_deviation: float, n: int, wanted: float = 0.8) -> float:
    """The true difference that n seeds find significant at 5% with the chance ``wanted``.

    Solved here and not by statsmodels' ``solve_power``, which misses for few seeds: for two seeds and 0.9 it gives 10.0
    standard deviations, where the power is 0.73; right are 14.8.

    Args:
        standard_deviation: of the paired differences over seeds; 0 gives 0.
        n: number of seeds, at least two.
        wanted: the chance, which is the power of the test; above 0.05, below 1.

    Raises:
        KitError: fewer than two seeds, a standard deviation that is below 0 or nan, or a chance that no test has.
    """
    _require_two_seeds(n)
    if not _scatters(standard_deviation, wanted):
        return 0.0
    most = 1.0  # in units of the standard deviation
    while power(most, 1.0, n) < wanted:
        most *= 2
    return standard_deviation * float(brentq(lambda d: power(d, 1.0, n) - wanted, 0.0, most))


def seeds_needed(difference: float, standard_deviation: float, wanted: float = 0.8) -> int:
    """How many seeds find a true difference significant at 5% with the chance ``wanted``: two or more.

    Raises:
        KitError: the difference is 0, which no number of seeds can find, or more than a million are needed; or as
            ``detectable_difference``.
    """
    if not difference:
        raise KitError("No number of seeds can find a difference of 0; name the difference that matters to you.")
    if not _scatters(standard_deviation, wanted):
        return 2
    numbers = range(2, MOST_SEEDS + 1)
    # The power grows with the number of seeds, so the first number that has enough is found by halving.
    enough = bisect_left(numbers, wanted, key=lambda n: power(difference, standard_deviation, n))
    if enough == len(numbers):
        raise KitError(f"More than {MOST_SEEDS:,} seeds are needed; name a larger difference.")
    return numbers[enough]
