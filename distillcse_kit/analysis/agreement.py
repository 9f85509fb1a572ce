"""What a student has learned of its teacher: agreement (Table 8 of the paper), and the loss that is left (Table 9)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from distillcse_kit.analysis.logits import unit_ranks
from distillcse_kit.config import DistillationSettings
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.pairs_of_runs import values_by_run
from distillcse_kit.method.losses import distillation_loss
from distillcse_kit.training.objective import shuffled


@dataclass(frozen=True)
class Agreement:
    """Spearman x 100 between the cosines that students give sentence pairs and four other things; S students.

    Attributes:
        gold: [S], with the gold scores, which says how good a student is.
        own_teacher: [S], with the teacher that each learned from.
        other_teachers, other_students: with those of other seeds, which shows what students learned beyond one seed.
            Values as ``values_by_run`` gives them, since pairs share their students: their mean is the mean over all
            pairs, and a t interval of them is that of the jackknife. One value alone if there are two students.
    """

    gold: list[float]
    own_teacher: list[float]
    other_teachers: list[float]
    other_students: list[float]


def agreements(students: np.ndarray, teachers: np.ndarray, gold: np.ndarray) -> Agreement:
    """Table 8 of the paper.

    A student that copies its teacher's noise agrees with its own teacher far better than with the others. A student
    that learned what the teachers share agrees with all of them, and with other students.

    Args:
        students, teachers: cosines of the same n pairs, [S, n] each; student s learned from teacher s.
        gold: gold scores of the pairs, [n].

    Raises:
        KitError: there are fewer than two students, or the shapes do not match.
    """
    if students.shape != teachers.shape or students.ndim != 2 or students.shape[1] != len(gold):
        raise KitError("Give students and teachers the cosines of the same pairs, [students, pairs] each.")
    if len(students) < 2:
        raise KitError("A single student has no others to agree with; train at least two, each with its own teacher.")
    of_students, of_teachers = unit_ranks(students), unit_ranks(teachers)
    with_gold = 100 * of_students @ unit_ranks(np.asarray(gold, dtype=np.float64)[None])[0]
    with_teachers, with_students = 100 * of_students @ of_teachers.T, 100 * of_students @ of_students.T
    return Agreement(
        with_gold.tolist(),
        with_teachers.diagonal().tolist(),
        values_by_run(with_teachers),
        values_by_run(with_students),
    )


@dataclass(frozen=True)
class Remaining:
    """Distillation losses of one student, in nats, mean over rows, without dropout.

    Attributes:
        cross_entropy: against the teacher's own targets.
        shuffled: against targets shuffled as in training; equals ``cross_entropy`` if nothing is shuffled.
        kl: cross-entropy minus the entropy of the teacher's targets, which no student can change; 0 for a perfect copy.
    """

    cross_entropy: float
    shuffled: float
    kl: float


def remaining_loss(
    student_cosines: Tensor, teacher_cosines: Tensor, settings: DistillationSettings, seed: int = 0
) -> Remaining:
    """One entry of Table 9: the distillation loss (Eq 2) that is left on B batches of N sentences.

    The paper does not say whether its losses under shuffling are against shuffled targets; both are given here. Use
    ``kl`` to compare losses under different teachers: the targets of an averaged teacher are softer and have a larger
    entropy of their own.

    Args:
        student_cosines, teacher_cosines: of the same batches, [B, N, N] each.
        settings: temperatures and shuffling.
        seed: of the shuffle.

    Raises:
        KitError: the shapes do not match.
    """
    if student_cosines.shape != teacher_cosines.shape or student_cosines.ndim != 3:
        raise KitError("Give student and teacher the cosines of the same batches, [batches, N, N] each.")
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
