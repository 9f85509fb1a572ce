"""One interval over seeds and pairs: its coverage, and what it is where only one of the two matters."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import paired_difference
from distillcse_kit.evaluation.seeds_and_pairs import seeds_and_pairs
from distillcse_kit.evaluation.statistics import bootstrap_pairs

# How many seeds; noise of a method on a pair, for all its seeds; scatter of the seeds; noise of each seed on each pair.
TRUTHS = {
    "the pairs matter": (5, 0.7, 0.1, 0.5),
    "the seeds matter": (5, 0.1, 0.4, 0.5),
    "neither alone": (5, 0.0, 0.0, 1.0),
    "both, more seeds": (12, 0.3, 0.3, 0.5),
}


def drawn(draw: np.random.Generator, case: str, n: int = 96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two methods that are equally good over all seeds and pairs, and gold scores with ties."""
    seeds, of_pairs, of_seeds, of_both = TRUTHS[case]
    truth, sides = draw.normal(size=n), []
    shared = draw.normal(0, of_seeds, (seeds, 1))
    for _ in range(2):
        scale = of_both * np.exp(shared + draw.normal(0, of_seeds, (seeds, 1)))
        sides.append(truth + draw.normal(0, of_pairs, n) + scale * draw.normal(size=(seeds, n)))
    return sides[0], sides[1], np.round(1.2 * truth)


@pytest.mark.parametrize("case", TRUTHS)
def test_95_percent_intervals_hold_the_truth(case: str) -> None:
    """In 250 test sets. An interval over the source that does not matter holds it in far fewer."""
    draw, hits, over_seeds, over_pairs = np.random.default_rng(1), 0, 0, 0
    for _ in range(250):
        sides = drawn(draw, case)
        found = seeds_and_pairs(*sides, groups=12)
        hits += found.low <= 0 <= found.high
        over_seeds += abs(found.mean) <= stats.t.ppf(0.975, found.n - 1) * found.over_seeds
        over_pairs += abs(found.mean) <= stats.t.ppf(0.975, 11) * found.over_pairs
    assert hits >= 0.95 * 250 - 2 * math.sqrt(250 * 0.05 * 0.95)
    if case == "the pairs matter":
        assert over_seeds < 0.8 * 250
    if case == "the seeds matter":
        assert over_pairs < 0.8 * 250


def test_the_mean_and_the_part_of_the_seeds_are_the_paired_t_interval() -> None:
    first, second, gold = drawn(np.random.default_rng(2), "both, more seeds", 60)
    scores = [[100 * stats.spearmanr(run, gold).statistic for run in side] for side in (first, second)]
    found, paired = seeds_and_pairs(first, second, gold, groups=60), paired_difference(*scores)
    assert found.mean == pytest.approx(paired.mean)
    assert found.n == 12 and found.half_width > paired.half_width * 0.8
    assert found.over_seeds == pytest.approx(paired.standard_deviation / math.sqrt(12), rel=0.1)


def test_by_loops() -> None:
    """Leaving out one pair at a time, with scipy's correlations and the sums of squares written out."""
    first, second, gold = drawn(np.random.default_rng(3), "the pairs matter", 30)

    def difference(s: int, keep: list[int]) -> float:
        sides = [stats.spearmanr(side[s][keep], gold[keep]).statistic for side in (first, second)]
        return 100 * (sides[0] - sides[1])

    everything = list(range(30))
    z = [
        [30 * difference(s, everything) - 29 * difference(s, [i for i in everything if i != g]) for g in everything]
        for s in range(5)
    ]
    mean = np.mean(z)
    rows, columns = [np.mean(row) for row in z], [np.mean([row[g] for row in z]) for g in everything]
    of_seeds = sum(30 * (row - mean) ** 2 for row in rows) / 4 / 150
    of_pairs = sum(5 * (column - mean) ** 2 for column in columns) / 29 / 150
    rest = sum((z[s][g] - rows[s] - columns[g] + mean) ** 2 for s in range(5) for g in everything) / (4 * 29) / 150
    found = seeds_and_pairs(first, second, gold)
    assert (found.over_seeds**2, found.over_pairs**2) == pytest.approx((of_seeds, of_pairs))
    variance = max(of_seeds + of_pairs - rest, of_seeds, of_pairs)
    assert found.standard_deviation == pytest.approx(math.sqrt(5 * variance))
    freedom = variance**2 / (of_seeds**2 / 4 + of_pairs**2 / 29 + rest**2 / (4 * 29))
    assert found.freedom == pytest.approx(freedom)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(variance))
    narrow = seeds_and_pairs(first, second, gold, confidence=0.5)
    assert narrow.half_width == pytest.approx(stats.t.ppf(0.75, freedom) * math.sqrt(variance))


def test_the_part_of_the_pairs_is_that_of_the_bootstrap() -> None:
    first, second, gold = drawn(np.random.default_rng(4), "the pairs matter", 300)
    found, resampled = seeds_and_pairs(first, second, gold), bootstrap_pairs(first, second, gold)
    assert 2 * 1.96 * found.over_pairs == pytest.approx(resampled.high - resampled.low, rel=0.25)


def test_counting_the_interaction_twice_is_too_wide() -> None:
    """Where each seed errs on each pair afresh, the variance is a half of the sum of both."""
    draw, ratios = np.random.default_rng(5), []
    for _ in range(30):
        found = seeds_and_pairs(*drawn(draw, "neither alone"), groups=20)
        ratios.append((found.standard_deviation**2 / found.n) / (found.over_seeds**2 + found.over_pairs**2))
    assert 0.5 <= np.mean(ratios) < 0.75


def test_the_order_of_the_sides_turns_the_sign_and_the_same_sides_do_not_differ() -> None:
    first, second, gold = drawn(np.random.default_rng(6), "both, more seeds")
    there, back = seeds_and_pairs(first, second, gold), seeds_and_pairs(second, first, gold)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    same = seeds_and_pairs(first, first, gold)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    assert seeds_and_pairs(first, second, gold, groups=12) != seeds_and_pairs(first, second, gold, groups=12, seed=1)


def test_what_gives_no_interval_is_one_sentence() -> None:
    first, second, gold = drawn(np.random.default_rng(7), "the pairs matter", 20)
    for sides, message in (
        ((first, second[:4], gold), "same number of runs"),
        ((first, second, gold[:-1]), "same pairs"),
        ((first[0], second[0], gold), "same pairs"),
        ((first[:1], second[:1], gold), "One seed shows nothing of other seeds"),
        ((first[:, :9], second[:, :9], gold[:9]), "9 pairs in 50 groups are too few"),
        ((first, second, np.zeros(20)), "all gold scores or all cosines are equal"),
    ):
        with pytest.raises(KitError, match=message):
            seeds_and_pairs(*sides)
    with pytest.raises(KitError, match="20 pairs in 5 groups"):
        seeds_and_pairs(first, second, gold, groups=5)
    for confidence in (0, 1, math.nan):
        with pytest.raises(KitError, match=re.escape(f"confidence is {confidence}")):
            seeds_and_pairs(first, second, gold, confidence=confidence)
