"""Losses against brute-force loops, scipy, sentence-transformers and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor

from distillcse_kit.errors import KitError
from distillcse_kit.method.losses import (
    DIVERGENCES,
    contrastive_loss,
    cosine_matrix,
    distillation_loss,
    off_diagonal,
    ranking_hinge_loss,
)


def cosines(n: int, seed: int) -> Tensor:
    vectors = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return cosine_matrix(vectors, vectors)


def probabilities(row: list[float], leave_out: int, temperature: float) -> list[float]:
    """Softmax over all entries but one, by plain arithmetic; the one left out is nan."""
    kept = [value / temperature for column, value in enumerate(row) if column != leave_out]
    total = sum(math.exp(value - max(kept)) for value in kept)
    return [
        math.nan if column == leave_out else math.exp(value / temperature - max(kept)) / total
        for column, value in enumerate(row)
    ]


def distillation_by_hand(student: Tensor, teacher: Tensor, tau_s: float, tau_t: float, divergence: str) -> float:
    total = 0.0
    for i in range(len(student)):
        p = probabilities(student[i].tolist(), i, tau_s)
        q = probabilities(teacher[i].tolist(), i, tau_t)
        others = [j for j in range(len(student)) if j != i]
        if divergence == "cross_entropy":
            total -= sum(q[j] * math.log(p[j]) for j in others)
        elif divergence == "kl":
            total += sum(rel_entr(q[j], p[j]) for j in others)
        else:
            total += sum(rel_entr(q[j], (p[j] + q[j]) / 2) + rel_entr(p[j], (p[j] + q[j]) / 2) for j in others) / 2
    return total / len(student)


def test_off_diagonal_keeps_order() -> None:
    matrix = torch.arange(16.0).view(4, 4)
    expected = [[value for j, value in enumerate(row) if j != i] for i, row in enumerate(matrix.tolist())]
    assert off_diagonal(matrix).tolist() == expected


def test_contrastive_loss_equals_a_loop() -> None:
    a, b = torch.randn(2, 6, 4, dtype=torch.float64)
    total = 0.0
    for i in range(6):
        similarity = [float(torch.cosine_similarity(a[i], b[j], dim=0)) / 0.05 for j in range(6)]
        total -= similarity[i] - math.log(sum(map(math.exp, similarity)))
    assert contrastive_loss(a, b, 0.05).item() == pytest.approx(total / 6, rel=1e-5)


def test_contrastive_loss_is_sentence_transformers_multiple_negatives_ranking_loss() -> None:
    losses = pytest.importorskip("sentence_transformers.losses", reason="sentence-transformers is not installed")
    loss = losses.MultipleNegativesRankingLoss(model=None, scale=20.0)
    a, b = torch.randn(2, 7, 8)
    theirs = loss.compute_loss_from_embeddings([a, b], labels=None)
    assert contrastive_loss(a, b, 1 / 20).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_hard_negatives_join_every_denominator() -> None:
    """SimCSE's Eq 5, with its weight alpha at 1: all positives and all hard negatives, in a loop."""
    a, b, c = torch.randn(3, 6, 4, dtype=torch.float64)
    total = 0.0
    for i in range(6):
        positives = [float(torch.cosine_similarity(a[i], b[j], dim=0)) / 0.05 for j in range(6)]
        negatives = [float(torch.cosine_similarity(a[i], c[j], dim=0)) / 0.05 for j in range(6)]
        total -= positives[i] - math.log(sum(map(math.exp, [*positives, *negatives])))
    found = contrastive_loss(a, b, 0.05, c)
    assert found.item() == pytest.approx(total / 6, rel=1e-5)
    assert found > contrastive_loss(a, b, 0.05), "more to tell apart is harder"
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert contrastive_loss(a, b, 0.05, c[order]).item() == pytest.approx(found.item(), rel=1e-6)
    assert contrastive_loss(a[:1], b[:1], 0.05, c[:1]) > 0, "one sentence has its hard negative to be told from"


def test_hard_negatives_are_the_triples_of_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers.losses", reason="sentence-transformers is not installed")
    loss = losses.MultipleNegativesRankingLoss(model=None, scale=20.0)
    a, b, c = torch.randn(3, 7, 8)
    theirs = loss.compute_loss_from_embeddings([a, b, c], labels=None)
    assert contrastive_loss(a, b, 1 / 20, c).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_contrastive_loss_bounds() -> None:
    same = torch.eye(8)
    assert contrastive_loss(same, same, 0.01).item() == pytest.approx(0.0, abs=1e-6)
    constant = torch.ones(8, 3)
    assert contrastive_loss(constant, constant).item() == pytest.approx(math.log(8), rel=1e-6)
    assert contrastive_loss(torch.randn(1, 3), torch.randn(1, 3)).item() == 0.0


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("n", [2, 3, 9])
def test_distillation_loss_equals_a_loop(divergence: str, n: int) -> None:
    student, teacher = cosines(n, 0), cosines(n, 1)
    expected = distillation_by_hand(student, teacher, 0.2, 0.1, divergence)
    assert distillation_loss(student, teacher, 0.2, 0.1, divergence).item() == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_distillation_loss_ignores_the_diagonal(divergence: str) -> None:
    student, teacher = cosines(5, 0), cosines(5, 1)
    expected = distillation_loss(student, teacher, divergence=divergence).item()
    for value in (0.0, math.inf, -math.inf, math.nan):
        changed_student, changed_teacher = student.clone().fill_diagonal_(value), teacher.clone().fill_diagonal_(value)
        assert distillation_loss(changed_student, changed_teacher, divergence=divergence).item() == expected


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_distillation_loss_is_safe_where_the_teacher_says_impossible(divergence: str) -> None:
    student, teacher = cosines(5, 0).requires_grad_(), cosines(5, 1)
    teacher[0, 3] = -math.inf
    loss = distillation_loss(student, teacher, divergence=divergence)
    loss.backward()
    assert loss.isfinite() and student.grad is not None and student.grad.isfinite().all()


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_distillation_loss_gradient_by_finite_differences(divergence: str) -> None:
    student, teacher = cosines(4, 2).requires_grad_(), cosines(4, 3)
    distillation_loss(student, teacher, 0.5, 0.3, divergence).backward()
    assert student.grad is not None
    step = 1e-2
    for i, j in [(0, 1), (2, 3), (3, 0)]:
        values = []
        for sign in (1, -1):
            moved = student.detach().clone()
            moved[i, j] += sign * step
            values.append(distillation_by_hand(moved, teacher, 0.5, 0.3, divergence))
        assert student.grad[i, j].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=2e-2, abs=1e-4)
    assert student.grad.diagonal().abs().max() == 0


