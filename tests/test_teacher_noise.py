"""Spreads, orders and averaging against loops, scipy, closed forms, and simulations whose truth is known."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from distillcse_kit import analysis
from distillcse_kit.errors import KitError


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Unit embeddings [M, B, N, d] of teachers that share most of what they say."""
    draw = np.random.default_rng(0)
    shared, own = draw.normal(size=(3, 9, 12)), draw.normal(size=(4, 3, 9, 12))
    return analysis.unit(shared + 0.5 * own + 0.3)


@pytest.fixture(scope="module")
def cosines(vectors: np.ndarray) -> np.ndarray:
    return analysis.batch_cosines(vectors)


def test_batches_have_no_row_twice_and_follow_the_seed() -> None:
    rows = analysis.sample_batches(20, 8, 30, seed=1)
    assert rows.shape == (30, 8) and all(len(set(batch)) == 8 for batch in rows)
    assert np.array_equal(rows, analysis.sample_batches(20, 8, 30, seed=1))
    assert set(rows.ravel()) == set(range(20))
    for size in (2, 21):
        with pytest.raises(KitError, match=f"batch_size is {size}"):
            analysis.sample_batches(20, size, 1)


def test_both_orders_by_loops(vectors: np.ndarray, cosines: np.ndarray) -> None:
    order = analysis.first_order(vectors)
    for m, b, i in np.ndindex(order.shape):
        x = vectors[m, b, i]
        assert order[m, b, i] == pytest.approx(sum(x) / len(x) / math.sqrt(sum(v * v for v in x)))
        for j in range(cosines.shape[-1]):
            y = vectors[m, b, j]
            assert cosines[m, b, i, j] == pytest.approx(x @ y / math.sqrt((x @ x) * (y @ y)))
    pairs = analysis.different_pairs(cosines[0, 0])
    assert pairs.tolist() == [cosines[0, 0, i, j] for i, j in combinations(range(9), 2)]
    others = analysis.off_diagonal(cosines)[1, 2]
    assert others.tolist() == [[cosines[1, 2, i, j] for j in range(9) if j != i] for i in range(9)]


def test_teachers_vectors_are_the_stored_rows_at_length_1() -> None:
    stored = [np.random.default_rng(m).normal(size=(10, 4)).astype(np.float16) for m in range(2)]
    rows = np.array([[3, 1, 9]])
    found = analysis.teacher_vectors(stored, rows)
    for m in range(2):
        for place, row in enumerate(rows[0]):
            wide = stored[m][row].astype(float)
            np.testing.assert_allclose(found[m, 0, place], wide / np.linalg.norm(wide))
    with pytest.raises(KitError, match="needs at least two of them"):
        analysis.teacher_vectors(stored[:1], rows)
    with pytest.raises(KitError, match="differ in width"):
        analysis.teacher_vectors([stored[0], stored[1][:, :3]], rows)


# ---------------------------------------------------------------- orders: Table 1


def test_gaussian_kl_is_the_integral() -> None:
    a, b = analysis.Moments(0.3, 0.5), analysis.Moments(1.1, 0.8)
    x = np.linspace(-5, 6, 200_001)
    p, q = stats.norm.pdf(x, a.mean, a.std), stats.norm.pdf(x, b.mean, b.std)
    assert analysis.gaussian_kl(a, b) == pytest.approx(np.trapezoid(p * np.log(p / q), x), abs=1e-6)
    assert analysis.gaussian_kl(a, a) == 0


def test_the_papers_own_moments_give_the_numbers_that_the_notebook_names() -> None:
    """Table 1: 0.267 +- 0.064 against 0.696 +- 0.181 make 3.41 or 24.9, not the printed 3.8794."""
    train, test = analysis.Moments(0.267, 0.064), analysis.Moments(0.696, 0.181)
    assert analysis.gaussian_kl(train, test) == pytest.approx(3.41, abs=0.01)
    assert analysis.gaussian_kl(test, train) == pytest.approx(24.9, abs=0.1)


