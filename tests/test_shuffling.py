"""Shuffling against a plain loop over rows and groups, and its invariants."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from conftest import as_if_cores
from torch import Tensor

from distillcse_kit.errors import KitError
from distillcse_kit.method import shuffling
from distillcse_kit.method.losses import cosine_matrix, distillation_loss, off_diagonal
from distillcse_kit.method.shuffling import (
    fixed_group_shuffle,
    group_mean,
    group_p_assignments,
    group_p_shuffle,
    number_of_groups,
    plain_group_p,
    rank_band_shuffle,
)


def cosines(n: int, seed: int = 0) -> Tensor:
    vectors = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return cosine_matrix(vectors, vectors)


def groups_by_hand(matrix: Tensor, p: float, temperature: float) -> list[list[int]]:
    """The rule of the paper's code, row by row: logit k is in group g when g p <= c_k < (g + 1) p; the rest, last."""
    last = math.ceil(Fraction(1) / Fraction(str(p))) - 1
    assignments = []
    for i, row in enumerate(matrix.double().tolist()):
        order = sorted((j for j in range(len(row)) if j != i), key=lambda j: -row[j])
        weights = [math.exp(row[j] / temperature) for j in order]
        groups, cumulative = [-1] * len(row), 0.0
        for j, weight in zip(order, weights, strict=True):
            cumulative += weight / sum(weights)
            group = 0
            while group < last and cumulative >= (group + 1) * p - 1e-10:
                group += 1
            groups[j] = group
        assignments.append(groups)
    return assignments


def ranks(matrix: Tensor) -> Tensor:
    """Rank of each logit in its row without the diagonal, 0 = largest; -1 on the diagonal. By a loop."""
    result = torch.full(matrix.shape, -1)
    for i in range(len(matrix)):
        others = [j for j in range(len(matrix)) if j != i]
        for rank, j in enumerate(sorted(others, key=lambda j: -matrix[i, j].item())):
            result[i, j] = rank
    return result


@pytest.mark.parametrize("p", [0.05, 0.1, 0.25, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.01])
def test_group_p_assignments_follow_the_rule(p: float, temperature: float) -> None:
    for n in (2, 3, 17, 64):
        matrix = cosines(n, n)
        assert group_p_assignments(matrix, p, temperature).tolist() == groups_by_hand(matrix, p, temperature)


def test_group_sizes_at_temperature_one_and_at_the_teacher_temperature() -> None:
    vectors = torch.randn(64, 100, generator=torch.Generator().manual_seed(0))
    matrix = cosine_matrix(vectors, vectors)  # a standard deviation of about 0.1, as a trained teacher's
    flat, sharp = (group_p_assignments(matrix, 0.1, temperature)[0] for temperature in (1.0, 0.01))
    sizes = torch.bincount(flat[flat >= 0], minlength=10).tolist()
    assert sum(sizes) == 63 and min(sizes) >= 4 and max(sizes) <= 9  # about 5,6,6,6,6,7,6,7,6,8, as the paper has it
    assert torch.bincount(sharp[sharp >= 0]).max() > 50  # one large tail group: another algorithm


def test_cuts_that_are_reached_exactly_count_as_reached() -> None:
    equal = torch.zeros(11, 11)  # ten equal logits: cumulative sums 0.1, 0.2, ..., 1
    counts = torch.bincount(group_p_assignments(equal, 0.1)[0].clamp(min=0)[1:], minlength=10)
    assert counts.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(("p", "groups"), [(1.0, 1), (0.1, 10), (0.3, 4), (0.05, 20), (1 / 3, 3), (0.07, 15)])
def test_number_of_groups(p: float, groups: int) -> None:
    assert number_of_groups(p) == groups


def test_group_p_keeps_the_multiset_of_each_group_and_never_crosses() -> None:
    matrix = cosines(40)
    groups = group_p_assignments(matrix, 0.1)
    result = group_p_shuffle(matrix, 0.1, generator=torch.Generator().manual_seed(1))
    moved = 0
    for i in range(40):
        for group in range(-1, 10):
            inside = groups[i] == group
            assert sorted(result[i, inside].tolist()) == sorted(matrix[i, inside].tolist())
            moved += int((result[i, inside] != matrix[i, inside]).sum())
    assert moved > 1000
    assert torch.equal(result.diagonal(), matrix.diagonal())


