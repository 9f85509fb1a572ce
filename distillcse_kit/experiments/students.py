"""Who taught whom in a sweep: its scores by student, for intervals that count the sharing of teachers."""

from __future__ import annotations

from distillcse_kit.config import Profile
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.student_layout import Student
from distillcse_kit.experiments.sweep_design import Sweep, Table
from distillcse_kit.training.recipe import Recipe


def student_of(recipe: Recipe, profile: Profile) -> Student:
    """Whom the student of a recipe learns from, and its draw: teachers by their seeds, other models by their names.

    Raises:
        KitError: the recipe is that of a teacher.
    """
    taught_by = recipe.taught_by(profile.training)
    if not taught_by:
        raise KitError("This is a teacher's recipe, and a teacher has none itself; give the recipe of a student.")
    return Student(tuple(one.seed if isinstance(one, Recipe) else one for one in taught_by), recipe.seed)


def scores_by_student(table: Table, sweep: Sweep, profile: Profile, column: str) -> dict[str, dict[Student, float]]:
    """A column of a sweep's table as ``SharedTeachers`` takes it: {row: {student: score}}.

    Rows that are not students (of a base, or a strong teacher itself) are left out.

    Raises:
        KitError: a row has another number of values than the sweep has seeds.
    """
    found = {}
    for row, recipe in sweep.recipes(profile).items():
        if row not in table or not recipe.is_student:
            continue
        seeds, values = range(sweep.seeds(profile)), table[row][column]
        if len(values) != len(seeds):
            raise KitError(f"{row} has {len(values)} values for {len(seeds)} seeds; give the profile that made them.")
        found[row] = {
            student_of(recipe.changed(seed=seed), profile): value for seed, value in zip(seeds, values, strict=True)
        }
    return found
