"""Arrays of embeddings and logits: unit vectors, cosines, rows without their diagonal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from distillcse_kit.errors import KitError


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
    require_two_teachers(len(stored))
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


def row_centred(cosines: np.ndarray) -> np.ndarray:
    """Logits [..., N, N] less the mean of their row: [..., N, N - 1].

    A softmax over a row does not see its mean, so a teacher that calls everything a little more alike teaches nothing
    else by it. What is left here is what the student is taught.
    """
    logits = off_diagonal(cosines)
    return logits - logits.mean(axis=-1, keepdims=True)


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, centred and of length 1: their inner products are Spearman correlations."""
    ranks = rankdata(values, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    return ranks / np.linalg.norm(ranks, axis=-1, keepdims=True).clip(min=1e-12)


def require_two_teachers(teachers: int) -> None:
    if teachers < 2:
        raise KitError(f"A spread over teachers needs at least two of them, not {teachers}; train more teachers.")
