"""Training batches against test pairs: Figure 1 and Table 1 of the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from distillcse_kit.analysis.logits import batch_cosines, different_pairs, first_order
from distillcse_kit.evaluation.scoring import unit

BINS = 50

# Figure 1 and Table 1: training batches against test pairs


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation and their ratio, which does not depend on the unit."""

    mean: float
    std: float

    @property
    def coefficient(self) -> float:
        """Coefficient of variation: std / |mean|; inf where the mean is 0 up to rounding."""
        return coefficient_of(self.std, self.mean)


def coefficient_of(std: float, mean: float) -> float:
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
