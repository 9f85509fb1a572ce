"""Arrays of embeddings and logits: batches, cosines, rows without their diagonal, ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import unit


def sample_batches(sentences: int, batch_size: int, batches: int, seed: int = 0) -> np.ndarray:
    """Row numbers of B random mini-batches, int64 [B, N]. No row occurs twice in a batch.

    Args:
        sentences: in the corpus.
        batch_size: N, from 3 to ``sentences``.
        batches: B.
        seed: of the draw.

    Raises:
        KitError: ``batch_size`` is out of range.
    """
    if not 3 <= batch_size <= sentences:
        raise KitError(f"batch_size is {batch_size}; it must lie between 3 and the corpus's {sentences} sentences.")
    draw = np.random.default_rng(seed)
    return np.stack([draw.choice(sentences, batch_size, replace=False) for _ in range(batches)])


def teacher_vectors(stored: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Each teacher's unit embeddings of the sentences ``rows``: M arrays [n, d] and rows [B, N] -> [M, B, N, d].

    Raises:
        KitError: there are fewer than two teachers, or their embeddings differ in width and cannot be compared.
    """
    require_two_teachers(len(stored))
    if len({array.shape[1] for array in stored}) > 1:
        raise KitError("The teachers' embeddings differ in width; compare teachers that started from one base.")
    return np.stack([unit(array[rows]) for array in stored])


def first_order(vectors: np.ndarray) -> np.ndarray:
    """The paper's first order: mean over the dimensions of each unit embedding, [..., d] -> [...]."""
    return unit(vectors).mean(axis=-1)


def batch_cosines(vectors: np.ndarray) -> np.ndarray:
    """The paper's second order: cosines t_ij inside each batch, [..., N, d] -> [..., N, N]."""
    normed = unit(vectors)
    return normed @ np.swapaxes(normed, -1, -2)


def off_diagonal(cosines: np.ndarray) -> np.ndarray:
    """Each row without its diagonal entry: numpy [..., N, N] -> [..., N, N - 1].

    ``method.losses.off_diagonal`` does the same for tensors.
    """
    n = cosines.shape[-1]
    return cosines[..., ~np.eye(n, dtype=bool)].reshape(*cosines.shape[:-1], n - 1)


def different_pairs(cosines: np.ndarray) -> np.ndarray:
    """Each pair of different sentences once: [..., N, N] -> [..., N (N - 1) / 2]."""
    first, second = np.triu_indices(cosines.shape[-1], k=1)
    return cosines[..., first, second]


def row_centred(cosines: np.ndarray) -> np.ndarray:
    """Logits minus the mean of their row: [..., N, N] -> [..., N, N - 1].

    A softmax over a row does not see the row's mean. A teacher that rates all pairs a little higher therefore teaches
    the same; only what is left here reaches the student.
    """
    logits = off_diagonal(cosines)
    return logits - logits.mean(axis=-1, keepdims=True)


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, centred and scaled to length 1, so that inner products are Spearman correlations."""
    ranks = rankdata(values, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    return ranks / np.linalg.norm(ranks, axis=-1, keepdims=True).clip(min=1e-12)


def require_two_teachers(teachers: int) -> None:
    """Raise a KitError if there are fewer than two teachers."""
    if teachers < 2:
        raise KitError(f"A spread over teachers needs at least two of them, not {teachers}; train more teachers.")
