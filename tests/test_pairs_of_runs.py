"""Means over pairs of runs: the values by leaving each run out in a loop, and intervals that cover the truth."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.pairs_of_runs import values_by_run
from distillcse_kit.evaluation.statistics import seed_interval


def mean_over_pairs(matrix: np.ndarray, runs: list[int]) -> float:
    return float(np.mean([matrix[s, t] for s, t in permutations(runs, 2)]))


@pytest.mark.parametrize("n", [3, 4, 9])
@pytest.mark.parametrize("symmetric", [True, False])
def test_each_run_is_left_out_in_turn(n: int, symmetric: bool) -> None:
    matrix = np.random.default_rng(n).normal(size=(n, n))
    matrix = matrix + matrix.T if symmetric else matrix
    runs = list(range(n))
    whole = mean_over_pairs(matrix, runs)
    expected = [n * whole - (n - 1) * mean_over_pairs(matrix, [t for t in runs if t != s]) for s in runs]
    found = values_by_run(matrix)
    assert found == pytest.approx(expected)
    assert np.mean(found) == pytest.approx(whole)
    np.fill_diagonal(matrix, np.nan)
    assert values_by_run(matrix) == pytest.approx(expected), "the diagonal is not read"


def test_two_runs_have_one_value() -> None:
    assert values_by_run(np.array([[9.0, 1.0], [1.0, 9.0]])) == [1.0]
    assert values_by_run(np.array([[9.0, 1.0], [2.0, 9.0]])) == [1.5]


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4,)])
def test_what_is_no_square_of_runs(shape: tuple[int, ...]) -> None:
    with pytest.raises(KitError, match="give a square matrix of at least two runs"):
        values_by_run(np.zeros(shape))


@pytest.mark.parametrize("n", [5, 16])
@pytest.mark.parametrize("kinds", [1, 2])
def test_the_interval_covers_the_truth_and_that_of_plain_means_does_not(n: int, kinds: int) -> None:
    """Each run has a level of its own; with two kinds, as of students and teachers, two levels that differ."""
    draw, times = np.random.default_rng(0), 1_000
    covered = {"values": 0, "plain": 0}
    for _ in range(times):
        rows = draw.normal(size=n)
        columns = rows if kinds == 1 else 0.5 * rows + draw.normal(size=n)
        noise = 0.2 * draw.normal(size=(n, n))
        matrix = rows[:, None] + columns[None, :] + (noise + noise.T if kinds == 1 else noise)
        plain = (matrix.sum(axis=1) - matrix.diagonal()) / (n - 1)
        for name, values in (("values", values_by_run(matrix)), ("plain", plain.tolist())):
            interval = seed_interval(values)
            covered[name] += interval.low <= 0 <= interval.high
    assert 0.92 <= covered["values"] / times <= 0.98
    assert covered["plain"] / times < 0.85
