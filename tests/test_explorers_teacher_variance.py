"""The teacher variance explorer: the numbers of each view against numpy, and which controls are open in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from distillcse_kit import analysis
from distillcse_kit.errors import KitError
from distillcse_kit.explorers import TeacherVarianceExplorer
from distillcse_kit.explorers.teacher_variance_explorer import AVERAGING, HEAT, PAIR, RANK, TWO, VIEWS

M, B, N = 4, 2, 14
SENTENCES = [[f"sentence {b}.{i} & <b>more</b>" for i in range(N)] for b in range(B)]


@pytest.fixture(scope="module")
def cosines() -> np.ndarray:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(B, N, 6)) + 0.5 * draw.normal(size=(M, B, N, 6)) + 0.8
    return analysis.batch_cosines(vectors)


@pytest.fixture
def explorer(cosines: np.ndarray) -> TeacherVarianceExplorer:
    return TeacherVarianceExplorer(cosines, SENTENCES)


PAIRS = np.triu_indices(N, 1)


@pytest.mark.parametrize(("batch", "chosen"), [(0, (0, 1, 2, 3)), (1, (1, 3))])
def test_heat_maps_name_spread_stripe_and_pair(
    explorer: TeacherVarianceExplorer, cosines: np.ndarray, batch: int, chosen: tuple[int, ...]
) -> None:
    explorer.batch, explorer.teachers = batch, chosen
    used = cosines[list(chosen), batch]
    spread = used.std(axis=0, ddof=1)
    words = explorer.words.value.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    noise = np.sqrt(used.var(axis=0, ddof=1)[PAIRS].mean())
    assert (
        f"over teachers {noise:.3f}. That is {noise / 0.01:.1f} tau_t, "
        f"a factor of {math.exp(noise / 0.01):.3g} in a target." in words
    )
    assert f"mean cosine {used.mean(axis=0)[PAIRS].mean():.3f}" in words
    stripe = max(range(N), key=lambda i: np.delete(spread[i], i).mean())
    brightest = np.delete(spread[stripe], stripe).mean()
    assert f"Brightest stripe (mean standard deviation {brightest:.3f}): sentence {stripe}: " in words
    i, j = max(zip(*PAIRS, strict=True), key=lambda pair: spread[pair])
    assert f"Most disputed pair (standard deviation {spread[i, j]:.3f}): {i}: {SENTENCES[batch][i]} | {j}: " in words


def test_by_rank(explorer: TeacherVarianceExplorer, cosines: np.ndarray) -> None:
    explorer.view, explorer.batch, explorer.teachers = RANK, 1, (0, 2, 3)
    found = analysis.spread_by_rank(cosines[[0, 2, 3], 1:2])
    assert f"at {found.unsettled:.0%} of the ranks" in explorer.words.value
    assert f"At rank 1: noise {found.noise[0]:.3f}, gap {found.gap[0]:.3f}." in explorer.words.value


def test_two_teachers(explorer: TeacherVarianceExplorer, cosines: np.ndarray) -> None:
    explorer.view, explorer.teacher_a, explorer.teacher_b = TWO, 3, 1
    across, upwards = cosines[3, 0][PAIRS], cosines[1, 0][PAIRS]
    assert f"Pearson {stats.pearsonr(across, upwards).statistic:.3f}" in explorer.words.value
    assert f"Spearman × 100 {100 * stats.spearmanr(across, upwards).statistic:.1f};" in explorer.words.value
    assert f"seed 1 minus seed 3: {(upwards - across).mean():+.3f}." in explorer.words.value
    explorer.teacher_b = 3
    assert "agrees with itself" in explorer.words.value


def test_one_pair(explorer: TeacherVarianceExplorer, cosines: np.ndarray) -> None:
    explorer.view, explorer.sentence_a, explorer.sentence_b, explorer.batch = PAIR, 2, 9, 1
    values = cosines[:, 1, 2, 9]
    spread = values.std(ddof=1)
    assert f"Mean {values.mean():.3f}, standard deviation over 4 teachers {spread:.3f}, " in explorer.words.value
    assert f"range {values.min():.3f} to {values.max():.3f}." in explorer.words.value
    assert f"by a factor of {np.exp(spread / 0.01):.3g}." in explorer.words.value
    assert "sentence 1.2 &amp; &lt;b&gt;" in explorer.words.value and "<b>more" not in explorer.words.value
    explorer.teachers = (3,)
    assert f"Mean {values[3]:.3f}, standard deviation over 1 teacher 0.000" in explorer.words.value
    explorer.sentence_b = 2
    assert "has cosine 1 for every teacher" in explorer.words.value


@pytest.mark.parametrize("m", [1, 2, M])
def test_averaging_falls_as_covariances_say(explorer: TeacherVarianceExplorer, cosines: np.ndarray, m: int) -> None:
    explorer.view, explorer.averaged = AVERAGING, m
    rows = analysis.row_centred(cosines[:, 0]).reshape(M, -1)
    covariance = rows @ rows.T / (N * (N - 2))
    shared = (covariance.sum() - np.trace(covariance)) / (M * (M - 1))
    own = np.trace(covariance) / M - shared
    assert f"Mean of {m}: {own / m / (shared + own / m):.1%} of the variance" in explorer.words.value


def test_each_view_has_a_picture_of_its_own(explorer: TeacherVarianceExplorer) -> None:
    pictures = []
    for view in (*VIEWS, *VIEWS):
        explorer.view = view
        pictures.append(explorer.image.value)
    assert len(set(pictures)) == len(VIEWS) and pictures[: len(VIEWS)] == pictures[len(VIEWS) :]


def test_only_controls_that_a_view_uses_are_open(explorer: TeacherVarianceExplorer) -> None:
    def closed() -> set[str]:
        return {name for name, control in explorer.controls.items() if control.disabled}

    of_pair, of_two = {"sentence_a", "sentence_b"}, {"teacher_a", "teacher_b"}
    for view, expected in [
        (HEAT, of_pair | of_two | {"averaged"}),
        (RANK, of_pair | of_two | {"averaged"}),
        (TWO, of_pair | {"averaged", "teachers"}),
        (PAIR, of_two | {"averaged"}),
        (AVERAGING, of_pair | of_two),
    ]:
        explorer.view = view
        assert closed() == expected


def test_too_few_teachers_give_a_sentence(explorer: TeacherVarianceExplorer) -> None:
    explorer.teachers = (2,)
    for view in (HEAT, RANK, AVERAGING):
        explorer.view = view
        assert "needs at least two teachers: tick more." in explorer.words.value
    explorer.teachers = ()
    explorer.view = PAIR
    assert "needs at least one teacher:" in explorer.words.value
    explorer.view = TWO
    assert "Pearson" in explorer.words.value


def test_m_does_not_exceed_the_chosen(explorer: TeacherVarianceExplorer) -> None:
    explorer.view, explorer.averaged = AVERAGING, 4
    explorer.teachers = (0, 1, 3)
    assert explorer.averaged == 3 and "Mean of 3:" in explorer.words.value


def test_another_batch_offers_its_own_sentences(explorer: TeacherVarianceExplorer) -> None:
    explorer.view, explorer.sentence_a = PAIR, 5
    explorer.batch = 1
    assert explorer.sentence_a == 5 and explorer.controls["sentence_a"].options[5][0].startswith("5: sentence 1.5")


@pytest.mark.parametrize(
    ("trait", "value"),
    [
        ("view", "upside down"),
        ("batch", B),
        ("teachers", (0, M)),
        ("teacher_a", M),
        ("sentence_b", N),
        ("averaged", 0),
        ("averaged", M + 1),
    ],
)
def test_a_trait_outside_its_range_is_refused(explorer: TeacherVarianceExplorer, trait: str, value: Any) -> None:
    before = explorer.state
    with pytest.raises(KitError):
        setattr(explorer, trait, value)
    assert explorer.state == before


def test_data_that_do_not_fit_together_are_refused(cosines: np.ndarray) -> None:
    with pytest.raises(KitError, match="at least two"):
        TeacherVarianceExplorer(cosines[:1], SENTENCES)
    with pytest.raises(KitError, match="1 batches of sentences, but 2 of cosines"):
        TeacherVarianceExplorer(cosines, SENTENCES[:1])
    with pytest.raises(KitError, match="13 sentences, but cosines of 14"):
        TeacherVarianceExplorer(cosines, [batch[:-1] for batch in SENTENCES])
