"""Students of one laboratory by what distinguishes them: what its store has, and training what it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distillcse_kit.config import POOLINGS, DistillationSettings, as_json, profile_named, with_changes
from distillcse_kit.errors import KitError
from distillcse_kit.experiments.sweep_design import Sweep
from distillcse_kit.experiments.sweep_result import shipped_sweep
from distillcse_kit.experiments.sweeps import SWEEPS
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.store import read_json
from distillcse_kit.training.loop import Watcher
from distillcse_kit.training.run import Run
from distillcse_kit.training.workplace import Job

SYMBOLS = {
    "p": "p",
    "student_temperature": "tau_s",
    "teacher_temperature": "tau_t",
    "weight": "lambda",
    "teachers": "M",
    "pooling": "pooling",
}


@dataclass(frozen=True)
class Knobs:
    """One setting of an ablation.

    Attributes:
        p: of Group-P; 0 leaves the logits as they are.
        student_temperature, teacher_temperature: tau_s and tau_t.
        weight: lambda.
        teachers: M, the first M are averaged; with 1, the student of seed s learns from teacher s.
        pooling: of the student.
    """

    p: float
    student_temperature: float
    teacher_temperature: float
    weight: float
    teachers: int
    pooling: str

    def __str__(self) -> str:
        return ", ".join(f"{symbol} = {shown(name, getattr(self, name))}" for name, symbol in SYMBOLS.items())


def shown(name: str, value: Any) -> str:
    """A knob's value as text."""
    return "not shuffled" if name == "p" and value == 0 else str(value) if name == "pooling" else f"{value:g}"


Results = Mapping[Knobs, Mapping[int, float]]  # {setting: {seed: score}}

CHOICES: dict[str, tuple[Any, ...]] = {
    "p": (0.0, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.5, 1.0),
    "student_temperature": (0.01, 0.02, 0.05),
    "teacher_temperature": (0.01, 0.02, 0.05),
    "weight": (0.1, 0.2, 0.5, 1.0, 2.0),
    "teachers": (1, 2, 4, 8, 16),
    "pooling": POOLINGS,
}

SHIPPED_SWEEPS = ("table6-p", "table6-lambda", "table7", "ensembles")


def knobs_of(distillation: DistillationSettings, teachers: int, pooling: str) -> Knobs:
    """The setting of students of so many teachers."""
    return Knobs(
        distillation.p if distillation.shuffle == "group_p" else 0.0,
        distillation.student_temperature,
        distillation.teacher_temperature,
        distillation.weight,
        teachers,
        pooling,
    )


def shipped_results(column: str = "dev") -> dict[Knobs, dict[int, float]]:
    """Students of the sweeps that ship with the kit, made on real data with the laptop profile.

    Args:
        column: of the sweeps' tables: ``dev``, a task, or the average over those of the paper's tasks that they have.

    Raises:
        KitError: a damaged file.
    """
    profile = profile_named("laptop")
    plain = with_changes(profile.distillation, shuffle="none")
    found: dict[Knobs, dict[int, float]] = {}
    for name in SHIPPED_SWEEPS:
        sweep, result = SWEEPS[name], shipped_sweep(name)
        if result is None or not isinstance(sweep, Sweep):
            continue
        for setting in sweep.settings:
            if setting.teachers == 1 or setting.label not in result.table:
                continue  # here M = 1 means that each seed has a teacher of its own, not that all share the first
            distillation = with_changes(plain, **setting.distillation)
            knobs = knobs_of(distillation, max(1, setting.teachers), profile.training.pooling)
            found[knobs] = dict(enumerate(result.table[setting.label][column]))
    return found


class Ablation:
    """The students of a laboratory's teachers.

    Args:
        lab: its profile has all other settings, and says how many seeds a setting wants.
        teachers: of all students, in the order of their seeds.

    Raises:
        KitError: fewer teachers than seeds.
    """

    def __init__(self, lab: Laboratory, teachers: Sequence[Run]) -> None:
        if len(teachers) < lab.profile.seeds:
            raise KitError(
                f"With M = 1 each seed has its own teacher: {lab.profile.seeds} seeds, {len(teachers)} of them."
            )
        self.lab, self.teachers, self.seeds = lab, list(teachers), range(lab.profile.seeds)

    @property
    def usual(self) -> Knobs:
        """The profile's own setting: Group-P with one teacher."""
        wanted, training = self.lab.profile.distillation, self.lab.profile.training
        return knobs_of(with_changes(wanted, shuffle="group_p"), 1, training.pooling)

    @property
    def choices(self) -> dict[str, list[Any]]:
        """{knob: values that can be trained}, the usual one among them."""
        found = {}
        for name, values in CHOICES.items():
            known = {*values, getattr(self.usual, name)}
            found[name] = list(values) if name == "pooling" else sorted(known)
        found["teachers"] = [m for m in found["teachers"] if m <= len(self.teachers)]
        return found

    def job(self, knobs: Knobs, seed: int) -> Job:
        """The student of one seed."""
        teachers = [self.teachers[seed]] if knobs.teachers == 1 else self.teachers[: knobs.teachers]
        return self.lab.student_job(
            teachers,
            seed,
            {"pooling": knobs.pooling},
            shuffle="group_p" if knobs.p else "none",
            student_temperature=knobs.student_temperature,
            teacher_temperature=knobs.teacher_temperature,
            weight=knobs.weight,
            **({"p": knobs.p} if knobs.p else {}),
        )

    def stored(self) -> dict[Knobs, dict[int, float]]:
        """The dev scores of all runs in the store that are students of this kind, whoever trained them."""
        found: dict[Knobs, dict[int, float]] = {}
        for path in sorted((self.lab.store.root / "runs").glob("*/run.json")):
            about = read_json(path)
            if (knobs := self._knobs_of(about)) is not None:
                seed = int(about["training"]["seed"])
                found.setdefault(knobs, {})[seed] = Run.load(path.parent).scores["dev"]
        return found

    def _knobs_of(self, about: Mapping[str, Any]) -> Knobs | None:
        """The setting of a run, if a job of ours would be the very same run."""
        if "distillation" not in about or about["training"]["seed"] not in self.seeds:
            return None
        wanted = DistillationSettings(**about["distillation"])
        knobs = knobs_of(wanted, len(about["teachers"]), about["training"]["pooling"])
        if knobs.teachers > len(self.teachers):
            return None
        job = self.job(knobs, about["training"]["seed"])
        assert job.distillation is not None
        share = round(1 / len(job.teachers), 12)
        ours = {
            "training": as_json(job.training),
            "distillation": as_json(job.distillation),
            "teachers": [{"teacher": folder.name, "weight": share} for folder in job.teachers],
            "base": self.teachers[0].about["base"],
            "corpus": self.teachers[0].about["corpus"],
            "dev": self.teachers[0].about["dev"],
        }
        return knobs if all(about[name] == value for name, value in ours.items()) else None

    def train(self, knobs: Knobs, seed: int, on_step: Watcher | None = None) -> float:
        """Dev score of the student of one seed, loaded or trained now; ``on_step`` as in ``training.train``."""
        return self.lab.make(self.job(knobs, seed), progress=False, on_step=on_step).scores["dev"]
