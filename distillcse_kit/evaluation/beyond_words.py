"""Does an encoder know more than which words two sentences share? Correlations with the word overlap taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import interval_over_pairs, spearman_of_runs


@dataclass(frozen=True)
class PartOfPairs:
    """Spearman x 100 on some pairs, or with something held fixed.

    Attributes:
        value: mean over runs.
        low, high: percentile interval over pairs drawn with replacement; the runs stay the same.
        pairs: how many pairs it is taken on.
    """

    value: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class Bin:
    """The pairs whose word overlap lies in [start, end), in the last bin [start, end].

    Attributes:
        start, end: of the overlap.
        pairs: how many lie in it.
        score: Spearman x 100 inside the bin; None where there are fewer than ``FEWEST`` pairs, or no correlation.
    """

    start: float
    end: float
    pairs: int
    score: PartOfPairs | None


FEWEST = 10  # pairs that a bin's interval needs


def partial_spearman(
    predicted: np.ndarray,
    gold: Sequence[float],
    given: Sequence[float],
    resamples: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PartOfPairs:
    """Partial Spearman correlation x 100 between cosines and gold scores, given a third quantity such as word overlap.

        rho_pg.z = (rho_pg - rho_pz rho_gz) / sqrt((1 - rho_pz^2) (1 - rho_gz^2))

    where p are the cosines, g the gold scores, z the third quantity, and rho Spearman correlations. It is the
    correlation of the ranks of p and g after a straight line in the rank of z is taken from both. What is left above 0
    is agreement with the gold scores that the word overlap does not explain; it is 0 for an encoder that ranks pairs by
    word overlap and noise. It is no share of the score, and removes only what is linear in ranks.

    Args:
        predicted: cosines of the pairs from one run [n], or from S runs [S, n], over which the mean is taken.
        gold: gold scores, [n].
        given: what is held fixed, [n]; for words ``word_overlap.tfidf_cosines``.
        resamples, confidence, seed: of the interval, as for ``bootstrap_pairs``.

    Raises:
        KitError: the shapes do not match, fewer than three pairs, no draw, a confidence outside (0, 1), or a side that
            is constant or ordered exactly as ``given``.
    """
    runs, scores, fixed = _checked(predicted, gold, given)

    def partial(rows: np.ndarray, axis: int) -> np.ndarray:
        with_gold, with_fixed = (spearman_of_runs(runs, side, rows) / 100 for side in (scores, fixed))
        gold_with_fixed = spearman_of_runs(scores[None], fixed, rows)[0] / 100
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.sqrt((1 - with_fixed**2).clip(min=0) * (1 - gold_with_fixed**2).clip(min=0))
            found = 100 * (with_gold - with_fixed * gold_with_fixed) / np.where(scale > 1e-9, scale, np.nan)
        return found.mean(axis=0)

    value = float(partial(np.arange(len(scores)), -1))
    if math.isnan(value):
        raise KitError(
            "A side is constant, or ordered exactly as what is held fixed; then nothing is left to correlate."
        )
    return PartOfPairs(value, *interval_over_pairs(partial, len(scores), resamples, confidence, seed), len(scores))


def spearman_by_bins(
    predicted: np.ndarray,
    gold: Sequence[float],
    overlap: Sequence[float],
    bins: int | Sequence[float] = 5,
    resamples: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Bin]:
    """Spearman x 100 between cosines and gold scores inside bins of word overlap, where words can tell little.

    Inside a bin the gold scores vary less than on all pairs, so all correlations are lower. Compare methods inside the
    same bin, also with the overlap itself as ``predicted``; do not compare a bin with the whole set.

    Args:
        predicted: cosines of the pairs from one run [n], or from S runs [S, n], over which the mean is taken.
        gold: gold scores, [n].
        overlap: of each pair, [n], such as ``word_overlap.tfidf_cosines``.
        bins: how many bins of about the same number of pairs (fewer where many pairs have the same overlap), or the
            edges, in ascending order. Pairs outside of the edges are left out.
        resamples, confidence, seed: of the intervals, as for ``bootstrap_pairs``.

    Raises:
        KitError: the shapes do not match, no bin, edges that do not ascend, no draw, or a confidence outside (0, 1).
    """
    runs, scores, words = _checked(predicted, gold, overlap)
    edges = _edges(words, bins)
    numbers = np.searchsorted(edges, words, side="right") - 1
    numbers[words == edges[-1]] = len(edges) - 2  # the last bin holds its end
    found = []
    for number, (start, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        rows = np.flatnonzero(numbers == number)
        score = None if len(rows) < FEWEST else _inside(runs[:, rows], scores[rows], resamples, confidence, seed)
        found.append(Bin(start, end, len(rows), score))
    return found


def _inside(runs: np.ndarray, scores: np.ndarray, resamples: int, confidence: float, seed: int) -> PartOfPairs | None:
    def score(rows: np.ndarray, axis: int) -> np.ndarray:
        return spearman_of_runs(runs, scores, rows).mean(axis=0)

    value = float(score(np.arange(len(scores)), -1))
    if math.isnan(value):  # all gold scores or all cosines are equal
        return None
    return PartOfPairs(value, *interval_over_pairs(score, len(scores), resamples, confidence, seed), len(scores))


def _edges(words: np.ndarray, bins: int | Sequence[float]) -> np.ndarray:
    if isinstance(bins, int):
        if bins < 1:
            raise KitError(f"bins is {bins}; give at least 1.")
        edges = np.unique(np.quantile(words, np.linspace(0, 1, bins + 1)))
        return edges if len(edges) > 1 else np.repeat(edges, 2)
    edges = np.asarray(bins, dtype=np.float64)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise KitError("The edges of bins must ascend; give at least two of them.")
    return edges


def _checked(
    predicted: np.ndarray, gold: Sequence[float], third: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    runs = np.atleast_2d(np.asarray(predicted, dtype=np.float64))
    scores, other = (np.asarray(values, dtype=np.float64) for values in (gold, third))
    if runs.ndim != 2 or scores.shape != runs.shape[1:] or other.shape != scores.shape:
        raise KitError("Cosines, gold scores and word overlap must be of the same pairs: one number for each.")
    if not len(runs) or not all(np.isfinite(values).all() for values in (runs, scores, other)):
        raise KitError("Cosines, gold scores and word overlap must be finite numbers; look for a failed run.")
    return runs, scores, other