def test_cross_entropy_is_kl_plus_the_teachers_entropy() -> None:
    student, teacher = cosines(6, 0), cosines(6, 1)
    q = torch.softmax(off_diagonal(teacher) / 0.1, dim=-1)
    entropy = -(q * q.log()).sum(-1).mean().item()
    cross_entropy = distillation_loss(student, teacher, 0.2, 0.1).item()
    assert cross_entropy == pytest.approx(
        distillation_loss(student, teacher, 0.2, 0.1, "kl").item() + entropy, rel=1e-5
    )


def test_divergences_vanish_where_the_student_matches() -> None:
    teacher = cosines(6, 1)
    for divergence in ("kl", "js"):
        assert distillation_loss(teacher, teacher, 0.05, 0.05, divergence).item() == pytest.approx(0.0, abs=1e-6)
    js = distillation_loss(cosines(6, 0), teacher, 0.001, 0.001, "js").item()
    assert 0 < js <= math.log(2) + 1e-6


def test_one_sentence_has_nothing_to_distil() -> None:
    student = torch.ones(1, 1, requires_grad=True)
    loss = distillation_loss(student, torch.ones(1, 1))
    loss.backward()
    assert loss.item() == 0.0 and student.grad is not None and student.grad.item() == 0.0


def test_ranking_hinge_equals_a_loop_over_the_same_pairs() -> None:
    n, pairs = 6, 9
    student, teacher = cosines(n, 0), cosines(n, 1)
    loss = ranking_hinge_loss(student, teacher, 0.3, 0.05, 0.1, pairs, torch.Generator().manual_seed(4)).item()
    j, k = torch.randint(n - 1, (2, n, pairs), generator=torch.Generator().manual_seed(4))
    total, counted = 0.0, 0
    for i in range(n):
        columns = [column for column in range(n) if column != i]
        q = probabilities(teacher[i].tolist(), i, 0.3)
        for a, b in zip(j[i].tolist(), k[i].tolist(), strict=True):
            if q[columns[a]] - q[columns[b]] > 0.05:
                gap = float(student[i, columns[a]] - student[i, columns[b]])
                total, counted = total + max(0.0, 0.1 - gap), counted + 1
    assert counted > 5
    assert loss == pytest.approx(total / counted, rel=1e-5)


def test_ranking_hinge_is_zero_for_a_student_in_the_teachers_order_with_wide_gaps() -> None:
    teacher = cosines(8, 1)
    assert ranking_hinge_loss(teacher * 100, teacher, 0.3, 0.05, 0.01).item() == 0.0
    assert ranking_hinge_loss(torch.ones(2, 2), torch.ones(2, 2)).item() == 0.0


def test_cosine_matrix_is_numpys() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    expected = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    np.testing.assert_allclose(cosine_matrix(torch.tensor(a), torch.tensor(b)).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: contrastive_loss(torch.ones(2, 3), torch.ones(2, 3), 0.0), "temperature is 0.0"),
        (lambda: contrastive_loss(torch.ones(2, 3), torch.ones(3, 3)), "encode the same batch twice"),
        (lambda: contrastive_loss(*torch.ones(2, 2, 3), 0.1, torch.ones(3, 3)), "as many positives and hard negatives"),
        (lambda: distillation_loss(torch.ones(3, 3), torch.ones(3, 3), -1.0), "student_temperature is -1.0"),
        (lambda: distillation_loss(torch.ones(3, 3), torch.ones(3, 3), 1.0, 0.0), "teacher_temperature is 0.0"),
        (lambda: distillation_loss(torch.ones(3, 3), torch.ones(4, 4)), "differ in shape"),
        (lambda: distillation_loss(torch.ones(3, 4), torch.ones(3, 4)), "must be a square matrix"),
        (lambda: distillation_loss(torch.ones(3, 3), torch.ones(3, 3), divergence="l2"), "cross_entropy, kl, js"),  # type: ignore[arg-type]
        (lambda: ranking_hinge_loss(torch.ones(3, 3), torch.ones(3, 3), teacher_margin=1.0), r"\[0, 1\)"),
    ],
)
def test_bad_arguments_are_one_sentence(call, words: str) -> None:
    with pytest.raises(KitError, match=words):
        call()
