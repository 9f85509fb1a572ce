"""Intervals beside scipy's for any number of seeds, their coverage, verdicts, corrections and power."""

from __future__ import annotations

import gc
import math
import re
import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import SeedInterval, paired_difference, seed_interval, verdict
from distillcse_kit.evaluation import statistics as module
from distillcse_kit.evaluation.power import detectable_difference, power, seeds_needed
from distillcse_kit.evaluation.statistics import bootstrap_pairs, compare_with, holm

# ---------------------------------------------------------------- against scipy


@pytest.mark.parametrize("n", [2, 3, 5, 30])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_an_interval_of_any_number_of_seeds_is_scipys(n: int, confidence: float) -> None:
    values = np.random.default_rng(n).normal(54, 2, n)
    found = seed_interval(values.tolist(), confidence)
    expected = stats.t.interval(confidence, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)
    assert (found.mean + found.half_width, found.n) == (found.high, n)
    assert found.standard_deviation == pytest.approx(stats.tstd(values))
    assert seed_interval(values, confidence) == found  # an array will do


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("n", [2, 5, 12])
def test_a_paired_difference_of_any_number_of_seeds_is_scipys(n: int, confidence: float) -> None:
    draw = np.random.default_rng(n)
    seeds = draw.normal(54, 3, n)
    a, b = seeds + draw.normal(0.4, 0.5, n), seeds + draw.normal(0, 0.5, n)
    expected = stats.ttest_rel(a, b).confidence_interval(confidence)
    found, turned = paired_difference(a.tolist(), b.tolist(), confidence), paired_difference(b, a, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert found.mean == pytest.approx(a.mean() - b.mean()) and found.n == n


def test_pairing_takes_out_what_the_seeds_share() -> None:
    shared = [50.0, 55.0, 60.0, 52.0]
    better = [value + gain for value, gain in zip(shared, [0.5, 0.6, 0.4, 0.5], strict=True)]
    assert paired_difference(better, shared).low > 0
    assert seed_interval(better).low < seed_interval(shared).high
    assert paired_difference(better, shared[::-1]).low < 0  # wrong pairs give another answer


# ---------------------------------------------------------------- coverage


@pytest.mark.parametrize("n", [2, 5, 16])
def test_of_two_thousand_intervals_about_95_percent_hold_the_truth(n: int) -> None:
    draws = np.random.default_rng(n).normal(57.3, 1.7, (2_000, n))
    found = [seed_interval(row) for row in draws]
    assert 0.93 <= np.mean([interval.low <= 57.3 <= interval.high for interval in found]) <= 0.97
    below, above = (np.mean([side(interval) for interval in found]) for side in (lambda i: i.high < 57.3, missed_above))
    assert 0.013 <= below <= 0.037 and 0.013 <= above <= 0.037  # the misses lie on both sides


def missed_above(interval: SeedInterval) -> bool:
    return interval.low > 57.3


def test_of_two_thousand_paired_differences_about_95_percent_hold_the_truth() -> None:
    draw = np.random.default_rng(7)
    hits, narrow = 0, 0
    for _ in range(2_000):
        seeds = draw.normal(57, 3, 5)
        baseline = seeds + draw.normal(0, 0.4, 5)
        found = paired_difference(seeds + 0.8 + draw.normal(0, 0.4, 5), baseline)
        hits += found.low <= 0.8 <= found.high
        narrow += found.half_width < seed_interval(baseline).half_width
    assert 0.93 <= hits / 2_000 <= 0.97 and narrow > 1_900


# ---------------------------------------------------------------- verdicts

SAYS = {
    "above": (SeedInterval(1.0, 0.999, 5, 0.8), "A is 1.00 higher than B [+0.00, +2.00]: significant at 5%, 5 seeds."),
    "below": (SeedInterval(-1.0, 0.75, 5, 0.6), "A is 1.00 lower than B [-1.75, -0.25]: significant at 5%, 5 seeds."),
    "around 0": (
        SeedInterval(0.5, 1.25, 5, 1.0),
        "A is not significantly different from B: +0.50 [-0.75, +1.75], 5 seeds; the interval contains 0.",
    ),
    "0 is its end": (
        SeedInterval(1.0, 1.0, 5, 0.8),
        "A is not significantly different from B: +1.00 [+0.00, +2.00], 5 seeds; the interval contains 0.",
    ),
    "0 is its other end": (
        SeedInterval(-1.0, 1.0, 5, 0.8),
        "A is not significantly different from B: -1.00 [-2.00, +0.00], 5 seeds; the interval contains 0.",
    ),
    "one seed": (
        SeedInterval(4.0, math.nan, 1, math.nan),
        "A is 4.00 higher than B, but a single value cannot show a difference.",
    ),
}


@pytest.mark.parametrize("case", SAYS)
def test_a_verdict_says_what_the_interval_allows(case: str) -> None:
    difference, sentence = SAYS[case]
    assert verdict(difference, "A", "B") == sentence


def test_a_verdict_agrees_with_scipys_p_value() -> None:
    """Decided if and only if the paired t test rejects at 5%, and on the side of the mean."""
    draw = np.random.default_rng(11)
    said = set()
    for _ in range(300):
        a, b = draw.normal(draw.normal(0, 1), 1, 5), draw.normal(0, 1, 5)
        sentence, test = verdict(paired_difference(a, b), "A", "B"), stats.ttest_rel(a, b)
        match = re.search("higher|lower|not significantly", sentence)
        assert match
        expected = "not significantly" if test.pvalue > 0.05 else "higher" if test.statistic > 0 else "lower"
        assert match[0] == expected
        said.add(expected)
    assert len(said) == 3


def test_an_interval_in_words() -> None:
    assert str(seed_interval([60.0, 62.0])) == "61.00 ± 12.71"  # t of one degree of freedom: 12.706 * 1
    assert str(seed_interval([60.0])) == "60.00"
    assert str(seed_interval([60.0, 60.0, 60.0])) == "60.00 ± 0.00"


# ---------------------------------------------------------------- what gives no interval


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.nan], [-math.inf, 1.0], np.array([1.0, np.inf])])
def test_no_value_or_one_that_is_not_finite(values: list[float]) -> None:
    with pytest.raises(KitError, match=r"at least one value and only finite ones; look for a failed run\."):
        seed_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_a_confidence_that_is_no_share(confidence: float) -> None:
    sentence = rf"confidence is {re.escape(str(confidence))}; it must lie in \(0, 1\)"
    with pytest.raises(KitError, match=sentence):
        seed_interval([1.0, 2.0], confidence)
    with pytest.raises(KitError, match=sentence):
        paired_difference([2.0, 3.0], [1.0, 1.0], confidence)


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0]), ([], [1.0])])
def test_values_that_have_no_partner(a: list[float], b: list[float]) -> None:
    with pytest.raises(KitError, match=f"{len(a)} and {len(b)} values cannot be paired; run both with the same seeds"):
        paired_difference(a, b)
    with pytest.raises(KitError, match="at least one value"):
        paired_difference([], [])