def test_every_permutation_of_a_group_is_equally_likely() -> None:
    matrix = torch.tensor([[1.0, 0.9, 0.8, 0.7], [0.0] * 4, [0.0] * 4, [0.0] * 4])
    generator = torch.Generator().manual_seed(0)
    counts: dict[tuple[float, ...], int] = {}
    for _ in range(6_000):
        seen = tuple(round(value, 1) for value in group_p_shuffle(matrix, 1.0, generator=generator)[0, 1:].tolist())
        counts[seen] = counts.get(seen, 0) + 1
    assert len(counts) == 6
    chi_square = sum((count - 1_000) ** 2 / 1_000 for count in counts.values())
    assert chi_square < 25.7  # 5 degrees of freedom, p = 0.0001


def test_small_p_is_the_identity() -> None:
    matrix = cosines(30)
    assert torch.equal(group_p_shuffle(matrix, 1e-6), matrix)
    assert torch.equal(fixed_group_shuffle(matrix, 1), matrix)
    assert torch.equal(rank_band_shuffle(matrix, 3, 4), matrix)


def test_generator_makes_it_repeatable() -> None:
    matrix = cosines(20)
    first, second, other = (group_p_shuffle(matrix, 0.2, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_fixed_groups_stay_inside_neighbouring_ranks() -> None:
    matrix = cosines(21)  # 20 logits: groups of 6, 6, 6 and 2
    result = fixed_group_shuffle(matrix, 6, torch.Generator().manual_seed(0))
    before = ranks(matrix)
    for i in range(21):
        for first in range(0, 20, 6):
            inside = (before[i] >= first) & (before[i] < first + 6)
            assert sorted(result[i, inside].tolist()) == sorted(matrix[i, inside].tolist())
    assert torch.equal(result.diagonal(), matrix.diagonal()) and not torch.equal(result, matrix)


@pytest.mark.parametrize(("start", "end"), [(0, 12), (5, 9), (12, 999)])
def test_rank_band_moves_only_the_band(start: int, end: int) -> None:
    matrix = cosines(30)
    result = rank_band_shuffle(matrix, start, end, torch.Generator().manual_seed(0))
    before = ranks(matrix)
    inside = (before >= start) & (before < end)
    assert torch.equal(result[~inside], matrix[~inside]) and not torch.equal(result, matrix)
    for i in range(30):
        assert sorted(result[i, inside[i]].tolist()) == sorted(matrix[i, inside[i]].tolist())


def test_a_band_over_all_ranks_leaves_the_loss_finite() -> None:
    matrix = cosines(8)
    assert distillation_loss(cosines(8, 1), rank_band_shuffle(matrix, 0, 63)).isfinite()


@pytest.mark.parametrize("temperature", [1.0, 0.05])
def test_group_mean_targets_are_the_group_means(temperature: float) -> None:
    matrix, tau = cosines(24), 0.05
    groups = group_p_assignments(matrix, 0.2, temperature)
    q = torch.softmax(off_diagonal(matrix).double() / tau, dim=-1)
    smoothed = torch.softmax(off_diagonal(group_mean(matrix, 0.2, temperature, tau)).double() / tau, dim=-1)
    group = off_diagonal(groups)
    for i in range(24):
        for g in range(5):
            inside = group[i] == g
            if inside.any():
                expected = q[i, inside].mean().expand(int(inside.sum()))
                torch.testing.assert_close(smoothed[i, inside], expected, rtol=2e-4, atol=1e-9)
    assert torch.equal(group_mean(matrix, 0.2).diagonal(), matrix.diagonal())


def test_group_mean_is_the_expectation_of_group_p() -> None:
    student, teacher = cosines(12, 1), cosines(12, 2)
    generator = torch.Generator().manual_seed(0)
    losses = [
        distillation_loss(student, group_p_shuffle(teacher, 0.25, generator=generator), 0.2, 0.1).item()
        for _ in range(3_000)
    ]
    mean = sum(losses) / len(losses)
    error = torch.tensor(losses).std().item() / len(losses) ** 0.5
    exact = distillation_loss(student, group_mean(teacher, 0.25, 1.0, 0.1), 0.2, 0.1).item()
    assert abs(mean - exact) < 4 * error
    assert (
        abs(distillation_loss(student, teacher, 0.2, 0.1).item() - exact) > 10 * error
    )  # the bound above means something


def test_far_tails_stay_finite_in_the_group_mean() -> None:
    matrix = torch.tensor([[1.0, 1.0, -9.0], [1.0, 1.0, -9.0], [-9.0, -9.0, 1.0]])
    assert group_mean(matrix, 0.1, 1.0, 0.001).isfinite().all()


def test_a_logit_of_minus_infinity_is_a_logit_like_any_other() -> None:
    matrix = cosines(6)
    matrix[2, 4] = -math.inf
    result = group_p_shuffle(matrix, 1.0, generator=torch.Generator().manual_seed(0))
    assert sorted(result[2].tolist()) == sorted(matrix[2].tolist())
    assert torch.equal(result.diagonal(), matrix.diagonal())


def test_one_sentence_is_left_alone() -> None:
    one = torch.ones(1, 1)
    for result in (
        group_p_shuffle(one, 0.1),
        fixed_group_shuffle(one, 3),
        rank_band_shuffle(one, 0, 5),
        group_mean(one, 0.1),
    ):
        assert torch.equal(result, one)
    assert group_p_assignments(one, 0.1).tolist() == [[-1]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: group_p_shuffle(cosines(4), 0.0), r"p is 0.0; .* \(0, 1\]"),
        (lambda: group_p_shuffle(cosines(4), 1.5), "p is 1.5"),
        (lambda: group_p_assignments(cosines(4), math.nan), "p is nan"),
        (lambda: group_p_assignments(cosines(4), 0.1, 0.0), "temperature is 0.0"),
        (lambda: group_mean(cosines(4), 0.1, 1.0, -0.1), "teacher_temperature is -0.1"),
        (lambda: fixed_group_shuffle(cosines(4), 0), "group_size is 0"),
        (lambda: rank_band_shuffle(cosines(4), 5, 5), "rank band 5..5 is empty"),
        (lambda: group_p_shuffle(torch.ones(3, 4), 0.1), "square matrix"),
    ],
)
def test_bad_arguments_are_one_sentence(call, words: str) -> None:
    with pytest.raises(KitError, match=words):
        call()


