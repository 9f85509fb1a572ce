"""What a named experiment is: its rows, its seeds, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from distillcse_kit.config import Profile, as_json, with_changes
from distillcse_kit.errors import KitError
from distillcse_kit.experiments.tables import Table
from distillcse_kit.laboratory import Laboratory

Numbers = dict[str, dict[str, float]]

OWN = 0  # seed s learns from teacher s


@dataclass(frozen=True)
class Setting:
    """One row of an ablation.

    Attributes:
        label: as the table shows it.
        teachers: how many are averaged, from teacher 0 on; ``OWN``: seed s learns from teacher s alone.
        distillation: changes of the profile's distillation.
    """

    label: str
    teachers: int = OWN
    distillation: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """A named experiment that trains students.

    Attributes:
        title: what it is in the paper, or that it is ours.
        question: what a reader wants to learn from it.
        settings: its rows; the first one is what the others are compared with.
        published: {label: {column: the paper's number}}, where it has one.
        every_teacher: as many seeds as there are teachers, where the profile's number would be too few to decide.
    """

    title: str
    question: str
    settings: tuple[Setting, ...]
    published: Numbers = field(default_factory=dict)
    every_teacher: bool = False
    last: ClassVar[bool] = False

    def __post_init__(self) -> None:
        labels = [setting.label for setting in self.settings]
        if len(set(labels)) < len(labels) or len(labels) < 2:
            raise KitError("A sweep needs at least two settings, each with a label of its own.")

    def seeds(self, profile: Profile) -> int:
        """How many seeds each setting is run with."""
        return max(profile.seeds, profile.teachers) if self.every_teacher else profile.seeds

    def content(self, profile: Profile) -> list[Any]:
        """All settings that the result hangs on."""
        plain = with_changes(profile.distillation, shuffle="none")
        return [
            [setting.label, setting.teachers, as_json(with_changes(plain, **setting.distillation))]
            for setting in self.settings
        ]

    def compute(self, lab: Laboratory) -> Table:
        """Train what the store lacks, score all: {label: {task: scores over seeds}}.

        Settings that want more teachers than the profile has are left out.

        Raises:
            KitError: fewer teachers than seeds where each student has its own.
        """
        pool, seeds = lab.teachers(), range(self.seeds(lab.profile))
        settings = [setting for setting in self.settings if setting.teachers <= len(pool)]
        if any(setting.teachers == OWN for setting in settings) and len(pool) < len(seeds):
            raise KitError(f"Each student has a teacher of its own: {len(seeds)} seeds need {len(seeds)} teachers.")
        jobs = [
            lab.student_job(pool[: setting.teachers] or [pool[seed]], seed, **setting.distillation)
            for setting in settings
            for seed in seeds
        ]
        scores = lab.scores(lab.make_all(jobs, "students"))
        return {
            setting.label: {task: values[row * len(seeds) : (row + 1) * len(seeds)] for task, values in scores.items()}
            for row, setting in enumerate(settings)
        }


@dataclass(frozen=True)
class Analysis:
    """A named experiment that looks at the students of the main table, or watches them train.

    Attributes:
        title, question, published: as of a ``Sweep``.
        compute: {row: {column: values over seeds}}; rows as long as the first one are compared with it.
        last: only the last column is worth a table: the others are steps on the way.
    """

    title: str
    question: str
    compute: Callable[[Laboratory], Table]
    published: Numbers = field(default_factory=dict)
    last: bool = False

    def seeds(self, profile: Profile) -> int:
        """How many seeds each row has."""
        return profile.seeds

    def content(self, profile: Profile) -> list[Any]:
        """All settings that the result hangs on."""
        return [as_json(profile.distillation)]


AVERAGE = "average"