# ---------------------------------------------------------------- tables of several settings


def test_holm_by_its_definition() -> None:
    """The smallest level at which Holm's procedure, stepping down, rejects each hypothesis."""

    def rejected(p_values: list[float], level: float) -> list[bool]:
        order, found = sorted(range(len(p_values)), key=p_values.__getitem__), [False] * len(p_values)
        for step, index in enumerate(order):
            if p_values[index] > level / (len(p_values) - step):
                break
            found[index] = True
        return found

    draw = np.random.default_rng(0)
    for count in (1, 2, 5, 8):
        p_values = (draw.random(count) ** 3).tolist()
        adjusted = holm(p_values)
        for level in draw.random(50).tolist():
            assert rejected(p_values, level) == [value <= level for value in adjusted]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([math.nan, 0.01]) == pytest.approx([1.0, 0.02])
    assert holm([]) == [] and holm([math.nan] * 2) == [1.0, 1.0]


def test_holm_is_the_formula_of_its_docstring() -> None:
    """Also where p-values are equal, missing, 0 or 1."""
    draw = np.random.default_rng(8)
    for count in (1, 2, 5, 40):
        for _ in range(20):
            p_values = np.round(draw.random(count) ** 3, 2)
            p_values[draw.random(count) < 0.2] = math.nan
            known = [1.0 if math.isnan(value) else value for value in p_values]
            steps = sorted(known)
            expected = [
                max(min(1.0, (count - j) * steps[j]) for j in range(count) if steps[j] <= value) for value in known
            ]
            assert holm(p_values.tolist()) == pytest.approx(expected, abs=1e-12)


