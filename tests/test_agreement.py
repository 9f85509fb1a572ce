"""Agreement by scipy, losses by their definition, and planted students that copy their teacher's noise or do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import log_softmax, softmax

from distillcse_kit.analysis.agreement import agreements, remaining_loss
from distillcse_kit.config import DistillationSettings
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import paired_difference, verdict
from distillcse_kit.evaluation.pairs_of_runs import values_by_run


def planted(copied: float, students: int = 4, pairs: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Teachers with noise of their own, students that copy a share of it."""
    draw = np.random.default_rng(0)
    truth, noise = draw.normal(size=pairs), draw.normal(size=(students, pairs))
    return truth + copied * noise + 0.2 * draw.normal(size=noise.shape), truth + noise, np.round(truth)


def test_agreement_is_spearman_as_scipy_has_it() -> None:
    students, teachers, gold = planted(0.5)
    found = agreements(students, teachers, gold)

    def rho(one: np.ndarray, other: np.ndarray) -> float:
        return 100 * float(stats.spearmanr(one, other).statistic)

    with_teachers = np.array([[rho(student, teacher) for teacher in teachers] for student in students])
    with_students = np.array([[rho(student, other) for other in students] for student in students])
    assert found.gold == pytest.approx([rho(student, gold) for student in students])
    assert found.own_teacher == pytest.approx(with_teachers.diagonal())
    for values, matrix in ((found.other_teachers, with_teachers), (found.other_students, with_students)):
        assert values == pytest.approx(values_by_run(matrix))
        assert np.mean(values) == pytest.approx(matrix[~np.eye(4, dtype=bool)].mean())


def test_two_students_are_one_pair_and_no_difference_of_theirs_counts_twice() -> None:
    copies, learns = (agreements(*planted(copied, students=2)) for copied in (1.0, 0.1))
    assert len(copies.gold) == len(copies.own_teacher) == 2
    assert len(copies.other_students) == len(copies.other_teachers) == 1
    difference = paired_difference(learns.other_students, copies.other_students)
    assert difference.mean > 0 and math.isnan(difference.half_width)
    assert verdict(difference, "A", "B").endswith("but a single value cannot show a difference.")


def test_who_copies_noise_agrees_with_its_own_teacher_and_less_with_all_others() -> None:
    copies, learns = (agreements(*planted(copied)) for copied in (1.0, 0.1))
    assert min(copies.own_teacher) > max(learns.own_teacher)
    assert np.mean(copies.other_teachers) < np.mean(learns.other_teachers)
    assert np.mean(copies.other_students) < np.mean(learns.other_students)
    assert max(copies.gold) < min(learns.gold)


def cosines(seed: int) -> torch.Tensor:
    vectors = torch.nn.functional.normalize(torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(seed)), dim=-1)
    return vectors @ vectors.transpose(1, 2)


def test_what_remains_by_the_definition() -> None:
    student, teacher, wanted = (
        cosines(0),
        cosines(1),
        DistillationSettings(student_temperature=0.2, teacher_temperature=0.1),
    )
    cross_entropy, kl = [], []
    for batch in range(3):
        for i in range(7):
            others = [j for j in range(7) if j != i]
            q = softmax(teacher[batch, i, others].double().numpy() / 0.1)
            log_p = log_softmax(student[batch, i, others].double().numpy() / 0.2)
            cross_entropy.append(-(q * log_p).sum())
            kl.append((q * (np.log(q) - log_p)).sum())
    found = remaining_loss(student, teacher, wanted)
    assert found.cross_entropy == pytest.approx(np.mean(cross_entropy), rel=1e-5)
    assert found.kl == pytest.approx(np.mean(kl), rel=1e-4)
    assert found.shuffled == found.cross_entropy  # nothing is shuffled


def test_a_copy_at_equal_temperatures_has_no_kl_left_but_the_shuffled_loss_stays() -> None:
    teacher = cosines(2)
    wanted = DistillationSettings(student_temperature=0.1, teacher_temperature=0.1, shuffle="group_p", p=0.5)
    found = remaining_loss(teacher, teacher, wanted)
    assert found.kl == pytest.approx(0, abs=1e-6) and found.cross_entropy > 0.1
    assert found.shuffled > found.cross_entropy
    assert remaining_loss(teacher, teacher, wanted, seed=0) == found != remaining_loss(teacher, teacher, wanted, seed=1)


def test_what_does_not_match_is_one_sentence() -> None:
    with pytest.raises(KitError, match="at least two"):
        agreements(np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4))
    with pytest.raises(KitError, match="same pairs"):
        agreements(np.zeros((2, 4)), np.zeros((2, 4)), np.zeros(3))
    with pytest.raises(KitError, match="same batches"):
        remaining_loss(cosines(0), cosines(0)[:2], DistillationSettings())