def test_a_share_so_small_that_each_logit_is_a_group_changes_nothing() -> None:
    cosines = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))
    for p in (1e-3, 1e-7, 1e-12):
        assert torch.equal(group_p_shuffle(cosines, p), cosines)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_ties_zeros_of_both_signs_and_infinities_are_ranked_by_column(dtype: torch.dtype) -> None:
    """A band of one rank changes nothing; a band of two swaps the two logits."""
    values = torch.tensor([0.5, -0.0, 0.0, -torch.inf, 0.5, -0.25, 0.25, -torch.inf], dtype=dtype)
    cosines = values.repeat(8, 1)
    for start in range(7):
        banded = rank_band_shuffle(cosines, start, start + 1, torch.Generator().manual_seed(0))
        assert torch.equal(banded, cosines)
    two = {tuple(rank_band_shuffle(cosines, 0, 2, torch.Generator().manual_seed(s))[7].tolist()) for s in range(20)}
    assert two == {tuple(values.tolist())}  # the two largest of the last row are equal: swapping them changes nothing
    swapped = {rank_band_shuffle(cosines, 1, 3, torch.Generator().manual_seed(s))[7][6].item() for s in range(20)}
    assert swapped == {0.25, 0.5}


# ---------------------------------------------------------------- the plain form and the fast one


def awkward(kind: str, n: int, seed: int) -> Tensor:
    """Logits that are hard to sort, float64 [N, N]."""
    random = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if kind == "ties":
        return (2 * random).round() / 2
    if kind == "zeros and infinities":
        random[:, ::3], random[:, 1::3] = 0.0, -0.0
        random[:, ::7] = -math.inf
        random[:, 1:2] = 0.5
    return random


