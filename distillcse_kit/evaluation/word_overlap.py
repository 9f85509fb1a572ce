"""A baseline without training: word overlap. An encoder that does not beat it has not learned meaning."""

from __future__ import annotations

from sklearn.feature_extraction.text import TfidfVectorizer

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.evaluation.scoring import spearman


def tfidf_score(pairs: SentencePairs) -> float:
    """Spearman x 100 between the gold scores and the cosines of tf-idf vectors, fitted on the pairs' own sentences."""
    vectors = TfidfVectorizer().fit([*pairs.first, *pairs.second])
    first, second = vectors.transform(pairs.first), vectors.transform(pairs.second)
    return spearman(first.multiply(second).sum(axis=1).A1, pairs.score)
