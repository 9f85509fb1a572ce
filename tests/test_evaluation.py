"""Scores against scipy, intervals against scipy, and the behaviour of both over simulated seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.data.pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import pair_cosines, paired_difference, score_pairs, seed_interval, verdict
from distillcse_kit.evaluation.sts import first_pairs, pairs_fingerprint


class Letters:
    """An encoder that counts letters, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, sentences: list[str]) -> np.ndarray:
        self.asked += sentences
        return np.array([[text.count(letter) + 0.1 for letter in "aeioust"] for text in sentences])


PAIRS = SentencePairs(
    "p",
    ["a cat sat", "the sun is out", "a cat sat", "oats", "tea", "use it"],
    ["a sea", "it is hot", "a cat sat", "tea", "oats", "is it so"],
    [1.0, 2.5, 5.0, 2.5, 2.5, 3.0],
)


def test_scores_are_scipys_with_ties_and_repeated_sentences() -> None:
    encoder = Letters()
    expected = []
    for first, second in zip(PAIRS.first, PAIRS.second, strict=True):
        a, b = Letters().encode([first, second])
        expected.append(a @ b / np.sqrt((a @ a) * (b @ b)))
    np.testing.assert_allclose(pair_cosines(encoder, PAIRS), expected)
    assert len(encoder.asked) == len(set(encoder.asked)) == 8
    assert score_pairs(Letters(), PAIRS) == pytest.approx(100 * stats.spearmanr(expected, PAIRS.score).statistic)


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_a_constant_encoder_has_no_score() -> None:
    class Constant:
        def encode(self, sentences: list[str]) -> np.ndarray:
            return np.ones((len(sentences), 3))

    assert math.isnan(score_pairs(Constant(), PAIRS))


def test_a_sample_of_pairs_keeps_pairs_together() -> None:
    some = first_pairs(PAIRS, 4)
    assert len(some) == 4 and some.name == "p (4 of 6)"
    rows = list(zip(PAIRS.first, PAIRS.second, PAIRS.score, strict=True))
    chosen = [rows.index(row) for row in zip(some.first, some.second, some.score, strict=True)]
    assert chosen == sorted(chosen) and len(set(chosen)) == 4
    assert first_pairs(PAIRS, 0) is PAIRS is first_pairs(PAIRS, 6)
    assert pairs_fingerprint(some) != pairs_fingerprint(PAIRS) == pairs_fingerprint(SentencePairs("q", *columns(PAIRS)))


def columns(pairs: SentencePairs) -> tuple[list[str], list[str], list[float]]:
    return list(pairs.first), list(pairs.second), list(pairs.score)


# ---------------------------------------------------------------- intervals


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_an_interval_is_scipys(confidence: float) -> None:
    values = [54.1, 53.2, 55.9, 54.4, 52.8]
    low, high = stats.t.interval(confidence, 4, loc=np.mean(values), scale=stats.sem(values))
    found = seed_interval(values, confidence)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.mean, found.n, found.standard_deviation) == pytest.approx(
        (np.mean(values), 5, np.std(values, ddof=1))
    )


def test_a_paired_difference_is_scipys() -> None:
    a, b = [55.0, 54.2, 57.1, 53.3], [54.0, 54.4, 55.2, 52.0]
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = paired_difference(a, b)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(2_000):
        found = seed_interval(draw.normal(60, 1.3, size=5).tolist())
        hits += found.low <= 60 <= found.high
    assert stats.binomtest(hits, 2_000, 0.95).pvalue > 0.001


def test_with_no_effect_planted_a_difference_is_claimed_in_a_twentieth() -> None:
    draw = np.random.default_rng(1)
    claims = 0
    for _ in range(2_000):
        shared = draw.normal(60, 1, size=5)
        a, b = shared + draw.normal(0, 0.5, 5), shared + draw.normal(0, 0.5, 5)
        claims += "not decided" not in verdict(paired_difference(a.tolist(), b.tolist()), "A", "B")
    assert stats.binomtest(claims, 2_000, 0.05).pvalue > 0.001


def test_one_seed_decides_nothing() -> None:
    one = seed_interval([61.5])
    assert one.n == 1 and math.isnan(one.half_width) and str(one) == "61.50"
    assert (
        verdict(paired_difference([2.0], [1.0]), "A", "B") == "A against B: +1.00 from one seed, which decides nothing."
    )


def test_the_three_verdicts() -> None:
    above, below, open_ = [3.0, 3.2, 3.1], [-3.0, -3.2, -3.1], [3.0, -3.0, 0.5]
    zero = [0.0] * 3
    assert verdict(paired_difference(above, zero), "A", "B").startswith("A lies above B: +3.10 [+2.85, +3.35], 3 seeds")
    assert verdict(paired_difference(below, zero), "A", "B").startswith("A lies below B: -3.10")
    assert "is not decided" in verdict(paired_difference(open_, zero), "A", "B")


def test_values_that_give_no_interval() -> None:
    for values in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(KitError, match="only finite ones"):
            seed_interval(values)
    with pytest.raises(KitError, match=r"must lie in \(0, 1\)"):
        seed_interval([1.0, 2.0], 1.0)
    with pytest.raises(KitError, match="3 and 2 values cannot be paired"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])
