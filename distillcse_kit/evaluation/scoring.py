"""Semantic textual similarity by the paper's protocol: one Spearman correlation over all pairs of a task."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.stats import spearmanr

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.sts import load_sts

PAPER_TASKS = ("sts12", "sts13", "sts14", "sts15", "sts16", "stsb", "sickr")


class Encodes(Protocol):
    """Anything with sentence-transformers' ``encode``: an encoder of ours, or a SentenceTransformer."""

    def encode(self, sentences: list[str], /) -> np.ndarray: ...


def spearman(predicted: np.ndarray | Sequence[float], gold: np.ndarray | Sequence[float]) -> float:
    """Spearman's rank correlation x 100; nan where one side is constant."""
    return 100 * float(spearmanr(predicted, gold).statistic)


def pair_cosines(encoder: Encodes, pairs: SentencePairs) -> np.ndarray:
    """The cosine of each pair, float64 [n]; a sentence that occurs several times is encoded once."""
    different = sorted(set(pairs.first) | set(pairs.second))
    row = {sentence: index for index, sentence in enumerate(different)}
    vectors = np.asarray(encoder.encode(different), dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    first = vectors[[row[sentence] for sentence in pairs.first]]
    second = vectors[[row[sentence] for sentence in pairs.second]]
    return (first * second).sum(axis=1)


def score_pairs(encoder: Encodes, pairs: SentencePairs) -> float:
    """Spearman x 100 between the encoder's cosines and the gold scores of the pairs."""
    return spearman(pair_cosines(encoder, pairs), pairs.score)


def evaluate_sts(encoder: Encodes, tasks: Sequence[str], data_dir: str | Path | None = None) -> dict[str, float]:
    """Score an encoder on the test split of each task (section 5 of ``paper``'s protocol).

    All pairs of a task together give one correlation; the subsets of a year are not averaged.

    Args:
        encoder: anything with ``encode(list of sentences) -> [n, d]``.
        tasks: names that ``load_sts`` knows.
        data_dir: folder with the sets; None takes them from the hub.

    Returns:
        {task: Spearman x 100}.

    Raises:
        KitError: unknown task, or a set is missing or damaged.
    """
    return {task: score_pairs(encoder, load_sts(task, data_dir)) for task in tasks}


def pairs_fingerprint(pairs: SentencePairs) -> str:
    """A hash of the sentences and scores."""
    digest = hashlib.sha256()
    for row in zip(pairs.first, pairs.second, pairs.score, strict=True):
        digest.update("\t".join(map(str, row)).encode() + b"\n")
    return digest.hexdigest()[:16]


def first_pairs(pairs: SentencePairs, limit: int, seed: int = 0) -> SentencePairs:
    """A random sample of ``limit`` pairs, the same for the same seed; all of them if limit is 0 or large."""
    if not 0 < limit < len(pairs):
        return pairs
    chosen = sorted(np.random.default_rng(seed).choice(len(pairs), limit, replace=False).tolist())
    first, second, score = ([column[i] for i in chosen] for column in (pairs.first, pairs.second, pairs.score))
    return SentencePairs(f"{pairs.name} ({limit} of {len(pairs)})", first, second, score)  # type: ignore[arg-type]