def test_holm_leaves_the_collector_of_garbage_as_it_was() -> None:
    """Its library collects all garbage in each call. Here that finds nothing to look at, and then all is as before."""
    skipped: list[int] = []

    def watch(phase: str, about: dict[str, int]) -> None:
        skipped.append(gc.get_freeze_count())

    holm([0.5])  # whatever the import leaves behind
    gc.callbacks.append(watch)
    try:
        holm([0.01, 0.04])
    finally:
        gc.callbacks.remove(watch)
    assert skipped and min(skipped) > 10_000
    assert gc.get_freeze_count() == 0


def test_the_slow_library_is_loaded_only_where_it_is_used() -> None:
    code = (
        "import sys; import distillcse_kit.evaluation.power, distillcse_kit.evaluation.statistics as s;"
        "s.paired_difference([1, 2, 4], [1, 1, 1]); first = 'statsmodels' in sys.modules;"
        "s.holm([0.5]); print(first, 'statsmodels' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_table_is_compared_as_scipy_compares_pairs() -> None:
    draw = np.random.default_rng(1)
    table = {name: (70 + shift + draw.normal(size=5)).tolist() for name, shift in (("a", 0), ("b", 3), ("c", 0.1))}
    found = compare_with(table, "a")
    assert list(found) == ["b", "c"]
    for name, comparison in found.items():
        assert comparison.p_value == pytest.approx(stats.ttest_rel(table[name], table["a"]).pvalue)
        assert comparison.difference == paired_difference(table[name], table["a"])
    assert [found[name].adjusted for name in found] == holm([found[name].p_value for name in found])
    one = compare_with({"a": [1.0], "b": [2.0]}, "a")["b"]
    assert math.isnan(one.p_value) and one.adjusted == 1 and not one.decided
    assert compare_with({"a": [1.0, 2.0], "b": [1.0, 2.0]}, "a")["b"].p_value == 1
    assert compare_with({"a": [1.0, 2.0], "b": [2.0, 3.0]}, "a")["b"].p_value == 0
    tenths = compare_with({"a": [0.0] * 3, "b": [0.1] * 3}, "a")["b"]  # their mean is rounded, and is not 0.1
    assert tenths.p_value == 0 and tenths.decided


def test_a_p_value_is_the_tail_of_students_t() -> None:
    """By the definition: the chance that |t| is above |mean| sqrt(n) / s."""
    draw = np.random.default_rng(9)
    for n in (2, 3, 5, 30):
        a, b = 60 + draw.normal(size=n), 61 + draw.normal(size=n)
        t = abs((a - b).mean()) * math.sqrt(n) / (a - b).std(ddof=1)
        found = compare_with({"a": a, "b": b}, "a")["b"].p_value
        assert found == pytest.approx(2 * stats.t.sf(t, n - 1), rel=1e-9)


def test_without_an_effect_a_table_claims_one_in_at_most_5_percent() -> None:
    """Five settings that are all the same as the baseline, 1,000 tables: binomial, 3 standard errors of room."""
    draw = np.random.default_rng(2)
    claims = 0
    for _ in range(1_000):
        seeds = draw.normal(size=5)  # shared by all rows: the same seed, the same order of data
        table = {str(row): (seeds + draw.normal(size=5)).tolist() for row in range(6)}
        claims += any(comparison.decided for comparison in compare_with(table, "0").values())
    assert claims <= 50 + 3 * (1_000 * 0.05 * 0.95) ** 0.5


def test_an_effect_is_found() -> None:
    draw = np.random.default_rng(3)
    seeds = 70 + draw.normal(size=5)
    table = {"a": seeds.tolist(), "b": (seeds + 2 + 0.2 * draw.normal(size=5)).tolist()}
    assert compare_with(table, "a")["b"].decided


# ---------------------------------------------------------------- which pairs are in the set


def noisy(draw: np.random.Generator, gold: np.ndarray, noise: float, runs: int = 3) -> np.ndarray:
    return gold + noise * draw.normal(size=(runs, len(gold)))


def test_the_bootstrap_resamples_spearman_as_scipy_has_it() -> None:
    draw = np.random.default_rng(4)
    gold = draw.integers(0, 6, 60).astype(float)  # with ties
    better, worse = noisy(draw, gold, 1), noisy(draw, gold, 2)
    found = bootstrap_pairs(better, worse, gold, resamples=40, seed=7)
    again, expected = np.random.default_rng(7), []
    for rows in again.integers(60, size=(40, 60)):
        sides = [
            np.mean([stats.spearmanr(run[rows], gold[rows]).statistic for run in runs]) for runs in (better, worse)
        ]
        expected.append(100 * (sides[0] - sides[1]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])))
    whole = [np.mean([stats.spearmanr(run, gold).statistic for run in runs]) for runs in (better, worse)]
    assert found.difference == pytest.approx(100 * (whole[0] - whole[1]))


