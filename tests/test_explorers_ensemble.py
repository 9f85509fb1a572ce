"""The ensemble explorer: what it says about any subset of teachers, against sums by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.analysis.softness import Softness, mean_entropy, rank_agreement
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import seed_interval
from distillcse_kit.explorers import EnsembleExplorer

M, N = 4, 9
SENTENCES = [f"sentence {i} <img src=x onerror=alert({i})>" for i in range(N)]
OTHERS = ~np.eye(N, dtype=bool)


@pytest.fixture(scope="module")
def cosines() -> np.ndarray:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(N, 6)) + 0.5 * draw.normal(size=(M, N, 6)) + 1
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors @ vectors.transpose(0, 2, 1)


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, list[float]]:
    draw = np.random.default_rng(1)
    gold = draw.normal(size=50)
    return gold + draw.normal(size=(M, 50)), gold.tolist()


@pytest.fixture
def explorer(cosines: np.ndarray, pairs: tuple[np.ndarray, list[float]]) -> EnsembleExplorer:
    return EnsembleExplorer(cosines, SENTENCES, pairs, {1: [60.0, 62.0], M: [65.0]})


# ---------------------------------------------------------------- softness and agreement


def by_hand(cosines: np.ndarray, temperature: float) -> float:
    rows = cosines[..., OTHERS].reshape(-1, N - 1) / temperature
    return float(np.mean([stats.entropy(np.exp(row - row.max())) for row in rows]))


def test_entropy_of_targets(cosines: np.ndarray) -> None:
    for temperature in (0.01, 0.05, 1.0):
        assert mean_entropy(cosines, temperature) == pytest.approx(by_hand(cosines, temperature), rel=1e-9)


def test_at_the_effective_temperature_single_teachers_are_as_soft_as_their_mean(cosines: np.ndarray) -> None:
    softness = Softness(cosines, 0.05)
    for chosen in ([0, 1], [0, 2, 3], list(range(M))):
        found = softness.effective_temperature(chosen)
        assert by_hand(cosines[chosen], found) == pytest.approx(by_hand(cosines[chosen].mean(axis=0), 0.05), rel=1e-3)
        assert found > 0.05


def test_teachers_that_agree_are_as_soft_as_one(cosines: np.ndarray) -> None:
    same = Softness(np.stack([cosines[0]] * 3), 0.02)
    assert same.effective_temperature([0]) == pytest.approx(0.02)
    assert same.effective_temperature([0, 1, 2]) == pytest.approx(0.02)
    with pytest.raises(KitError, match="temperature is 0"):
        Softness(cosines, 0)


def test_agreement_is_the_mean_spearman_of_rows(cosines: np.ndarray) -> None:
    found = rank_agreement(cosines)
    rows = cosines[:, OTHERS].reshape(M, N, N - 1)
    for a, b in itertools.product(range(M), repeat=2):
        mean = np.mean([stats.spearmanr(rows[a, i], rows[b, i]).statistic for i in range(N)])
        assert found[a, b] == pytest.approx(100 * mean)


# ---------------------------------------------------------------- the explorer


@pytest.mark.parametrize("chosen", [(0,), (3,), (1, 2), (0, 1, 3), (0, 1, 2, 3)])
def test_words_say_what_the_library_computes_for_any_subset(
    explorer: EnsembleExplorer, cosines: np.ndarray, pairs: tuple[np.ndarray, list[float]], chosen: tuple[int, ...]
) -> None:
    for teacher, box in enumerate(explorer.controls["teachers"].children[1].children):
        box.value = teacher in chosen
    words = explorer.words.value
    assert explorer.teachers == chosen
    assert f"Mean of {len(chosen)} of 4 teachers: seeds {', '.join(map(str, chosen))}." in words
    score = 100 * stats.spearmanr(pairs[0][list(chosen)].mean(axis=0), pairs[1]).statistic
    alone = [100 * stats.spearmanr(pairs[0][teacher], pairs[1]).statistic for teacher in chosen]
    assert f"averaged teachers score {score:.2f} on dev. Each of them alone: {np.mean(alone):.2f}" in words
    if len(chosen) == 1:
        assert "nothing is averaged" in words and "Effective" not in words
    else:
        soft = Softness(cosines, 0.01).effective_temperature(chosen)
        two = [rank_agreement(cosines)[a, b] for a, b in itertools.combinations(chosen, 2)]
        assert f"Effective temperature: {soft:.4f};" in words and f"Spearman × 100: {np.mean(two):.1f}." in words


def test_the_table_has_the_nearest_sentences_of_the_mean(explorer: EnsembleExplorer, cosines: np.ndarray) -> None:
    explorer.teachers, explorer.row = (1, 3), 5
    logits = cosines[[1, 3]].mean(axis=0)[5] / 0.01
    logits[5] = -np.inf
    target = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    first, second = np.argsort(-target)[:2]
    rows = explorer.words.value.split("<tr>")[2:4]
    for row, place in zip(rows, (first, second), strict=True):
        assert f"{target[place]:.2f}</td>" in row and f"sentence {place} &lt;img" in row


def test_students_are_shown_with_their_interval(explorer: EnsembleExplorer) -> None:
    assert f"M = 1: {seed_interval([60.0, 62.0])}; M = 4: 65.00." in explorer.words.value
    assert "<img" not in explorer.words.value


def test_each_state_has_a_picture_of_its_own(explorer: EnsembleExplorer) -> None:
    pictures = []
    for chosen, row in [((), 0), ((0,), 0), ((0, 1), 0), ((0, 1), 8)]:
        explorer.teachers, explorer.row = chosen, row
        pictures.append(explorer.image.value)
    assert len(set(pictures)) == 4


def test_no_teacher_gives_a_sentence_and_choosing_some_brings_the_picture_back(explorer: EnsembleExplorer) -> None:
    explorer.teachers = ()
    assert "No teacher is chosen" in explorer.words.value and "<table>" not in explorer.words.value
    explorer.teachers = (2, 0)
    assert "seeds 0, 2." in explorer.words.value


def test_without_pairs_there_are_no_scores(cosines: np.ndarray) -> None:
    explorer = EnsembleExplorer(cosines, SENTENCES)
    assert "averaged teachers score" not in explorer.words.value and "Effective temperature" in explorer.words.value


def test_data_that_do_not_fit_together_are_refused(
    cosines: np.ndarray, pairs: tuple[np.ndarray, list[float]], explorer: EnsembleExplorer
) -> None:
    with pytest.raises(KitError, match="8 sentences, but cosines of 9"):
        EnsembleExplorer(cosines, SENTENCES[:8])
    with pytest.raises(KitError, match="of all its pairs"):
        EnsembleExplorer(cosines, SENTENCES, (pairs[0][:2], pairs[1]))
    with pytest.raises(KitError, match="A teacher is 4"):
        explorer.teachers = (0, 4)
    with pytest.raises(KitError, match="row is 9"):
        explorer.row = 9
