"""How much teachers that differ only in their seed disagree, on single sentences and on pairs (section 4 of the paper).

Shapes: M teachers, B mini-batches of N sentences, d dimensions. The first order of a sentence is the mean over the
dimensions of its unit embedding; the second order of a pair is its cosine t_ij. Standard deviations over teachers
are unbiased in the variance (divided by M - 1). Everything here is numpy in, a frozen dataclass out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from distillcse_kit.errors import KitError

BINS = 50


def sample_batches(sentences: int, batch_size: int, batches: int, seed: int = 0) -> np.ndarray:
    """Rows of random mini-batches, long [B, N]; no row twice in a batch.

    Raises:
        KitError: the corpus has fewer sentences than a batch, or a batch fewer than 3.
    """
    if not 3 <= batch_size <= sentences:
        raise KitError(f"batch_size is {batch_size}; it must lie between 3 and the corpus's {sentences} sentences.")
    draw = np.random.default_rng(seed)
    return np.stack([draw.choice(sentences, batch_size, replace=False) for _ in range(batches)])


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., d] scaled to length 1, float64: sums over thousands of pairs must not lose digits."""
    wide = np.asarray(vectors, dtype=np.float64)
    return wide / np.linalg.norm(wide, axis=-1, keepdims=True).clip(min=1e-12)