def test_the_bootstrap_covers_and_does_not_claim_too_often() -> None:
    """Two systems that are equally good: of 60 test sets of 80 pairs, the interval leaves 0 out in about 5%."""
    draw = np.random.default_rng(5)
    outside = 0
    for number in range(60):
        gold = draw.normal(size=80)
        found = bootstrap_pairs(noisy(draw, gold, 1, 1), noisy(draw, gold, 1, 1), gold, resamples=100, seed=number)
        outside += not found.low <= 0 <= found.high
    assert outside <= 3 + 3 * (60 * 0.05 * 0.95) ** 0.5


def test_draws_without_a_correlation_are_left_out() -> None:
    """Four pairs with two gold scores: many draws hold one gold score only, and have no correlation."""
    gold = np.array([0.0, 0.0, 5.0, 5.0])
    better, worse = gold + np.array([0.0, 0.1, 0.2, 0.3]), np.array([1.0, 4.0, 0.0, 2.0])

    def spearman(predicted: np.ndarray, rows: np.ndarray) -> float:
        return 100 * np.corrcoef(stats.rankdata(predicted[rows]), stats.rankdata(gold[rows]))[0, 1]

    with np.errstate(invalid="ignore"):
        differences = [
            spearman(better, rows) - spearman(worse, rows)
            for rows in np.random.default_rng(0).integers(4, size=(200, 4))
        ]
    assert 0 < np.isnan(differences).sum() < 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_pairs(better[None], worse[None], gold, resamples=200)
    assert (found.low, found.high) == pytest.approx(tuple(np.nanquantile(differences, [0.025, 0.975])))


