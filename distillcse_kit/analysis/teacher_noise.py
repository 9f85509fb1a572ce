"""How much teachers that differ only in their seed disagree, on single sentences and on pairs (section 4 of the paper).

Shapes: M teachers, B mini-batches of N sentences, d dimensions. The first order of a sentence is the mean over the
dimensions of its unit embedding; the second order of a pair is its cosine t_ij. Standard deviations over teachers
are unbiased in the variance (divided by M - 1). Everything here is numpy in, a frozen dataclass out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from distillcse_kit.analysis.logits import (
    batch_cosines,
    different_pairs,
    first_order,
    off_diagonal,
    require_two_teachers,
    row_centred,
    unit_ranks,
)
from distillcse_kit.analysis.orders import coefficient_of
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import unit

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
        return coefficient_of(self.over_teachers, self.mean)

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
    require_two_teachers(len(values))
    items = values.reshape(len(values), -1)
    noise = math.sqrt(float(items.var(axis=0, ddof=1).mean()))
    return Spread(name, float(items.mean()), noise, float(items.mean(axis=0).std(ddof=1)))


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
    require_two_teachers(len(logits))
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
    require_two_teachers(len(logits))
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
    require_two_teachers(len(logits))
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
