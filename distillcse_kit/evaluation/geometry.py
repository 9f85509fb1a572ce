"""The shape of an embedding space: alignment, uniformity and anisotropy, and the two views that dropout makes.

Alignment and uniformity are Wang and Isola's (ICML 2020), measured as SimCSE does: on unit vectors, with the sentence
pairs of high gold similarity as positives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import Encodes

_BLOCK = 1_024  # rows of the matrix of all pairs that are in memory at a time


@dataclass(frozen=True)
class Geometry:
    """What ``measure_geometry`` found.

    Attributes:
        alignment: mean squared distance of positive pairs; 0 is best, 2 is what unrelated directions have.
        uniformity: log of the mean Gaussian potential of all pairs; 0 if all points are one, about -4 if spread evenly.
        mean_cosine: of two different sentences; 0 is isotropic, near 1 a narrow cone.
        positives: number of pairs behind ``alignment``.
        sentences: number of different sentences behind the other two.
    """

    alignment: float
    uniformity: float
    mean_cosine: float
    positives: int
    sentences: int


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """The rows scaled to length 1, float64 [n, d]; a row of zeros stays one."""
    wide = np.asarray(vectors, dtype=np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(min=1e-12)


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance between the two sides of positive pairs.

        l_align = E_(x, x+) || f(x) - f(x+) ||^2

    Args:
        first, second: [n, d]; row i of both is a positive pair. Scaled to length 1 here.

    Returns:
        A number in [0, 4], = 2 - 2 E cos(x, x+).

    Raises:
        KitError: no pair, or shapes that differ.
    """
    if first.shape != second.shape or not len(first):
        raise KitError(f"Alignment needs as many first as second vectors, not {first.shape} and {second.shape}.")
    return float(((unit_rows(first) - unit_rows(second)) ** 2).sum(axis=1).mean())


def uniformity(vectors: np.ndarray, scale: float = 2.0) -> float:
    """Log of the mean Gaussian potential between different sentences; the lower, the more evenly spread.

        l_uniform = log E_(x != y) exp(-t || f(x) - f(y) ||^2),  t = 2

    Args:
        vectors: [n, d], n >= 2. Scaled to length 1 here.
        scale: t.

    Raises:
        KitError: fewer than two vectors, or t not positive.
    """
    if not scale > 0:
        raise KitError(f"scale is {scale}; it must be greater than 0.")
    unit, n = _several(vectors), len(vectors)
    # On unit vectors the squared distance is 2 - 2 cos. The diagonal's potential is exp(0) = 1, n times.
    potential = sum(
        np.exp(-scale * (2 - 2 * unit[start : start + _BLOCK] @ unit.T).clip(min=0)).sum()
        for start in range(0, n, _BLOCK)
    )
    return float(np.log((potential - n) / (n * (n - 1))))


def mean_cosine(vectors: np.ndarray) -> float:
    """Mean cosine of two different rows of [n, d]: how narrow the cone is that all embeddings lie in.

    The sum over all pairs is the squared length of the summed unit vectors, so no matrix of pairs is needed.
    """
    unit, n = _several(vectors), len(vectors)
    return float((unit.sum(axis=0) @ unit.sum(axis=0) - (unit * unit).sum()) / (n * (n - 1)))


def _several(vectors: np.ndarray) -> np.ndarray:
    if len(vectors) < 2:
        raise KitError(f"The spread of {len(vectors)} vector(s) is not defined; give at least two.")
    return unit_rows(vectors)


def measure_geometry(encoder: Encodes, pairs: SentencePairs, positive_from: float = 4.0) -> Geometry:
    """Alignment over the pairs with a gold score of at least ``positive_from``; the rest over all their sentences.

    Raises:
        KitError: no pair has such a score.
    """
    positive = [row for row, score in enumerate(pairs.score) if score >= positive_from]
    if not positive:
        raise KitError(f"{pairs.name} has no pair with a score of {positive_from} or more; lower positive_from.")
    different = sorted(set(pairs.first) | set(pairs.second))
    row_of = {sentence: row for row, sentence in enumerate(different)}
    vectors = np.asarray(encoder.encode(different))
    first, second = ([row_of[side[row]] for row in positive] for side in (pairs.first, pairs.second))
    aligned = alignment(vectors[first], vectors[second])
    return Geometry(aligned, uniformity(vectors), mean_cosine(vectors), len(positive), len(different))


@torch.no_grad()
def dropout_views(encoder: SentenceEncoder, sentences: list[str], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two embeddings of each sentence under two dropout masks: the only augmentation of unsupervised SimCSE.

    The encoder is in training mode for the moment; its mode and torch's random state are as before afterwards.

    Returns:
        Two arrays [n, d] of rows of length 1, before any training head.
    """
    batch = encoder.pad(encoder.tokenize(sentences))
    was_training = encoder.training
    encoder.train()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            views = [unit_rows(encoder(batch).float().cpu().numpy()) for _ in range(2)]
    finally:
        encoder.train(was_training)
    return views[0], views[1]