def drawn(shuffle: Callable[[torch.Generator | None], Tensor], seed: int | None) -> tuple[Tensor, Tensor]:
    """The result, and the state of the generator after it: one of its own, or torch's for None."""
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        return shuffle(generator), generator.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return shuffle(None), torch.get_rng_state()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["normal", "ties", "zeros and infinities"])
@pytest.mark.parametrize("n", [1, 2, 3, 17, 64])
def test_the_plain_form_gives_the_same_numbers_from_the_same_draws(n: int, kind: str, dtype: torch.dtype) -> None:
    moved = False
    for seed in (0, 1, None):
        matrix = awkward(kind, n, seed or 0).to(dtype)
        for p in (1.0, 0.3, 0.1, 1e-3, 1e-9):
            for temperature in (1.0, 0.05):
                fast, state = drawn(lambda g: group_p_shuffle(matrix, p, temperature, g), seed)  # noqa: B023
                for form in (plain_group_p, lambda *given: group_p_shuffle(*given, fast=False)):
                    plain, after = drawn(lambda g: form(matrix, p, temperature, g), seed)  # noqa: B023
                    assert plain.dtype == dtype and torch.equal(plain, fast) and torch.equal(after, state)
                moved |= not torch.equal(fast, matrix)
    assert moved == (n > 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", ["normal", "ties", "zeros and infinities"])
def test_the_other_functions_have_the_same_plain_form(kind: str, dtype: torch.dtype) -> None:
    for n in (3, 20, 64):
        matrix = awkward(kind, n, n).to(dtype)
        for shuffle in (
            lambda g, fast: fixed_group_shuffle(matrix, 6, g, fast=fast),  # noqa: B023
            lambda g, fast: rank_band_shuffle(matrix, 1, 9, g, fast=fast),  # noqa: B023
            lambda g, fast: group_p_assignments(matrix, 0.1, 0.5, fast=fast),  # noqa: B023
            lambda g, fast: group_mean(matrix, 0.1, 0.5, 0.05, fast=fast),  # noqa: B023
        ):
            for seed in (0, None):
                fast, plain = (drawn(lambda g: shuffle(g, way), seed) for way in (True, False))  # noqa: B023
                assert torch.equal(fast[0], plain[0]) and torch.equal(fast[1], plain[1])


def test_the_plain_forms_do_not_sort_packed_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = cosines(6)
    monkeypatch.setattr("distillcse_kit.fast.sorting._sorted", lambda keys: pytest.fail("packed"))
    for plain in (
        lambda: plain_group_p(matrix, 0.3),
        lambda: group_p_shuffle(matrix, 0.3, fast=False),
        lambda: group_p_assignments(matrix, 0.3, fast=False),
        lambda: group_mean(matrix, 0.3, fast=False),
        lambda: fixed_group_shuffle(matrix, 2, fast=False),
        lambda: rank_band_shuffle(matrix, 0, 3, fast=False),
    ):
        plain()
    with pytest.raises(pytest.fail.Exception, match="packed"):
        group_p_shuffle(matrix, 0.3)


@pytest.mark.parametrize("call", ["group_p", "plain group_p", "assignments", "mean", "fixed", "band"])
def test_small_matrices_are_shuffled_on_one_core(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen where the softmax or the sort is asked for; the cores are given back, after an error as well."""
    shuffle = {
        "group_p": lambda matrix: group_p_shuffle(matrix, 0.3),
        "plain group_p": lambda matrix: group_p_shuffle(matrix, 0.3, fast=False),
        "assignments": lambda matrix: group_p_assignments(matrix, 0.3),
        "mean": lambda matrix: group_mean(matrix, 0.3),
        "fixed": lambda matrix: fixed_group_shuffle(matrix, 4),
        "band": lambda matrix: rank_band_shuffle(matrix, 0, 4),
    }[call]
    seen: list[int] = []
    real = shuffling.require_square

    def noted(name: str, matrix: Tensor) -> None:
        seen.append(torch.get_num_threads())
        real(name, matrix)

    monkeypatch.setattr(shuffling, "require_square", noted)
    with as_if_cores(3):
        shuffle(cosines(200))
        assert torch.get_num_threads() == 3
        with pytest.raises(KitError, match="square"):
            shuffle(torch.ones(200, 201))
        assert seen == [1, 1] and torch.get_num_threads() == 3
