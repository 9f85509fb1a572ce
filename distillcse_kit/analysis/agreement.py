"""What a student learned of its teacher: agreement (Table 8 of the paper), and what of the loss is left (Table 9)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from distillcse_kit.analysis.logits import unit_ranks
from distillcse_kit.config import DistillationSettings
from distillcse_kit.errors import KitError
from distillcse_kit.method.losses import distillation_loss
from distillcse_kit.training.objective import shuffled


@dataclass(frozen=True)
class Agreement:
    """Spearman x 100 between one student's cosines of sentence pairs and those of others.

    Attributes:
        gold: with the annotators' scores: how good it is.
        own_teacher: with the teacher that it learned from.
        other_teachers, other_students: mean over the others, who had other seeds: what it learned beyond that seed.
    """

    gold: float
    own_teacher: float
    other_teachers: float
    other_students: float


def agreements(students: np.ndarray, teachers: np.ndarray, gold: np.ndarray) -> list[Agreement]:
    """Table 8, a row for each student.

    A student that copies its teacher's noise agrees with its own teacher far better than with the others; one that
    learned what teachers share agrees with all of them, and with other students.

    Args:
        students, teachers: cosines of the same n pairs, [S, n] each; student s learned from teacher s.
        gold: [n].

    Raises:
        KitError: fewer than two students, or shapes that do not match.
    """
    if students.shape != teachers.shape or students.ndim != 2 or students.shape[1] != len(gold):
        raise KitError("Students and teachers need the cosines of the same pairs, [students, pairs] each.")
    if len(students) < 2:
        raise KitError("One student has no others to agree with; train at least two, each with a teacher of its own.")
    count = len(students)
    of_students, of_teachers = unit_ranks(students), unit_ranks(teachers)
    with_gold = 100 * of_students @ unit_ranks(np.asarray(gold, dtype=np.float64)[None])[0]
    with_teachers, with_students = 100 * of_students @ of_teachers.T, 100 * of_students @ of_students.T
    own = with_teachers.diagonal()
    return [
        Agreement(
            float(with_gold[s]),
            float(own[s]),
            float((with_teachers[s].sum() - own[s]) / (count - 1)),
            float((with_students[s].sum() - with_students[s, s]) / (count - 1)),
        )
        for s in range(count)
    ]


@dataclass(frozen=True)
class Remaining:
    """Distillation losses of one student on some batches, in nats, mean over rows; dropout is off.

    Attributes:
        cross_entropy: against the teacher's own targets.
        shuffled: against targets that are shuffled as in training; the same as ``cross_entropy`` without shuffling.
        kl: cross-entropy less the teacher's entropy, which no student can change: 0 for a perfect copy.
    """

    cross_entropy: float
    shuffled: float
    kl: float


def remaining_loss(
    student_cosines: Tensor, teacher_cosines: Tensor, settings: DistillationSettings, seed: int = 0
) -> Remaining:
    """Table 9, one entry: what of the distillation loss is left on batches [B, N, N].

    The paper does not say which targets its losses under shuffling were taken against; both are given here. Losses of
    different teachers are compared by ``kl``: an averaged teacher is less sharp, and has more entropy of its own.

    Args:
        student_cosines, teacher_cosines: [B, N, N].
        settings: temperatures and shuffling.
        seed: of the shuffle.

    Raises:
        KitError: shapes that do not match.
    """
    if student_cosines.shape != teacher_cosines.shape or student_cosines.ndim != 3:
        raise KitError("Student and teacher need the cosines of the same batches, [batches, N, N] each.")
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[float]] = {"cross_entropy": [], "shuffled": [], "kl": []}
    for student, teacher in zip(student_cosines, teacher_cosines, strict=True):

        def loss(targets: Tensor, wanted: DistillationSettings, student: Tensor = student) -> float:
            temperatures = wanted.student_temperature, wanted.teacher_temperature
            return float(distillation_loss(student, targets, *temperatures, wanted.divergence))

        plain = replace(settings, divergence="cross_entropy")
        found["cross_entropy"].append(loss(teacher, plain))
        found["shuffled"].append(loss(shuffled(teacher, settings, generator), plain))
        found["kl"].append(loss(teacher, replace(settings, divergence="kl")))
    return Remaining(**{name: float(np.mean(values)) for name, values in found.items()})