@pytest.mark.parametrize("at_a_time", [1, 60, 500, 10**9])
def test_how_many_draws_are_ranked_together_changes_nothing(monkeypatch: pytest.MonkeyPatch, at_a_time: int) -> None:
    draw = np.random.default_rng(6)
    gold = draw.normal(size=60)
    sides = noisy(draw, gold, 1), noisy(draw, gold, 2)
    expected = bootstrap_pairs(*sides, gold, resamples=50)
    sizes: list[int] = []
    ranks = module.rankdata

    def noted(values: np.ndarray, axis: int) -> np.ndarray:
        sizes.append(values.size)
        return ranks(values, axis=axis)

    monkeypatch.setattr(module, "rankdata", noted)
    monkeypatch.setattr(module, "AT_A_TIME", at_a_time)
    found = bootstrap_pairs(*sides, gold, resamples=50)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert max(sizes) == 60 * max(1, min(50, at_a_time // 60))  # memory does not grow with the number of draws


def test_the_same_predictions_do_not_differ() -> None:
    gold = np.arange(20.0)
    same = noisy(np.random.default_rng(0), gold, 3)
    found = bootstrap_pairs(same, same, gold, resamples=20)
    assert (found.difference, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("predicted", "baseline", "gold", "message"),
    [
        (np.zeros((2, 5)), np.zeros((3, 5)), range(5), "same number of runs"),
        (np.zeros((2, 5)), np.zeros((2, 5)), range(4), "same pairs"),
        (np.zeros(5), np.zeros(5), range(5), "same pairs"),
        (np.zeros((1, 2)), np.zeros((1, 2)), range(2), "at least 3"),
    ],
)
def test_what_cannot_be_resampled_is_one_sentence(
    predicted: np.ndarray, baseline: np.ndarray, gold: range, message: str
) -> None:
    with pytest.raises(KitError, match=message):
        bootstrap_pairs(predicted, baseline, list(gold))


def test_no_draw_at_all_is_one_sentence() -> None:
    with pytest.raises(KitError, match="resamples is 0; it must be at least 1"):
        bootstrap_pairs(np.zeros((1, 5)), np.zeros((1, 5)), range(5), resamples=0)


# ---------------------------------------------------------------- how many seeds


@pytest.mark.parametrize("level", [0.001, 0.05, 0.2])
@pytest.mark.parametrize("n", [2, 3, 5, 16, 200])
def test_power_is_the_two_tails_of_the_non_central_t(n: int, level: float) -> None:
    critical = stats.t.ppf(1 - level / 2, n - 1)
    for difference in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0):
        tail = stats.nct(n - 1, difference / 0.5 * math.sqrt(n))
        expected = tail.sf(critical) + np.nan_to_num(tail.cdf(-critical))  # nan far from 0
        assert power(difference, 0.5, n, level) == pytest.approx(expected, abs=1e-9)
        assert power(-difference, 0.5, n, level) == power(difference, 0.5, n, level)


def test_power_far_from_0_is_a_number() -> None:
    """Where scipy has no number for one of the tails, as for differences that are all equal up to rounding."""
    for n in range(2, 9):
        found = [power(size, 1.0, n) for size in (0.5, 1, 5, 10, 20, 50, 1e3, 1e6, 1e10, 1e20, 1e300)]
        assert found == pytest.approx(sorted(found), abs=1e-12) and found[-1] == pytest.approx(1, abs=1e-9)
    assert power(0.1, 1.7e-17, 5) == power(1.0, 1e-300, 2) == 1
    # So far from 0, t exceeds its critical value where s < difference sqrt(n) / critical: here by counting.
    scatter = np.abs(np.random.default_rng(1).normal(size=100_000))  # s of two values with a deviation of 1
    critical = stats.t.isf(0.5e-6, 1)
    assert power(1e6, 1.0, 2, 1e-6) == pytest.approx((scatter < 1e6 * math.sqrt(2) / critical).mean(), abs=0.005)


def test_power_is_how_often_simulated_seeds_find_a_difference() -> None:
    draw = np.random.default_rng(0)
    sample = draw.normal(0.8, 1.0, size=(20_000, 6))
    significant = stats.ttest_1samp(sample, 0, axis=1).pvalue < 0.05
    assert power(0.8, 1.0, 6) == pytest.approx(significant.mean(), abs=0.012)
    assert power(0.0, 1.0, 6) == pytest.approx(0.05)


@pytest.mark.parametrize("n", [2, 3, 5, 16])
def test_the_detectable_difference_has_the_power_it_promises(n: int) -> None:
    found = detectable_difference(0.7, n)
    assert power(found, 0.7, n) == pytest.approx(0.8, abs=1e-6)
    assert detectable_difference(1.4, n) == pytest.approx(2 * found)
    assert detectable_difference(0.0, n) == 0


def test_the_seeds_that_are_needed_are_just_enough() -> None:
    n = seeds_needed(0.5, 0.5)
    assert power(0.5, 0.5, n) >= 0.8 > power(0.5, 0.5, n - 1) and n == 10
    assert seeds_needed(-0.5, 0.5) == n
    assert seeds_needed(0.5, 0.0) == seeds_needed(0.1, 1.7e-17) == 2
    for difference in (0.05, 0.3, 2.0, 3.0):
        n = seeds_needed(difference, 0.4)
        assert power(difference, 0.4, n) >= 0.8 and (n == 2 or power(difference, 0.4, n - 1) < 0.8)


SENTENCES: dict[str, Callable[[], float]] = {
    "difference that matters": lambda: seeds_needed(0, 0.5),
    "More than 1,000,000 seeds": lambda: seeds_needed(1e-6, 1.0),
    "standard deviation is nan; give that of at least two differences": lambda: seeds_needed(0.5, math.nan),
    "standard deviation is -1; give": lambda: detectable_difference(-1, 5),
    "wanted chance is 80;": lambda: detectable_difference(0.5, 5, 80),
    "wanted chance is 0.01;": lambda: seeds_needed(0.5, 0.5, 0.01),
    "at least two": lambda: detectable_difference(0.5, 1),
    "give at least two": lambda: power(0.5, 0.5, 1),
    "standard deviation is 0; the power needs one above 0": lambda: power(0.5, 0, 5),
    r"level is 5; it must lie in \(0, 1\)": lambda: power(0.5, 0.5, 5, 5),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_has_no_power_is_one_sentence(sentence: str) -> None:
    with pytest.raises(KitError, match=sentence):
        SENTENCES[sentence]()
