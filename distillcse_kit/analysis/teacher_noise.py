"""How much teachers disagree that differ only in their seed, on sentences and on pairs (Table 2 of the paper).

Shapes: M teachers, B mini-batches of N sentences, d dimensions. The first order of a sentence is the mean over the
dimensions of its unit embedding. The second order of a pair is its cosine t_ij. Variances over teachers are unbiased
(divided by M - 1). All functions take numpy arrays and return frozen dataclasses.
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

# Spread over teachers: Table 2


@dataclass(frozen=True)
class Spread:
    """How one quantity varies over teachers, and over the sentences or pairs it is measured on.

    Attributes:
        name: of the quantity.
        mean: over teachers and items.
        over_teachers: the noise: root of the variance over teachers, averaged over items.
        over_items: the signal: standard deviation, over items, of the mean over teachers.
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
        """over_teachers / over_items: noise in units of the signal."""
        return self.over_teachers / self.over_items

    @property
    def entropy(self) -> float:
        """The paper's differential entropy, 0.5 ln(2 pi e sigma^2): the standard deviation on a log scale, in nats."""
        return 0.5 * math.log(2 * math.pi * math.e * self.over_teachers**2)


def spread(name: str, values: np.ndarray) -> Spread:
    """Spread of values [M, ...], with teachers on the first axis and items on all others.

    Raises:
        KitError: there are fewer than two teachers.
    """
    require_two_teachers(len(values))
    items = values.reshape(len(values), -1)
    noise = math.sqrt(float(items.var(axis=0, ddof=1).mean()))
    return Spread(name, float(items.mean()), noise, float(items.mean(axis=0).std(ddof=1)))


def teacher_spread(vectors: np.ndarray) -> list[Spread]:
    """Table 2 of the paper with two more rows: spreads over teachers of embeddings [M, B, N, d].

    Returns:
        First order; one dimension of the embedding; second order t_ij; t_ij minus its row's mean.

    Raises:
        KitError: there are fewer than two teachers.
    """
    cosines = batch_cosines(vectors)
    return [
        spread("1st order: mean over dimensions", first_order(vectors)),
        spread("one dimension of the embedding", unit(vectors)),
        spread("2nd order: cosine t_ij", different_pairs(cosines)),
        spread("t_ij minus its row's mean", row_centred(cosines)),
    ]


# Agreement of teachers on the order of the largest logits


@dataclass(frozen=True)
class TopAgreement:
    """Spearman x 100 between two teachers' logits, on the k largest of a row.

    Attributes:
        k: how many of the row's largest logits are compared.
        mean: over ordered pairs of teachers, rows and batches.
        by_batch: [B], the mean in each batch.
    """

    k: int
    mean: float
    by_batch: np.ndarray

    def __str__(self) -> str:
        return f"top {self.k}: {self.mean:.1f}"


def top_agreement(cosines: np.ndarray, k: int) -> TopAgreement:
    """Spearman x 100 between teachers on the k largest logits of each row (a number in the paper's text).

    For each ordered pair of teachers (a, b) and each row, take the k columns that are largest for a, and correlate a's
    and b's logits on them. The paper gives 48.56 for k = 12, 16 teachers and 100 batches. It does not say whose top k
    it takes.

    Args:
        cosines: [M, B, N, N].
        k: from 2 to N - 1.

    Raises:
        KitError: there are fewer than two teachers, or k is out of range.
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


# Noise by rank: where in a row it is


@dataclass(frozen=True)
class SpreadByRank:
    """Logits and their noise by rank in the mean over teachers, from 0 = largest; all arrays are [N - 1].

    Attributes:
        mean: logit at each rank, mean over teachers and rows.
        noise: standard deviation over teachers at each rank (root of the variance's mean over rows), row means removed.
        gap: distance to the next rank; nan at the last. Where the noise exceeds it, the order is uncertain.
    """

    mean: np.ndarray
    noise: np.ndarray
    gap: np.ndarray

    @property
    def unsettled(self) -> float:
        """Share of ranks where the noise is larger than the gap to the next rank."""
        return float((self.noise[:-1] > self.gap[:-1]).mean())


def spread_by_rank(cosines: np.ndarray) -> SpreadByRank:
    """Noise as a function of the logit's rank, from cosines [M, B, N, N].

    The rank is that of the mean over the same teachers. With few teachers, some of the largest means are so by luck.

    Raises:
        KitError: there are fewer than two teachers.
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
    """Variance of a row's logits for the mean of m teachers: measured, and fitted as floor + noise / m.

    Attributes:
        teachers: [M], m = 1, ..., M.
        variance: [M], measured, mean over subsets of m teachers.
        floor: what all teachers share: the signal, and the errors that all of them make. Averaging cannot remove it.
        noise: the variance due to one teacher's seed; noise / m is left in the mean of m teachers.
    """

    teachers: np.ndarray
    variance: np.ndarray
    floor: float
    noise: float

    def at(self, m: float | np.ndarray) -> float | np.ndarray:
        """The fitted variance for m teachers: floor + noise / m."""
        return self.floor + self.noise / m

    def noise_share(self, m: int) -> float:
        """Share of noise in the variance of the mean of m teachers."""
        return self.noise / m / (self.floor + self.noise / m)


def averaging_law(cosines: np.ndarray, subsets: int = 200, seed: int = 0) -> AveragingLaw:
    """What averaging m of the M teachers removes.

    For each m, average subsets of m teachers and take the variance of the averaged logits inside their rows. With C the
    covariance of the teachers' row-centred logits, this variance is 1' C 1 / m^2. Its mean over all subsets is

        floor + noise / m,   floor: mean covariance of two teachers,   noise: mean variance of a teacher - floor

    and both are fitted by least squares on 1 / m.

    Args:
        cosines: [M, B, N, N].
        subsets: at most so many random subsets for each m; all of them if there are no more.
        seed: of the random subsets.

    Raises:
        KitError: there are fewer than two teachers.
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
    """All subsets of m teachers, or ``limit`` random ones if there are more."""
    if math.comb(teachers, m) <= limit:
        return list(combinations(range(teachers), m))
    draw = np.random.default_rng((seed, m))
    return [tuple(draw.choice(teachers, m, replace=False)) for _ in range(limit)]
