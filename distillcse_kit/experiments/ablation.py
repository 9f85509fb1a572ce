"""A laboratory's students, described by six knobs: finding those in its store, and training the missing ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distillcse_kit.config import POOLINGS, profile_named
from distillcse_kit.errors import KitError
from distillcse_kit.experiments.sweep_design import Sweep
from distillcse_kit.experiments.sweep_result import shipped_sweep
from distillcse_kit.experiments.sweeps import SWEEPS
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.store import read_json
from distillcse_kit.training.loop import Watcher
from distillcse_kit.training.named_recipes import group_p
from distillcse_kit.training.recipe import First, Inputs, Own, Recipe
from distillcse_kit.training.run import Run

SYMBOLS = {
    "p": "p",
    "student_temperature": "tau_s",
    "teacher_temperature": "tau_t",
    "weight": "lambda",
    "teachers": "M",
    "pooling": "pooling",
}

CHOICES: dict[str, tuple[Any, ...]] = {
    "p": (0.0, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.5, 1.0),
    "student_temperature": (0.01, 0.02, 0.05),
    "teacher_temperature": (0.01, 0.02, 0.05),
    "weight": (0.1, 0.2, 0.5, 1.0, 2.0),
    "teachers": (1, 2, 4, 8, 16),
    "pooling": POOLINGS,
}
SHIPPED_SWEEPS = ("table6-p", "table6-lambda", "table7", "ensembles")

Results = Mapping[Recipe, Mapping[int, float]]  # {recipe with seed 0: {seed: score}}


def knobs(recipe: Recipe) -> dict[str, Any]:
    """The value of each knob: p is 0 where nothing is shuffled, M is 1 where each seed has its own teacher.

    Raises:
        KitError: it is the recipe of a teacher.
    """
    wanted = recipe.distillation
    if wanted is None:
        raise KitError("A teacher has no distillation settings; give a student's recipe.")
    return {
        "p": wanted.p if wanted.shuffle == "group_p" else 0.0,
        "student_temperature": wanted.student_temperature,
        "teacher_temperature": wanted.teacher_temperature,
        "weight": wanted.weight,
        "teachers": recipe.teachers.count if isinstance(recipe.teachers, First) else 1,
        "pooling": recipe.training.pooling,
    }


def turned(recipe: Recipe, **values: Any) -> Recipe:
    """The recipe with some knobs turned, named as in ``SYMBOLS``; everything else stays."""
    settings = dict(values)
    changes: dict[str, Any] = {}
    if "p" in settings:
        p = settings.pop("p")
        changes |= {"shuffle": "group_p", "p": p} if p else {"shuffle": "none"}
    if "teachers" in settings:
        count = settings.pop("teachers")
        changes["teachers"] = Own() if count == 1 else First(count)
    return recipe.changed(**settings, **changes)


def shown(name: str, value: Any) -> str:
    """A knob's value as text."""
    return "not shuffled" if name == "p" and value == 0 else str(value) if name == "pooling" else f"{value:g}"


def as_text(recipe: Recipe) -> str:
    """All knobs of a recipe in one line."""
    return ", ".join(f"{SYMBOLS[name]} = {shown(name, value)}" for name, value in knobs(recipe).items())


def shipped_results(column: str = "dev") -> dict[Recipe, dict[int, float]]:
    """Students of the sweeps that ship with the kit, made on real data with the laptop profile.

    Args:
        column: a column of the sweeps' tables: ``dev``, a task, or ``average`` (over the paper's tasks in the table).

    Raises:
        KitError: a damaged file.
    """
    profile = profile_named("laptop")
    found: dict[Recipe, dict[int, float]] = {}
    for name in SHIPPED_SWEEPS:
        sweep, result = SWEEPS[name], shipped_sweep(name)
        if result is None or not isinstance(sweep, Sweep):
            continue
        for label, recipe in sweep.recipes(profile).items():
            # An ablation with M = 1 gives each seed its own teacher; in this row all seeds share the first one.
            if label in result.table and recipe.teachers != First(1):
                # This gives equal settings one spelling, whatever value of p they hold without using it.
                found[turned(group_p(profile), **knobs(recipe))] = dict(enumerate(result.table[label][column]))
    return found


class Ablation:
    """The students of a laboratory's teachers.

    Args:
        lab: its profile gives all other settings, and how many seeds each setting should have.
        teachers: how many teachers can be averaged; None takes the profile's number.

    Raises:
        KitError: fewer teachers than seeds.
    """

    def __init__(self, lab: Laboratory, teachers: int | None = None) -> None:
        self.lab, self.seeds = lab, range(lab.profile.seeds)
        self.teachers = lab.profile.teachers if teachers is None else teachers
        if self.teachers < lab.profile.seeds:
            raise KitError(
                "With M = 1 each seed has its own teacher; "
                f"give at least {lab.profile.seeds} teachers instead of {self.teachers}."
            )

    @property
    def usual(self) -> Recipe:
        """The profile's own setting: Group-P with one teacher."""
        return group_p(self.lab.profile)

    @property
    def choices(self) -> dict[str, list[Any]]:
        """{knob: values that can be trained}, the usual one among them."""
        found, usual = {}, knobs(self.usual)
        for name, values in CHOICES.items():
            found[name] = list(values) if name == "pooling" else sorted({*values, usual[name]})
        found["teachers"] = [m for m in found["teachers"] if m <= self.teachers]
        return found

    def stored(self) -> dict[Recipe, dict[int, float]]:
        """{recipe: {seed: dev score}} of all such students in the store, however they were trained."""
        found: dict[Recipe, dict[int, float]] = {}
        inputs = self.lab.workplace.inputs
        for path in sorted((self.lab.store.root / "runs").glob("*/run.json")):
            run = Run(path.parent, read_json(path))
            if (recipe := self._recipe_of(run, inputs)) is not None:
                found.setdefault(recipe, {})[run.seed] = run.scores["dev"]
        return found

    def _recipe_of(self, run: Run, inputs: Inputs) -> Recipe | None:
        """The recipe of a run, with seed 0; None if no setting of the knobs gives the run's key."""
        if run.distillation is None or run.seed not in self.seeds:
            return None
        count = len(run.about["teachers"])
        if count > self.teachers:
            return None
        read = Recipe(self.lab.profile.training, run.distillation, Own() if count == 1 else First(count))
        values = knobs(read) | {"pooling": run.about["training"]["pooling"]}
        recipe = turned(self.usual, **values)
        return recipe if recipe.changed(seed=run.seed).key(inputs) == run.key else None

    def train(self, recipe: Recipe, seed: int, on_step: Watcher | None = None) -> float:
        """Dev score of the student of one seed, loaded or trained now; ``on_step`` as in ``training.run.train``."""
        return self.lab.run(recipe.changed(seed=seed), progress=False, on_step=on_step).scores["dev"]
