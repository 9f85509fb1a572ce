"""What a shuffle does to targets, against enumeration of all permutations and scipy."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import softmax

from distillcse_kit.analysis import group_sizes, mean_of_shuffles, row_groups, shuffle_cost
from distillcse_kit.errors import KitError
from distillcse_kit.method.shuffling import group_mean, group_p_assignments, group_p_shuffle

TAU = 0.2


@pytest.fixture(scope="module")
def cosines() -> torch.Tensor:
    vectors = torch.nn.functional.normalize(torch.randn(7, 5, generator=torch.Generator().manual_seed(4)), dim=-1)
    return vectors @ vectors.T


def expected_target(row: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean of the softmax over all permutations inside the groups, one by one."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = []
    for orders in product(*(permutations(inside) for inside in members)):
        shuffled = row.copy()
        for inside, order in zip(members, orders, strict=True):
            shuffled[inside] = row[list(order)]
        found.append(softmax(shuffled / TAU))
    return np.mean(found, axis=0)


@pytest.mark.parametrize("row", [0, 3, 6])
def test_one_row_step_by_step(cosines: torch.Tensor, row: int) -> None:
    found = row_groups(cosines, row, 0.4, 1.0, TAU, seed=3)
    others = [j for j in range(7) if j != row]
    logits = cosines[row, others].numpy()
    order = np.argsort(-logits)
    assert found.columns.tolist() == [others[k] for k in order]
    np.testing.assert_allclose(found.logits, logits[order])
    np.testing.assert_allclose(found.before, softmax(found.logits.astype(float) / TAU), rtol=1e-6)
    np.testing.assert_allclose(found.after, softmax(found.shuffled.astype(float) / TAU), rtol=1e-6)
    assert found.groups.tolist() == group_p_assignments(cosines, 0.4)[row, found.columns].tolist()
    for group in set(found.groups):
        inside = found.groups == group
        assert sorted(found.logits[inside]) == sorted(found.shuffled[inside])
    np.testing.assert_allclose(found.mean, expected_target(found.logits.astype(float), found.groups), atol=1e-6)
    assert sum(found.sizes) == 6 and found.sizes == [int((found.groups == g).sum()) for g in sorted(set(found.groups))]


def test_a_row_that_is_not_there(cosines: torch.Tensor) -> None:
    for row in (-1, 7):
        with pytest.raises(KitError, match=f"row is {row}; the batch has rows 0 to 6"):
            row_groups(cosines, row, 0.1)


def test_sizes_of_groups_add_up_to_the_row(cosines: torch.Tensor) -> None:
    sizes = group_sizes(cosines, 0.3)
    groups = group_p_assignments(cosines, 0.3).numpy()
    assert sizes.tolist() == pytest.approx([(groups == g).sum() / 7 for g in range(4)])
    assert sizes.sum() == pytest.approx(6)


def test_the_cost_of_no_shuffle_is_scipys(cosines: torch.Tensor) -> None:
    cost = shuffle_cost(cosines, lambda t, _: t, 0.3, TAU, draws=2)
    cross = entropy = 0.0
    for i in range(7):
        row = np.delete(cosines[i].double().numpy(), i)
        q, p = softmax(row / TAU), softmax(row / 0.3)
        cross += stats.entropy(q) / 7 + stats.entropy(q, p) / 7
        entropy += stats.entropy(q) / 7
    assert cost.cross_entropy == pytest.approx(cross, rel=1e-5)
    assert cost.entropy == pytest.approx(entropy, rel=1e-5)
    assert cost.kl == pytest.approx(cross - entropy, rel=1e-4)
    assert cost.rank_correlation == pytest.approx(1)


def test_a_reversal_has_rank_correlation_minus_one(cosines: torch.Tensor) -> None:
    assert shuffle_cost(cosines, lambda t, _: -t, draws=1).rank_correlation == pytest.approx(-1)


def test_group_p_costs_what_the_group_mean_costs_in_expectation(cosines: torch.Tensor) -> None:
    """Cross-entropy is linear in the target, and a permutation keeps the entropy that the mean raises."""
    tau = {"student_temperature": 0.3, "teacher_temperature": TAU}
    noisy = shuffle_cost(cosines, lambda t, g: group_p_shuffle(t, 0.4, generator=g), **tau, draws=3000)
    smooth = shuffle_cost(cosines, lambda t, _: group_mean(t, 0.4, 1.0, TAU), **tau, draws=1)
    plain = shuffle_cost(cosines, lambda t, _: t, **tau, draws=1)
    assert noisy.cross_entropy == pytest.approx(smooth.cross_entropy, rel=5e-3)
    assert noisy.entropy == pytest.approx(plain.entropy, rel=1e-5) and smooth.entropy > plain.entropy


def test_the_mean_of_shuffles_approaches_the_group_mean(cosines: torch.Tensor) -> None:
    found = mean_of_shuffles(cosines, 0.4, 1.0, TAU, draws=1024)
    assert found.draws.tolist() == [2**k for k in range(11)]
    slope = stats.linregress(np.log(found.draws[2:]), np.log(found.distance[2:])).slope
    assert -0.75 < slope < -0.3  # 1 / sqrt(n)
    assert found.distance[-1] < 0.1 * found.distance[0]
