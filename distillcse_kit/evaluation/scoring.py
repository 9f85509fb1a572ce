"""Semantic textual similarity by the paper's protocol: one Spearman correlation over all pairs of a task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.stats import spearmanr

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.sts import load_sts

PAPER_TASKS = ("sts12", "sts13", "sts14", "sts15", "sts16", "stsb", "sickr")


class Encodes(Protocol):
    """Anything with sentence-transformers' ``encode``: the kit's ``SentenceEncoder``, or a ``SentenceTransformer``."""

    def encode(self, sentences: list[str], /) -> np.ndarray:
        """n sentences -> [n, d]."""
        ...


def evaluate_sts(
    encoder: Encodes, tasks: Sequence[str] | Mapping[str, Any], data_dir: str | Path | None = None
) -> dict[str, float]:
    """Score an encoder on the test split of each task by the paper's protocol, which is that of SimCSE.

        score = 100 * Spearman(cos(f(x_i), f(y_i)), gold_i)   over all pairs (x_i, y_i) of the task

    All pairs of a task give one correlation: the subsets of a year of STS are joined, not averaged.

    **When to use it.** To compare encoders, the kit's or others, with each other and with published figures.

    | input | what it is |
    |---|---|
    | ``encoder`` | anything with ``encode(list of n sentences) -> [n, d]``, such as a ``SentenceTransformer`` |
    | ``tasks`` | names or paths that ``load_sts`` accepts; the seven of the paper are ``PAPER_TASKS`` |
    | | or {name of your choice: name, path or ``Dataset``} |
    | ``data_dir`` | folder with the published sets; None takes them from the Hugging Face hub |

    Returns:
        {task: Spearman x 100}, from -100 to 100; nan if all cosines are equal.

    Raises:
        KitError: a task is unknown, or a set is missing or damaged.

    Reference:
        Table 4 of the paper. Appendix B of SimCSE (Gao et al., EMNLP 2021) compares this protocol with others.

    Example:
        >>> from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
        >>> from distillcse_kit.evaluation import evaluate_sts
        >>> scores = evaluate_sts(SentenceEncoder.load("micro"), ["kit"])
        >>> round(scores["kit"])
        29
    """
    named = tasks if isinstance(tasks, Mapping) else {task: task for task in tasks}
    return {name: score_pairs(encoder, load_sts(task, data_dir)) for name, task in named.items()}


def score_pairs(encoder: Encodes, pairs: SentencePairs) -> float:
    """Spearman x 100 between the encoder's cosines and the gold scores of the pairs."""
    return spearman(pair_cosines(encoder, pairs), pairs.score)


def pair_cosines(encoder: Encodes, pairs: SentencePairs) -> np.ndarray:
    """Cosine of each pair, float64 [n]."""
    vectors, first, second = pair_vectors(encoder, pairs)
    rows = unit(vectors)
    return (rows[first] * rows[second]).sum(axis=1)


def pair_vectors(encoder: Encodes, pairs: SentencePairs) -> tuple[np.ndarray, list[int], list[int]]:
    """Encode every different sentence of the pairs once.

    Returns:
        (vectors [k, d] of the k different sentences, row of each first sentence [n], row of each second sentence [n]).
    """
    different = sorted(set(pairs.first) | set(pairs.second))
    row_of = {sentence: row for row, sentence in enumerate(different)}
    first, second = ([row_of[sentence] for sentence in side] for side in (pairs.first, pairs.second))
    return np.asarray(encoder.encode(different)), first, second


def unit(vectors: np.ndarray) -> np.ndarray:
    """Each vector scaled to length 1: [..., d] -> float64 [..., d]. A vector of zeros stays zero.

    float64, because sums over thousands of pairs must not lose digits.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    return wide / np.linalg.norm(wide, axis=-1, keepdims=True).clip(min=1e-12)


def spearman(predicted: np.ndarray | Sequence[float], gold: np.ndarray | Sequence[float]) -> float:
    """Spearman's rank correlation x 100; nan if one side is constant."""
    return 100 * float(spearmanr(predicted, gold).statistic)


def pairs_fingerprint(pairs: SentencePairs) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the sentences and scores, in their order."""
    digest = hashlib.sha256()
    for row in zip(pairs.first, pairs.second, pairs.score, strict=True):
        digest.update("\t".join(map(str, row)).encode() + b"\n")
    return digest.hexdigest()[:16]


def first_pairs(pairs: SentencePairs, limit: int, seed: int = 0) -> SentencePairs:
    """A random sample of ``limit`` pairs, decided by the seed; all pairs if ``limit`` is 0 or as large as the set."""
    if not 0 < limit < len(pairs):
        return pairs
    chosen = sorted(np.random.default_rng(seed).choice(len(pairs), limit, replace=False).tolist())
    first, second, score = ([column[i] for i in chosen] for column in (pairs.first, pairs.second, pairs.score))
    return SentencePairs(f"{pairs.name} ({limit} of {len(pairs)})", first, second, score)  # type: ignore[arg-type]
