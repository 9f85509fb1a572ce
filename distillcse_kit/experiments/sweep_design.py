"""What a named experiment is: its rows, its seeds, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from distillcse_kit.config import Profile, as_json
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.training.named_recipes import vanilla
from distillcse_kit.training.recipe import First, Recipe, These

AVERAGE = "average"
BASE, STRONG = "base, no training", "the teacher itself"  # rows of a sweep with a strong teacher

Numbers = dict[str, dict[str, float]]  # {row: {column: published number}}
Table = dict[str, dict[str, list[float]]]  # {row: {column: values over seeds}}


class Curve(str):
    """The label of a row that holds one quantity of one setting, over the steps of training (Figure 2 of the paper).

    It reads as "setting: where, quantity", and keeps its parts.

    Attributes:
        setting: such as "Group-P".
        quantity: such as "kl", or "dev".
        where: the kind of batches that it is measured on; empty where there are none.
    """

    setting: str
    quantity: str
    where: str

    def __new__(cls, setting: str, quantity: str, where: str = "") -> Curve:
        text = f"{setting}: {where}, {quantity}" if where else f"{setting}: {quantity}"
        label = super().__new__(cls, text)
        label.setting, label.quantity, label.where = setting, quantity, where
        return label


@dataclass(frozen=True)
class Sweep:
    """A named experiment that trains students.

    Attributes:
        title: its table in the paper, or that it goes beyond the paper.
        question: what a reader wants to learn from it.
        rows: makes {label: recipe} from the profile's plain distillation; all other rows are compared with the first.
        published: {label: {column: the paper's number}}, where the paper has one.
        every_teacher: run as many seeds as there are teachers, where the profile's number is too few for an answer.
        strong_teacher: a model folder or hub name that teaches all students instead of the laboratory's own teachers.
            The table then ends with two rows that are not trained: the base, and this teacher.
    """

    title: str
    question: str
    rows: Callable[[Recipe], Mapping[str, Recipe]]
    published: Numbers = field(default_factory=dict)
    every_teacher: bool = False
    strong_teacher: str | None = None
    last: ClassVar[bool] = False

    def seeds(self, profile: Profile) -> int:
        """How many seeds each row is run with."""
        return max(profile.seeds, profile.teachers) if self.every_teacher else profile.seeds

    def recipes(self, profile: Profile) -> dict[str, Recipe]:
        """{label: recipe}, without a seed; rows that need more teachers than the profile has are left out.

        Raises:
            KitError: fewer than two rows.
        """
        found = {
            label: recipe
            for label, recipe in self.rows(vanilla(profile)).items()
            if not (isinstance(recipe.teachers, First) and recipe.teachers.count > profile.teachers)
        }
        if self.strong_teacher:
            teacher = These((self.strong_teacher,))
            found = {label: one.changed(teachers=teacher) if one.is_student else one for label, one in found.items()}
        if len(found) < 2:
            raise KitError(f"{self.title} needs at least two rows to compare; this profile leaves {len(found)}.")
        return found

    def content(self, profile: Profile) -> list[Any]:
        """All settings that the result depends on."""
        rows = self.rows(vanilla(profile))
        return [[label, recipe.settings(), repr(recipe.teachers)] for label, recipe in rows.items()]

    def compute(self, lab: Laboratory) -> Table:
        """Train the runs that the store does not have yet, and score all: {label: {task: scores over seeds}}."""
        recipes, seeds = self.recipes(lab.profile), range(self.seeds(lab.profile))
        runs = lab.run_all([recipe.changed(seed=seed) for recipe in recipes.values() for seed in seeds], "students")
        scores = lab.scores(runs)
        table = {
            label: {task: values[row * len(seeds) : (row + 1) * len(seeds)] for task, values in scores.items()}
            for row, label in enumerate(recipes)
        }
        if self.strong_teacher:
            start = next(iter(recipes.values())).training
            table[BASE] = lab.scores([SentenceEncoder.load(start.base, start.pooling)])
            table[STRONG] = lab.scores([SentenceEncoder.load(self.strong_teacher)])
        return table


@dataclass(frozen=True)
class Analysis:
    """A named experiment that looks at the students of the main table, or watches them train.

    Attributes:
        title, question, published: as for a ``Sweep``.
        compute: makes the table; rows with as many values as the first one are compared with it.
        last: show only the last column in tables; the others are earlier steps of training.
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
        """All settings that the result depends on."""
        return [as_json(profile.distillation)]
