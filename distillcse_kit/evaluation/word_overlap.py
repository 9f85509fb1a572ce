"""A baseline without training: word overlap. An encoder that does not beat it has not learned meaning."""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.evaluation.scoring import spearman


def tfidf_cosines(pairs: SentencePairs) -> np.ndarray:
    """Cosine of the two sentences' tf-idf vectors for each pair, from 0 to 1, [n]; fitted on the pairs' own sentences.

    It is a measure of shared words: 0 where there are none. Rare words count more than common ones.
    """
    vectors = TfidfVectorizer().fit([*pairs.first, *pairs.second])
    first, second = vectors.transform(pairs.first), vectors.transform(pairs.second)
    return first.multiply(second).sum(axis=1).A1


def tfidf_score(pairs: SentencePairs) -> float:
    """Spearman x 100 between the gold scores and ``tfidf_cosines``."""
    return spearman(tfidf_cosines(pairs), pairs.score)
