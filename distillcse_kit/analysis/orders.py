"""First and second order of training batches compared with those of test pairs: Figure 1 and Table 1 of the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from distillcse_kit.analysis.logits import batch_cosines, different_pairs, first_order
from distillcse_kit.evaluation.scoring import unit

BINS = 50


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of a sample, and their ratio, which has no unit."""

    mean: float
    std: float

    @property
    def coefficient(self) -> float:
        """Coefficient of variation: std / |mean|; inf if the mean is 0 up to rounding."""
        return coefficient_of(self.std, self.mean)


def coefficient_of(std: float, mean: float) -> float:
    """Coefficient of variation: std / |mean|; inf if the mean is 0 up to rounding."""
    return std / abs(mean) if abs(mean) > 1e-9 * std else math.inf


def moments(values: np.ndarray) -> Moments:
    """Moments of a sample of at least two values; the standard deviation is unbiased in the variance."""
    return Moments(float(np.mean(values)), float(np.std(values, ddof=1)))


def gaussian_kl(first: Moments, second: Moments) -> float:
    """KL(N(m1, s1^2) || N(m2, s2^2)) = ln(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2, in nats."""
    return (
        math.log(second.std / first.std) + (first.std**2 + (first.mean - second.mean) ** 2) / (2 * second.std**2) - 0.5
    )


def histogram_kl(first: np.ndarray, second: np.ndarray, bins: int = BINS) -> float:
    """KL(first || second) of two samples, estimated from their histograms, in nats.

    The histograms have ``bins`` equal bins over the joint range, with half a count added to each bin. The estimate
    assumes no shape, but it depends on the number of bins, and the half counts limit it to ln of about twice the
    sample's size.
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
        train, test: all values, sorted in descending order.
    """

    name: str
    train: np.ndarray
    test: np.ndarray

    @property
    def train_moments(self) -> Moments:
        """Moments on the training batches."""
        return moments(self.train)

    @property
    def test_moments(self) -> Moments:
        """Moments on the test pairs."""
        return moments(self.test)

    @property
    def kl_histogram(self) -> float:
        """KL(train || test) from the histograms, in nats."""
        return histogram_kl(self.train, self.test)

    @property
    def kl_gaussian(self) -> float:
        """KL(train || test) of two Gaussians with the samples' moments, in nats."""
        return gaussian_kl(self.train_moments, self.test_moments)

    @property
    def gap(self) -> float:
        """Distance between the means, in standard deviations of the training sample."""
        return abs(self.train_moments.mean - self.test_moments.mean) / self.train_moments.std


def compare_orders(batches: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[TwoSamples, TwoSamples]:
    """Figure 1 and Table 1 of the paper for one teacher: both orders, on training batches and on test pairs.

    Args:
        batches: the teacher's embeddings of training sentences, [B, N, d]; t_ij is taken inside each batch.
        first, second: its embeddings of the two sides of the test pairs, [n, d]; t_ij is taken of each pair.

    Returns:
        (first order of sentences, second order of pairs).
    """
    paired = (unit(first) * unit(second)).sum(axis=-1)
    sentences = first_order(np.concatenate([first, second]))
    return (
        _two_samples("1st order: mean over dimensions", first_order(batches), sentences),
        _two_samples("2nd order: cosine of a pair", different_pairs(batch_cosines(batches)), paired),
    )


def _two_samples(name: str, train: np.ndarray, test: np.ndarray) -> TwoSamples:
    return TwoSamples(name, np.sort(train.ravel())[::-1], np.sort(test.ravel())[::-1])