def test_histogram_kl_finds_the_kl_of_two_large_samples() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(0, 1, 400_000), draw.normal(0.5, 1.2, 400_000)
    expected = analysis.gaussian_kl(analysis.Moments(0, 1), analysis.Moments(0.5, 1.2))
    assert analysis.histogram_kl(first, second) == pytest.approx(expected, rel=0.05)
    assert analysis.histogram_kl(first, first) == 0


def test_comparing_orders(vectors: np.ndarray) -> None:
    draw = np.random.default_rng(5)
    first, second = draw.normal(size=(7, 12)), draw.normal(size=(7, 12))
    sentence, pair = analysis.compare_orders(vectors[0], first, second)
    assert len(sentence.train) == 27 and len(sentence.test) == 14
    assert len(pair.train) == 3 * 36 and len(pair.test) == 7
    expected = sorted((float(1 - stats_cosine(a, b)) for a, b in zip(first, second, strict=True)), reverse=True)
    np.testing.assert_allclose(pair.test, expected)
    assert pair.train_moments.std == pytest.approx(np.std(pair.train, ddof=1))
    assert pair.gap == pytest.approx(abs(pair.train.mean() - pair.test.mean()) / np.std(pair.train, ddof=1))
    assert analysis.Moments(0.0, 1.0).coefficient == math.inf
    assert analysis.Moments(-2.0, 1.0).coefficient == 0.5


