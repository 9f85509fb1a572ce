"""Correlations with the word overlap taken out: against regressions, the Gaussian's closed form, and plain loops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from statsmodels.api import OLS, add_constant

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.beyond_words import Bin, partial_spearman, spearman_by_bins
from distillcse_kit.evaluation.statistics import bootstrap_pairs
from distillcse_kit.evaluation.word_overlap import tfidf_cosines, tfidf_score


def correlated(draw: np.random.Generator, n: int, pg: float, pz: float, gz: float) -> tuple[np.ndarray, ...]:
    """Cosines, gold scores and overlap with these Pearson correlations, normal: three arrays [n]."""
    return tuple(draw.multivariate_normal(np.zeros(3), [[1, pg, pz], [pg, 1, gz], [pz, gz, 1]], n).T)


# ---------------------------------------------------------------- partial correlation


def test_a_partial_correlation_is_that_of_the_residuals_of_ranks() -> None:
    draw = np.random.default_rng(0)
    predicted, gold, words = correlated(draw, 80, 0.6, 0.5, 0.7)
    gold, words = np.round(gold), np.round(words, 1)  # with ties
    p, g, z = (stats.rankdata(values) for values in (predicted, gold, words))
    residuals = [OLS(side, add_constant(z)).fit().resid for side in (p, g)]
    expected = 100 * np.corrcoef(*residuals)[0, 1]
    found = partial_spearman(predicted, gold, words, resamples=20)
    assert found.value == pytest.approx(expected)
    assert found.pairs == 80 and found.low < found.value < found.high
    swapped = partial_spearman(gold, predicted, words, resamples=20)
    assert swapped.value == pytest.approx(found.value)


def test_runs_are_averaged_and_a_monotone_change_of_scale_changes_nothing() -> None:
    draw = np.random.default_rng(1)
    predicted, gold, words = correlated(draw, 60, 0.6, 0.5, 0.7)
    runs = np.stack([predicted, predicted + 0.5 * draw.normal(size=60)])
    each = [partial_spearman(run, gold, words, resamples=10).value for run in runs]
    found = partial_spearman(runs, gold, words, resamples=30, seed=3)
    assert found.value == pytest.approx(np.mean(each))
    assert partial_spearman(np.exp(runs), gold**3, np.exp(words), resamples=30, seed=3) == found


def test_an_interval_is_the_percentiles_of_resampled_pairs() -> None:
    predicted, gold, words = correlated(np.random.default_rng(2), 40, 0.6, 0.5, 0.7)
    again, expected = np.random.default_rng(7), []
    for rows in again.integers(40, size=(50, 40)):
        pg, pz, gz = (
            stats.spearmanr(a[rows], b[rows]).statistic
            for a, b in ((predicted, gold), (predicted, words), (gold, words))
        )
        expected.append(100 * (pg - pz * gz) / math.sqrt((1 - pz**2) * (1 - gz**2)))
    found = partial_spearman(predicted, gold, words, resamples=50, confidence=0.8, seed=7)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(expected, [0.1, 0.9])))


@pytest.mark.parametrize("truth", [(0.35, 0.5, 0.7), (0.8, 0.5, 0.6)])
def test_95_percent_intervals_hold_the_partial_correlation(truth: tuple[float, float, float]) -> None:
    """Of normal variables, whose Spearman correlation is 6 / pi arcsin(r / 2). The first truth is all word overlap."""
    pg, pz, gz = (6 / math.pi * math.asin(r / 2) for r in truth)
    expected = 100 * (pg - pz * gz) / math.sqrt((1 - pz**2) * (1 - gz**2))
    draw, hits, values = np.random.default_rng(3), 0, []
    for number in range(200):
        found = partial_spearman(*correlated(draw, 100, *truth), resamples=200, seed=number)
        hits += found.low <= expected <= found.high
        values.append(found.value)
    assert 0.95 * 200 - 3 * math.sqrt(200 * 0.05 * 0.95) <= hits <= 200
    assert np.mean(values) == pytest.approx(expected, abs=3 * np.std(values) / math.sqrt(200) + 0.5)


# ---------------------------------------------------------------- bins


def test_bins_by_loops() -> None:
    draw = np.random.default_rng(4)
    predicted, gold, words = correlated(draw, 200, 0.6, 0.5, 0.7)
    edges = [-1.0, 0.0, 0.5, float(words.max())]
    found = spearman_by_bins(predicted, gold, words, edges, resamples=30, seed=2)
    assert [(one.start, one.end) for one in found] == [(-1.0, 0.0), (0.0, 0.5), (0.5, words.max())]
    for one, last in zip(found, (False, False, True), strict=True):
        rows = [i for i in range(200) if one.start <= words[i] < one.end or (last and words[i] == one.end)]
        assert one.pairs == len(rows) and one.score is not None
        assert one.score.value == pytest.approx(100 * stats.spearmanr(predicted[rows], gold[rows]).statistic)
        same = np.zeros((1, len(rows)))
        same[0] = gold[rows]
        against_gold = bootstrap_pairs(same, predicted[rows][None], gold[rows], resamples=30, seed=2)
        assert (one.score.low, one.score.high) == pytest.approx((100 - against_gold.high, 100 - against_gold.low))
    assert sum(one.pairs for one in found) == ((words >= -1) & (words <= words.max())).sum()


@pytest.mark.parametrize("count", [1, 3, 7])
def test_bins_of_equal_size_hold_every_pair_once(count: int) -> None:
    predicted, gold, words = correlated(np.random.default_rng(5), 140, 0.6, 0.5, 0.7)
    found = spearman_by_bins(predicted, gold, words, count, resamples=5)
    sizes = [one.pairs for one in found]
    assert len(found) == count and sum(sizes) == 140 and max(sizes) - min(sizes) <= 2
    assert all(a.end == b.start for a, b in pairwise(found))
    if count == 1:
        assert found[0].score is not None
        assert found[0].score.value == pytest.approx(100 * stats.spearmanr(predicted, gold).statistic)


def test_overlaps_that_are_equal_make_fewer_bins_and_small_ones_have_no_score() -> None:
    gold = np.arange(40.0)
    found = spearman_by_bins(gold, gold, [0.0] * 30 + [0.5] * 5 + [1.0] * 5, 4, resamples=5)
    assert [(one.start, one.end, one.pairs) for one in found] == [(0.0, 0.125, 30), (0.125, 1.0, 10)]
    assert found[0].score is not None and found[0].score.value == pytest.approx(100)
    few = spearman_by_bins(gold, gold, gold, [0, 9, 39], resamples=5)
    assert few[0] == Bin(0, 9, 9, None) and few[1].pairs == 31
    enough = spearman_by_bins(gold, gold, gold, [0, 10, 39], resamples=5)[0]
    assert enough.pairs == 10 and enough.score is not None
    assert spearman_by_bins(gold, np.zeros(40), gold, 1, resamples=5)[0].score is None
    same = spearman_by_bins(gold, gold, np.ones(40), 3, resamples=5)
    assert [(one.start, one.end, one.pairs) for one in same] == [(1, 1, 40)]


def test_95_percent_intervals_hold_the_correlation_inside_a_bin() -> None:
    """The truth is that of 400,000 pairs."""
    edges = [-0.6, 0.6]
    predicted, gold, words = correlated(np.random.default_rng(6), 400_000, 0.7, 0.5, 0.7)
    inside = np.abs(words) < 0.6
    truth = 100 * stats.spearmanr(predicted[inside], gold[inside]).statistic
    draw, hits = np.random.default_rng(7), 0
    for number in range(200):
        (found,) = spearman_by_bins(*correlated(draw, 150, 0.7, 0.5, 0.7), edges, resamples=200, seed=number)
        assert found.score is not None
        hits += found.score.low <= truth <= found.score.high
    assert 0.95 * 200 - 3 * math.sqrt(200 * 0.05 * 0.95) <= hits <= 200


# ---------------------------------------------------------------- words


def test_tfidf_cosines_are_0_without_a_shared_word_and_1_for_the_same_words() -> None:
    pairs = SentencePairs(
        "own",
        ["a red bowl", "the old boat", "two new letters"],
        ["a red bowl", "his garden gate", "two new boats"],
        [5, 0, 3],
    )
    found = tfidf_cosines(pairs)
    assert found[0] == pytest.approx(1) and found[1] == 0 and 0 < found[2] < 1
    assert tfidf_score(pairs) == pytest.approx(100 * stats.spearmanr(found, pairs.score).statistic)


def test_what_cannot_be_correlated_is_one_sentence() -> None:
    numbers = np.arange(20.0)
    mixed = np.random.default_rng(8).permutation(20)
    for sides, message in (
        ((numbers, numbers, numbers[:-1]), "same pairs"),
        ((numbers[:-1], numbers, numbers), "same pairs"),
        ((np.zeros((1, 2, 20)), numbers, numbers), "same pairs"),
        ((numbers, np.where(numbers == 3, np.nan, numbers), numbers), "finite numbers; look for a failed run"),
        ((np.zeros((0, 20)), numbers, numbers), "finite numbers"),
    ):
        for function in (partial_spearman, spearman_by_bins):
            with pytest.raises(KitError, match=message):
                function(*sides)
    for given in (numbers, np.zeros(20)):
        with pytest.raises(KitError, match="nothing is left to correlate"):
            partial_spearman(mixed, numbers, given)
    for bins, message in (
        (0, "bins is 0"),
        ([0.5], "must ascend"),
        ([0, 0, 1], "must ascend"),
        ([1, 0], "must ascend"),
    ):
        with pytest.raises(KitError, match=message):
            spearman_by_bins(mixed, numbers, numbers, bins)
