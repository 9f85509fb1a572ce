"""Recipes with a name: the rows of the main table, a recipe for strong teachers, and the presets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from distillcse_kit.config import (
    PAPER_DISTILLATION,
    PAPER_TRAINING,
    PROFILES,
    DistillationSettings,
    Profile,
    choose,
    with_changes,
)
from distillcse_kit.training.recipe import First, Recipe, These

TEACHERS_OF_THE_CODE = 16  # as many as the authors' script lists; the paper's main table does not say how many it has

# The teacher that the recipe "strong_teacher" was measured with; any other encoder can take its place.
STRONG_TEACHER = "sentence-transformers/all-MiniLM-L6-v2"

# The students of the main table: {name in commands and notebooks: name in tables}.
METHODS: dict[str, str] = {
    "vanilla": "vanilla distillation",
    "group_p": "+ Group-P",
    "group_mean": "+ group mean",
    "components": "+ teacher components",
    "distillcse": "DistillCSE",
}


def teacher(profile: Profile) -> Recipe:
    """A SimCSE teacher with the profile's settings (Eq 1 of the paper)."""
    return Recipe(profile.training)


def vanilla(profile: Profile) -> Recipe:
    """Plain distillation: one teacher for each student, logits not shuffled (Eq 2 and 3 of the paper)."""
    return Recipe(profile.training, with_changes(profile.distillation, shuffle="none"))


def group_p(profile: Profile) -> Recipe:
    """One teacher for each student, its logits shuffled inside groups of equal probability (Eq 5 and 6)."""
    return vanilla(profile).changed(shuffle="group_p")


def group_mean(profile: Profile) -> Recipe:
    """One teacher for each student; a group's target probabilities are replaced by their mean (not in the paper)."""
    return vanilla(profile).changed(shuffle="group_mean")


def components(profile: Profile) -> Recipe:
    """The mean of all the profile's teachers, logits not shuffled (Eq 7 of the paper)."""
    return vanilla(profile).changed(teachers=First(profile.teachers))


def distillcse(profile: Profile) -> Recipe:
    """The paper's method: the mean of all the profile's teachers, shuffled inside groups."""
    return components(profile).changed(shuffle="group_p")


def for_strong_teacher(plain: Recipe) -> Recipe:
    """Plain distillation with settings for a teacher much better than the base; which teacher is not changed.

    The student's embedding is the mean over tokens, the teacher's logits are not shuffled, and training takes a third
    of the steps. This was chosen on STS-B dev with the laptop profile; docs/sweeps.md lists what was tried.
    """
    return plain.changed(pooling="avg", shuffle="none", steps=max(1, plain.training.steps // 3))


def strong_teacher(profile: Profile) -> Recipe:
    """A student of one encoder much better than the base: all-MiniLM-L6-v2, unless another one is named."""
    return for_strong_teacher(vanilla(profile)).changed(teachers=These((STRONG_TEACHER,)))


_MAKERS: dict[str, Callable[[Profile], Recipe]] = {
    "teacher": teacher,
    "vanilla": vanilla,
    "group_p": group_p,
    "group_mean": group_mean,
    "components": components,
    "distillcse": distillcse,
    "strong_teacher": strong_teacher,
}

# DistillCSE on BERT-base as the paper describes it, and as its authors' script runs it: ``changed(base=...)`` takes
# another of the paper's encoders, with its learning rate. "strong_teacher" is at the laptop's scale.
PRESETS: dict[str, Recipe] = {
    "paper": Recipe(PAPER_TRAINING, PAPER_DISTILLATION, First(TEACHERS_OF_THE_CODE)),
    "authors-code": Recipe(
        replace(PAPER_TRAINING, steps=5_000),
        DistillationSettings(student_temperature=0.025, teacher_temperature=0.0125, shuffle="group_p", p=0.1),
        First(TEACHERS_OF_THE_CODE),
    ),
    "strong-teacher": strong_teacher(PROFILES["laptop"]),
}


def recipe_named(name: str, profile: Profile) -> Recipe:
    """The recipe with that name and a profile's settings: "teacher", "strong_teacher", or a key of ``METHODS``.

    Raises:
        KitError: an unknown name; the message lists the known ones.
    """
    choose("recipe", name, tuple(_MAKERS))
    return _MAKERS[name](profile)


def preset_named(name: str) -> Recipe:
    """The preset with that name: "paper", "authors-code" or "strong-teacher".

    The first two are for BERT-base. Another of the paper's encoders comes with its own learning rate:

    >>> paper = preset_named("paper")
    >>> paper.training.learning_rate, paper.changed(base="roberta-base").training.learning_rate
    (3e-05, 1e-05)

    Raises:
        KitError: an unknown name; the message lists the known ones.
    """
    choose("preset", name, tuple(PRESETS))
    return PRESETS[name]