def stats_cosine(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.spatial.distance import cosine

    return cosine(a, b)


# ---------------------------------------------------------------- spread: Table 2


def test_a_planted_spread_is_found() -> None:
    draw = np.random.default_rng(2)
    signal, noise = draw.normal(0, 0.6, size=(1, 40_000)), draw.normal(0, 0.2, size=(6, 40_000))
    found = analysis.spread("planted", 1.5 + signal + noise)
    assert found.mean == pytest.approx(1.5, abs=0.02)
    assert found.over_teachers == pytest.approx(0.2, rel=0.02)
    assert found.over_items == pytest.approx(math.sqrt(0.6**2 + 0.2**2 / 6), rel=0.02)
    assert found.noise_to_signal == pytest.approx(found.over_teachers / found.over_items)
    assert found.entropy == pytest.approx(stats.norm(scale=found.over_teachers).entropy())
    with pytest.raises(KitError, match="train more teachers"):
        analysis.spread("one", np.ones((1, 5)))


def test_a_shift_of_all_logits_of_a_row_is_not_taught(cosines: np.ndarray) -> None:
    shift = np.random.default_rng(3).normal(size=(*cosines.shape[:3], 1))
    np.testing.assert_allclose(analysis.row_centred(cosines + shift), analysis.row_centred(cosines), atol=1e-12)
    assert np.abs(analysis.row_centred(cosines).mean(-1)).max() < 1e-12


def test_table_2_has_the_four_quantities(vectors: np.ndarray, cosines: np.ndarray) -> None:
    first, dimension, second, centred = analysis.teacher_spread(vectors)
    assert first.over_teachers == pytest.approx(np.sqrt(vectors.mean(-1).var(0, ddof=1).mean()))
    assert dimension.over_teachers == pytest.approx(np.sqrt(vectors.var(0, ddof=1).mean()))
    upper = np.stack([[c[np.triu_indices(9, 1)] for c in teacher] for teacher in cosines])
    assert second.over_teachers == pytest.approx(np.sqrt(upper.var(0, ddof=1).mean()))
    assert second.over_items == pytest.approx(upper.mean(0).std(ddof=1))
    assert centred.over_teachers <= second.over_teachers * 1.2


# ---------------------------------------------------------------- agreement


@pytest.mark.parametrize("k", [2, 5, 8])
def test_top_agreement_is_scipys_spearman_on_one_teachers_top(cosines: np.ndarray, k: int) -> None:
    expected = []
    for b in range(3):
        found = []
        for one in range(4):
            for other in range(4):
                for i in range(9):
                    if one == other:
                        continue
                    columns = [j for j in range(9) if j != i]
                    mine, theirs = cosines[one, b, i, columns], cosines[other, b, i, columns]
                    top = np.argsort(-mine)[:k]
                    found.append(stats.spearmanr(mine[top], theirs[top]).statistic)
        expected.append(100 * np.mean(found))
    agreement = analysis.top_agreement(cosines, k)
    np.testing.assert_allclose(agreement.by_batch, expected)
    assert agreement.mean == pytest.approx(np.mean(expected)) and str(agreement).startswith(f"top {k}: ")


@pytest.mark.parametrize("k", [1, 9])
def test_a_top_that_does_not_exist(cosines: np.ndarray, k: int) -> None:
    with pytest.raises(KitError, match=f"k is {k}"):
        analysis.top_agreement(cosines, k)


def test_ranks_with_ties_are_spearmans() -> None:
    a, b = np.array([3.0, 1, 1, 2, 5]), np.array([1.0, 0, 4, 4, 4])
    assert analysis.unit_ranks(a) @ analysis.unit_ranks(b) == pytest.approx(stats.spearmanr(a, b).statistic)


# ---------------------------------------------------------------- noise by rank


def test_spread_by_rank_by_loops(cosines: np.ndarray) -> None:
    means, noises = np.zeros(8), np.zeros(8)
    for b in range(3):
        for i in range(9):
            columns = [j for j in range(9) if j != i]
            rows = cosines[:, b, i, columns]
            order = np.argsort(-rows.mean(0))
            means += rows.mean(0)[order] / 27
            centred = rows - rows.mean(1, keepdims=True)
            noises += centred.var(0, ddof=1)[order] / 27
    found = analysis.spread_by_rank(cosines)
    np.testing.assert_allclose(found.mean, means)
    np.testing.assert_allclose(found.noise, np.sqrt(noises))
    np.testing.assert_allclose(found.gap[:-1], means[:-1] - means[1:])
    assert math.isnan(found.gap[-1]) and (found.gap[:-1] > 0).all()
    assert found.unsettled == pytest.approx(np.mean(np.sqrt(noises)[:-1] > means[:-1] - means[1:]))


# ---------------------------------------------------------------- averaging


def test_the_law_finds_planted_variances() -> None:
    """Logits t = a_ij + e_ijm with var(a) = 0.04, var(e) = 0.01: floor 0.04, noise 0.01, in nearly all simulations."""
    draw, hits = np.random.default_rng(7), 0
    for _ in range(100):
        shared = draw.normal(0, 0.2, size=(1, 4, 24, 24))
        law = analysis.averaging_law(shared + draw.normal(0, 0.1, size=(6, 4, 24, 24)), subsets=20)
        # Three standard errors by the chi-squared law: 2,112 degrees of freedom for the floor, five times as many
        # for the noise.
        hits += abs(law.floor - 0.04) < 0.0042 and abs(law.noise - 0.01) < 0.0006
    assert hits >= 90


def test_the_law_is_the_variance_of_every_ensemble(cosines: np.ndarray) -> None:
    law = analysis.averaging_law(cosines)
    for m, measured in zip(law.teachers, law.variance, strict=True):
        subsets = [
            analysis.row_centred(cosines[list(chosen)].mean(0)).var(-1, ddof=1).mean()
            for chosen in combinations(range(4), int(m))
        ]
        assert measured == pytest.approx(np.mean(subsets))
        assert law.at(m) == pytest.approx(measured)
    assert law.noise_share(2) == pytest.approx(law.noise / 2 / law.at(2))


def test_teachers_that_agree_have_no_noise(cosines: np.ndarray) -> None:
    law = analysis.averaging_law(np.repeat(cosines[:1], 5, axis=0))
    assert law.noise == pytest.approx(0, abs=1e-12) and law.floor == pytest.approx(law.variance[0])
