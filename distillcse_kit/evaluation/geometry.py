"""The shape of an embedding space: alignment, uniformity and anisotropy, and the two views that dropout makes.

Alignment and uniformity are due to Wang and Isola (ICML 2020). They are measured as in SimCSE: on unit vectors, with
sentence pairs of high gold similarity as the positive pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.devices import seeded
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import Encodes, pair_vectors, unit

_BLOCK = 1_024  # so many rows of the matrix of all pairs are in memory at a time


@dataclass(frozen=True)
class Geometry:
    """Three measures of an embedding space, from ``measure_geometry``.

    Attributes:
        alignment: mean squared distance of positive pairs; 0 is best, 2 is the value for unrelated directions.
        uniformity: log of the mean Gaussian potential of all pairs; 0 if all coincide, about -4 if spread evenly.
        mean_cosine: mean cosine of two different sentences; 0 if isotropic, near 1 for a narrow cone.
        positives: number of pairs that ``alignment`` is based on.
        sentences: number of different sentences that the other two are based on.
    """

    alignment: float
    uniformity: float
    mean_cosine: float
    positives: int
    sentences: int


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance between the two sides of positive pairs.

        l_align = E_(x, x+) || f(x) - f(x+) ||^2

    Args:
        first, second: [n, d]; row i of both is a positive pair. This function scales the rows to length 1.

    Returns:
        A number in [0, 4]; it equals 2 - 2 E cos(x, x+).

    Raises:
        KitError: there is no pair, or the shapes differ.
    """
    if first.shape != second.shape or not len(first):
        raise KitError(f"Alignment needs as many first as second vectors, not {first.shape} and {second.shape}.")
    return float(((unit(first) - unit(second)) ** 2).sum(axis=1).mean())


def uniformity(vectors: np.ndarray, scale: float = 2.0) -> float:
    """Log of the mean Gaussian potential of two different sentences; the lower, the more evenly they are spread.

        l_uniform = log E_(x != y) exp(-t || f(x) - f(y) ||^2),  t = 2

    Args:
        vectors: [n, d], n >= 2. This function scales the rows to length 1.
        scale: t, greater than 0.

    Raises:
        KitError: there are fewer than two vectors, or t is not positive.
    """
    if not scale > 0:
        raise KitError(f"scale is {scale}; it must be greater than 0.")
    rows, n = _several(vectors), len(vectors)
    # On unit vectors the squared distance is 2 - 2 cos. Each of the n diagonal entries adds exp(0) = 1.
    potential = sum(
        np.exp(-scale * (2 - 2 * rows[start : start + _BLOCK] @ rows.T).clip(min=0)).sum()
        for start in range(0, n, _BLOCK)
    )
    return float(np.log((potential - n) / (n * (n - 1))))


def mean_cosine(vectors: np.ndarray) -> float:
    """Mean cosine of two different rows of [n, d]: how narrow a cone the embeddings lie in.

    The sum over all pairs is the squared length of the sum of unit vectors, so no matrix of pairs is needed.

    Raises:
        KitError: there are fewer than two vectors.
    """
    rows, n = _several(vectors), len(vectors)
    return float((rows.sum(axis=0) @ rows.sum(axis=0) - (rows * rows).sum()) / (n * (n - 1)))


def _several(vectors: np.ndarray) -> np.ndarray:
    if len(vectors) < 2:
        raise KitError(f"The spread of {len(vectors)} vector(s) is not defined; give at least two.")
    return unit(vectors)


def measure_geometry(encoder: Encodes, pairs: SentencePairs, positive_from: float = 4.0) -> Geometry:
    """Alignment of the pairs with a gold score of at least ``positive_from``; the rest over all sentences of the set.

    Raises:
        KitError: no pair has such a score, or the set has only one sentence.
    """
    positive = [row for row, score in enumerate(pairs.score) if score >= positive_from]
    if not positive:
        raise KitError(f"{pairs.name} has no pair with a score of {positive_from} or more; lower positive_from.")
    vectors, first, second = pair_vectors(encoder, pairs)
    aligned = alignment(vectors[np.array(first)[positive]], vectors[np.array(second)[positive]])
    return Geometry(aligned, uniformity(vectors), mean_cosine(vectors), len(positive), len(vectors))


@torch.no_grad()
def dropout_views(encoder: SentenceEncoder, sentences: list[str], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two embeddings of each sentence under two dropout masks: the only augmentation of unsupervised SimCSE.

    The encoder is in training mode during the call. Its mode and torch's random state are restored afterwards.

    Returns:
        Two arrays [n, d] with rows of length 1; the training head is not applied.
    """
    batch = encoder.pad(encoder.tokenize(sentences))
    was_training = encoder.training
    encoder.train()
    try:
        with seeded(encoder.device, seed):
            views = [unit(encoder(batch).float().cpu().numpy()) for _ in range(2)]
    finally:
        encoder.train(was_training)
    return views[0], views[1]