def teacher_vectors(stored: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Unit embeddings of the sentences ``rows`` under each teacher: M arrays [n, d] and rows [B, N] -> [M, B, N, d].

    Raises:
        KitError: fewer than two teachers, or teachers of different widths, whose dimensions cannot be compared.
    """
    _at_least_two(len(stored))
    if len({array.shape[1] for array in stored}) > 1:
        raise KitError("The teachers' embeddings differ in width; compare teachers that started from one base.")
    return np.stack([unit(array[rows]) for array in stored])


def first_order(vectors: np.ndarray) -> np.ndarray:
    """Mean over the dimensions of each unit embedding: [..., d] -> [...]."""
    return unit(vectors).mean(axis=-1)


def batch_cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosines inside each batch: [..., N, d] -> [..., N, N]."""
    normed = unit(vectors)
    return normed @ np.swapaxes(normed, -1, -2)


def off_diagonal(cosines: np.ndarray) -> np.ndarray:
    """Each row without its comparison of a sentence with itself: [..., N, N] -> [..., N, N - 1]."""
    n = cosines.shape[-1]
    return cosines[..., ~np.eye(n, dtype=bool)].reshape(*cosines.shape[:-1], n - 1)


def different_pairs(cosines: np.ndarray) -> np.ndarray:
    """Each unordered pair once: [..., N, N] -> [..., N (N - 1) / 2]."""
    first, second = np.triu_indices(cosines.shape[-1], k=1)
    return cosines[..., first, second]


# Figure 1 and Table 1: training batches against test pairs


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation and their ratio, which does not depend on the unit."""

    mean: float
    std: float

    @property
    def coefficient(self) -> float:
        """Coefficient of variation: std / |mean|; inf where the mean is 0 up to rounding."""
        return _ratio(self.std, self.mean)


def _ratio(std: float, mean: float) -> float:
    return std / abs(mean) if abs(mean) > 1e-9 * std else math.inf


def moments(values: np.ndarray) -> Moments:
    """Moments of a sample of at least two values."""
    return Moments(float(np.mean(values)), float(np.std(values, ddof=1)))


def gaussian_kl(first: Moments, second: Moments) -> float:
    """KL(N(m1, s1^2) || N(m2, s2^2)) = ln(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2, in nats."""
    return (
        math.log(second.std / first.std) + (first.std**2 + (first.mean - second.mean) ** 2) / (2 * second.std**2) - 0.5
    )


def histogram_kl(first: np.ndarray, second: np.ndarray, bins: int = BINS) -> float:
    """KL(first || second) of two samples by their histograms, in nats.

    Estimator: ``bins`` equal bins over the joint range, half a count added to each bin. It assumes no shape, but
    depends on the number of bins, and it cannot exceed what the half counts allow: ln of about twice the sample.
    """
    edges = np.histogram_bin_edges(np.concatenate([first.ravel(), second.ravel()]), bins)
    p, q = (np.histogram(sample, edges)[0] + 0.5 for sample in (first, second))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


@dataclass(frozen=True)
class TwoSamples:
    """One quantity on training batches and on test pairs.

    Attributes:
        name: of the quantity.
        train, test: all values, sorted from the largest.
    """

    name: str
    train: np.ndarray
    test: np.ndarray

    @property
    def train_moments(self) -> Moments:
        return moments(self.train)

    @property
    def test_moments(self) -> Moments:
        return moments(self.test)

    @property
    def kl_histogram(self) -> float:
        """KL(train || test) by histograms."""
        return histogram_kl(self.train, self.test)

    @property
    def kl_gaussian(self) -> float:
        """KL(train || test) of the Gaussians with the samples' moments."""
        return gaussian_kl(self.train_moments, self.test_moments)

    @property
    def gap(self) -> float:
        """Distance of the means in training standard deviations."""
        return abs(self.train_moments.mean - self.test_moments.mean) / self.train_moments.std


def compare_orders(batches: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[TwoSamples, TwoSamples]:
    """Figure 1 and Table 1 of the paper for one teacher: both orders, on training batches and on test pairs.

    Args:
        batches: [B, N, d], the teacher's embeddings of training sentences; t_ij is taken inside each batch.
        first, second: [n, d], its embeddings of the test pairs' sentences; t_ij is taken of each pair.

    Returns:
        First order (sentences), second order (pairs).
    """
    paired = (unit(first) * unit(second)).sum(axis=-1)
    sentences = first_order(np.concatenate([first, second]))
    return (
        _two_samples("1st order: mean over dimensions", first_order(batches), sentences),
        _two_samples("2nd order: cosine of a pair", different_pairs(batch_cosines(batches)), paired),
    )


def _two_samples(name: str, train: np.ndarray, test: np.ndarray) -> TwoSamples:
    return TwoSamples(name, np.sort(train.ravel())[::-1], np.sort(test.ravel())[::-1])


# Table 2: spread over teachers


@dataclass(frozen=True)
class Spread:
    """How one quantity varies over teachers, and over the sentences or pairs it is measured on.

    Attributes:
        name: of the quantity.
        mean: over teachers and items.
        over_teachers: root of the mean over items of the unbiased variance over teachers: the noise.
        over_items: standard deviation over items of the mean over teachers: what is there to tell items apart.
    """

    name: str
    mean: float
    over_teachers: float
    over_items: float

    @property
    def coefficient(self) -> float:
        """Coefficient of variation over teachers: over_teachers / |mean|."""
        return _ratio(self.over_teachers, self.mean)

    @property
    def noise_to_signal(self) -> float:
        """over_teachers / over_items: the noise in units of what tells items apart."""
        return self.over_teachers / self.over_items

    @property
    def entropy(self) -> float:
        """0.5 ln(2 pi e sigma^2), the paper's differential entropy: the standard deviation again, on a log scale."""
        return 0.5 * math.log(2 * math.pi * math.e * self.over_teachers**2)


def spread(name: str, values: np.ndarray) -> Spread:
    """Spread of values [M, ...]: teachers on the first axis, items on all others.

    Raises:
        KitError: fewer than two teachers.
    """
    _at_least_two(len(values))
    items = values.reshape(len(values), -1)
    noise = math.sqrt(float(items.var(axis=0, ddof=1).mean()))
    return Spread(name, float(items.mean()), noise, float(items.mean(axis=0).std(ddof=1)))


def row_centred(cosines: np.ndarray) -> np.ndarray:
    """Logits [..., N, N] less the mean of their row: [..., N, N - 1].

    A softmax over a row does not see its mean, so a teacher that calls everything a little more alike teaches nothing
    else by it. What is left here is what the student is taught.
    """
    logits = off_diagonal(cosines)
    return logits - logits.mean(axis=-1, keepdims=True)


def teacher_spread(vectors: np.ndarray) -> list[Spread]:
    """Table 2 of the paper and two rows more: spreads over teachers of embeddings [M, B, N, d].

    Returns:
        First order; one dimension of the embedding; second order t_ij; t_ij less its row's mean.
    """
    cosines = batch_cosines(vectors)
    return [
        spread("1st order: mean over dimensions", first_order(vectors)),
        spread("one dimension of the embedding", unit(vectors)),
        spread("2nd order: cosine t_ij", different_pairs(cosines)),
        spread("t_ij less its row's mean", row_centred(cosines)),
    ]


# Agreement of teachers on the order of the largest logits


@dataclass(frozen=True)
class TopAgreement:
    """Spearman correlation x 100 between two teachers' logits on the top k of a row.

    Attributes:
        k: how many of the row's largest logits.
        mean: over ordered pairs of teachers, rows and batches.
        by_batch: [B], the mean in each batch.
    """

    k: int
    mean: float
    by_batch: np.ndarray

    def __str__(self) -> str:
        return f"top {self.k}: {self.mean:.1f}"


def top_agreement(cosines: np.ndarray, k: int) -> TopAgreement:
    """Spearman of the top-k logits between teachers.

    For each ordered pair of teachers (a, b) and each row: take the k columns that are largest for a, and correlate the
    ranks of a's and b's logits on these columns. (The paper gives 48.56 for k = 12 of 16 teachers over 100 batches and
    does not say whose top is taken.)

    Args:
        cosines: [M, B, N, N]. k: 2 to N - 1.

    Raises:
        KitError: fewer than two teachers, or k out of range.
    """
    logits = off_diagonal(cosines)
    _at_least_two(len(logits))
    if not 2 <= k <= logits.shape[-1]:
        raise KitError(f"k is {k}; it must lie between 2 and the row's {logits.shape[-1]} logits.")
    per_batch = []
    for a, own in enumerate(logits):
        top = np.argpartition(-own, k - 1, axis=-1)[..., :k]
        mine = unit_ranks(np.take_along_axis(own, top, axis=-1))
        for b, other in enumerate(logits):
            if a != b:
                theirs = unit_ranks(np.take_along_axis(other, top, axis=-1))
                per_batch.append((mine * theirs).sum(axis=-1).mean(axis=-1))
    by_batch = 100 * np.mean(per_batch, axis=0)
    return TopAgreement(k, float(by_batch.mean()), by_batch)


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, centred and of length 1: their inner products are Spearman correlations."""
    ranks = rankdata(values, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    return ranks / np.linalg.norm(ranks, axis=-1, keepdims=True).clip(min=1e-12)


# Where in a row the noise is


@dataclass(frozen=True)
class SpreadByRank:
    """The logits of a row by their rank in the mean over teachers, 0 = largest; all arrays [N - 1].

    Attributes:
        mean: logit at each rank, mean over teachers and rows.
        noise: spread over teachers at each rank (root mean unbiased variance over rows), row means removed.
        gap: distance to the next rank; the last is nan. Where noise exceeds it, the order is not settled.
    """

    mean: np.ndarray
    noise: np.ndarray
    gap: np.ndarray

    @property
    def unsettled(self) -> float:
        """Share of ranks whose noise is larger than the gap to the next rank."""
        return float((self.noise[:-1] > self.gap[:-1]).mean())


def spread_by_rank(cosines: np.ndarray) -> SpreadByRank:
    """Noise as a function of the rank of the logit, from cosines [M, B, N, N].

    The rank is that of the mean over the same teachers: with few of them, the largest means are partly lucky ones.
    """
    logits, centred = off_diagonal(cosines), row_centred(cosines)
    _at_least_two(len(logits))
    mean = logits.mean(axis=0)
    order = np.argsort(-mean, axis=-1)
    variance = np.take_along_axis(centred.var(axis=0, ddof=1), order, axis=-1)
    by_rank = np.take_along_axis(mean, order, axis=-1).reshape(-1, mean.shape[-1]).mean(axis=0)
    noise = np.sqrt(variance.reshape(-1, mean.shape[-1]).mean(axis=0))
    return SpreadByRank(by_rank, noise, np.append(by_rank[:-1] - by_rank[1:], np.nan))


# What averaging removes


@dataclass(frozen=True)
class AveragingLaw:
    """Variance of a row's logits when they are the mean of m teachers: measured, and fitted as floor + noise / m.

    Attributes:
        teachers: [K], m = 1, ..., M.
        variance: [K], mean over subsets of m teachers.
        floor: a, what all teachers share: the signal, and the errors that all of them make. No averaging removes it.
        noise: b, the variance that belongs to one seed; b / m of it is left in the mean of m.
    """

    teachers: np.ndarray
    variance: np.ndarray
    floor: float
    noise: float

    def at(self, m: float | np.ndarray) -> float | np.ndarray:
        """The fitted variance for m teachers: floor + noise / m."""
        return self.floor + self.noise / m

    def noise_share(self, m: int) -> float:
        """Share of the variance of the mean of m teachers that is noise of seeds."""
        return self.noise / m / (self.floor + self.noise / m)


def averaging_law(cosines: np.ndarray, subsets: int = 200, seed: int = 0) -> AveragingLaw:
    """What averaging m of the M teachers removes.

    For each m, subsets of m teachers are averaged (all subsets, or ``subsets`` random ones) and the variance of the
    averaged logits inside their rows is taken. With covariance C of the teachers' row-centred logits it is
    1' C 1 / m^2, whose mean over subsets is floor + noise / m: floor is the mean covariance of two teachers, noise
    what a teacher's variance has beyond it. Both are fitted by least squares on 1 / m.

    Args:
        cosines: [M, B, N, N].

    Raises:
        KitError: fewer than two teachers.
    """
    logits = row_centred(cosines).reshape(len(cosines), -1)
    _at_least_two(len(logits))
    # A row of N - 1 centred logits has N - 2 degrees of freedom.
    scale = (cosines.shape[-1] - 1) / (cosines.shape[-1] - 2)
    covariance = scale * (logits @ logits.T) / logits.shape[1]
    sizes = np.arange(1, len(logits) + 1)
    variance = np.array(
        [
            np.mean([covariance[np.ix_(chosen, chosen)].mean() for chosen in _subsets(len(logits), m, subsets, seed)])
            for m in sizes.tolist()
        ]
    )
    (floor, noise), *_ = np.linalg.lstsq(np.column_stack([np.ones(len(sizes)), 1 / sizes]), variance, rcond=None)
    return AveragingLaw(sizes, variance, float(floor), float(noise))


def _subsets(teachers: int, m: int, limit: int, seed: int) -> list[tuple[int, ...]]:
    """All subsets of m teachers, or ``limit`` random ones where there are more."""
    if math.comb(teachers, m) <= limit:
        return list(combinations(range(teachers), m))
    draw = np.random.default_rng((seed, m))
    return [tuple(draw.choice(teachers, m, replace=False)) for _ in range(limit)]


def _at_least_two(teachers: int) -> None:
    if teachers < 2:
        raise KitError(f"A spread over teachers needs at least two of them, not {teachers}; train more teachers.")
