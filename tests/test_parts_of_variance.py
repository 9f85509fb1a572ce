"""The parts of variance: unbiased, found again where they were planted, and the same as by the definition."""

from __future__ import annotations

import numpy as np
import pytest

from distillcse_kit.analysis.parts_of_variance import disjoint_pairs, mean_squares, variance_parts
from distillcse_kit.errors import KitError


def planted(draw: np.random.Generator, m: int, p: int, pair: float, teacher: float, interaction: float) -> np.ndarray:
    """[M, P] logits of the model, normal effects with these variances."""
    return (
        0.3
        + draw.normal(0, pair**0.5, p)
        + draw.normal(0, teacher**0.5, (m, 1))
        + draw.normal(0, interaction**0.5, (m, p))
    )


def test_mean_squares_by_loops() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 5))
    m, p = logits.shape
    mean = sum(logits[i, j] for i in range(m) for j in range(p)) / (m * p)
    columns = [sum(logits[i, j] for i in range(m)) / m for j in range(p)]
    rows = [sum(logits[i, j] for j in range(p)) / p for i in range(m)]
    expected = (
        sum(m * (column - mean) ** 2 for column in columns) / (p - 1),
        sum(p * (row - mean) ** 2 for row in rows) / (m - 1),
        sum((logits[i, j] - columns[j] - rows[i] + mean) ** 2 for i in range(m) for j in range(p))
        / ((m - 1) * (p - 1)),
    )
    assert mean_squares(logits) == pytest.approx(expected)


@pytest.mark.parametrize("truth", [(0.016, 0.0004, 0.0028), (0.001, 0.01, 0.004), (0.02, 0.0, 0.001)])
def test_planted_variances_lie_in_their_intervals(truth: tuple[float, float, float]) -> None:
    """In at least 90 of 100 simulations each; the mean of the estimates is the truth (unbiased)."""
    draw = np.random.default_rng(1)
    inside, found = np.zeros(3), []
    for number in range(100):
        parts = variance_parts(planted(draw, 16, 300, *truth), draws=2_000, seed=number)
        inside += [part.low <= value <= part.high for part, value in zip(parts, truth, strict=True)]
        found.append([part.variance for part in parts])
    assert inside.min() >= 90
    estimates = np.array(found)
    error = estimates.std(axis=0, ddof=1) / 10
    assert (np.abs(estimates.mean(axis=0) - truth) < 4 * error).all()


def test_the_interaction_is_what_a_mean_of_all_teachers_divides_by_their_number() -> None:
    """Split-half check: the mean of 8 of 16 teachers has pair + interaction / 8, which its variance shows."""
    draw = np.random.default_rng(3)
    logits = planted(draw, 16, 20_000, 0.01, 0.002, 0.008)
    halves = logits[:8].mean(axis=0), logits[8:].mean(axis=0)
    pair, _, interaction = variance_parts(logits)
    assert np.cov(*halves)[0, 1] == pytest.approx(pair.variance, rel=0.05)
    assert np.var(halves[0] - halves[1], ddof=1) / 2 == pytest.approx(interaction.variance / 8, rel=0.05)


@pytest.mark.parametrize("n", [6, 7])
def test_disjoint_pairs_share_no_sentence(n: int) -> None:
    places = np.arange(3 * 2 * n * n).reshape(3, 2, n, n)
    found = disjoint_pairs(places)
    assert found.shape == (3, 6)
    expected = [[places[m, b, i, i + 1] for b in range(2) for i in (0, 2, 4)] for m in range(3)]
    assert found.tolist() == expected


def test_shares_sum_to_one_and_names_are_in_order() -> None:
    parts = variance_parts(planted(np.random.default_rng(0), 4, 30, 0.1, 0.1, 0.1))
    assert [part.name for part in parts] == ["pair", "teacher", "interaction"]
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert all(0 <= part.low < part.high for part in parts)


def test_logits_without_any_variance_have_none() -> None:
    assert [(part.variance, part.share) for part in variance_parts(np.full((2, 3), 0.5))] == [(0, 0)] * 3


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((1, 5)), "at least 2 teachers and 2 pairs"),
        (np.zeros((5, 1)), "at least 2 teachers and 2 pairs"),
        (np.zeros((2, 2, 2)), "at least 2 teachers and 2 pairs"),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), "not finite"),
    ],
)
def test_what_cannot_be_split_is_one_sentence(logits: np.ndarray, message: str) -> None:
    with pytest.raises(KitError, match=message):
        variance_parts(logits)
    with pytest.raises(KitError, match="confidence is 1"):
        variance_parts(np.zeros((2, 2)), confidence=1)
