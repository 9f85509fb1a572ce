"""The paper's tables and Figure 2 as named experiments, most of them lists of settings trained with the same seeds.

A sweep never repeats work: the store keeps runs under the keys of their settings, whatever command made them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from distillcse_kit.errors import KitError
from distillcse_kit.experiments.figure_2 import figure_2
from distillcse_kit.experiments.published import TABLE_5
from distillcse_kit.experiments.sweep_design import AVERAGE, Analysis, Numbers, Sweep
from distillcse_kit.experiments.tables import table_5, table_8, table_9
from distillcse_kit.training.named_recipes import STRONG_TEACHER, for_strong_teacher
from distillcse_kit.training.recipe import First, Recipe

_AGREEMENTS = ("gold", "own teacher", "other teachers", "other students")


def bands(plain: Recipe) -> dict[str, Recipe]:
    """No shuffling, then one band of ranks at a time. Ranks count from 0 in recipes, and from 1 in the paper."""
    ends = ((0, 12), (12, 24), (24, 36), (36, 48), (48, 63))
    shuffled = {
        f"ranks {start + 1}-{end}": plain.changed(shuffle="rank_band", band_start=start, band_end=end)
        for start, end in ends
    }
    return {"not shuffled": plain} | shuffled


def shares(plain: Recipe) -> dict[str, Recipe]:
    """Group-P with the paper's p first, then its other values."""
    return {f"p {p}": plain.changed(shuffle="group_p", p=p) for p in (0.1, 0.05, 0.08, 0.12, 0.15)}


def weights(plain: Recipe) -> dict[str, Recipe]:
    """No shuffling, the paper's lambda first, then its other values."""
    return {f"lambda {weight}": plain.changed(weight=float(weight)) for weight in (1, 0.1, 0.2, 0.5, 2.0)}


def temperatures(plain: Recipe) -> dict[str, Recipe]:
    """No shuffling, the paper's pair of temperatures first, then the other eight of its grid."""
    values = (0.05, 0.02, 0.01)
    pairs = sorted(((s, t) for s in values for t in values), key=lambda pair: pair != (0.02, 0.01))
    return {f"tau_s {s}, tau_t {t}": plain.changed(student_temperature=s, teacher_temperature=t) for s, t in pairs}


def smoothing(plain: Recipe) -> dict[str, Recipe]:
    """Group-P, its expectation, and neither."""
    return {
        "Group-P": plain.changed(shuffle="group_p"),
        "group mean": plain.changed(shuffle="group_mean"),
        "not shuffled": plain,
    }


def cuts(plain: Recipe) -> dict[str, Recipe]:
    """Group-P with groups cut at temperature 1, or at the paper's teacher temperature."""
    return {
        "cut at 1": plain.changed(shuffle="group_p"),
        "cut at tau_t": plain.changed(shuffle="group_p", group_temperature=0.01),
        "not shuffled": plain,
    }


def ensembles(plain: Recipe) -> dict[str, Recipe]:
    """The mean of the first M teachers, without and with Group-P."""
    return {
        f"{m} teacher{'s' * (m > 1)}{', Group-P' * (shuffle == 'group_p')}": plain.changed(
            shuffle=shuffle, teachers=First(m)
        )
        for m in (1, 2, 4, 8, 16)
        for shuffle in ("none", "group_p")
    }


def strong_teachers(plain: Recipe) -> dict[str, Recipe]:
    """SimCSE with the recipe's pooling and steps; students with the recipe, with Group-P, and at the defaults."""
    recipe = for_strong_teacher(plain)
    return {
        "SimCSE, recipe": Recipe(recipe.training),
        "student, recipe": recipe,
        "student, Group-P": recipe.changed(shuffle="group_p"),
        "student, defaults": plain.changed(shuffle="group_p"),
    }


def _published(column: str, numbers: Mapping[str, float]) -> Numbers:
    return {label: {column: number} for label, number in numbers.items()}


SWEEPS: dict[str, Sweep | Analysis] = {
    "table3": Sweep(
        "Table 3: one band of ranks shuffled",
        "Where in a row does shuffling help: among the largest logits, or anywhere?",
        bands,
        _published(
            AVERAGE,
            {
                "not shuffled": 77.03,
                "ranks 1-12": 77.85,
                "ranks 13-24": 77.37,
                "ranks 25-36": 77.25,
                "ranks 37-48": 77.36,
                "ranks 49-63": 77.24,
            },
        ),
    ),
    "table5": Analysis(
        "Table 5: the raw ensemble against its student",
        "Is distilling an ensemble worth it, or is the ensemble itself as good?",
        table_5,
        _published(AVERAGE, TABLE_5),
    ),
    "table6-p": Sweep(
        "Table 6: the share p of a group",
        "How large should the groups be?",
        shares,
        _published("dev", {"p 0.05": 83.90, "p 0.08": 84.09, "p 0.1": 85.22, "p 0.12": 83.97, "p 0.15": 83.94}),
    ),
    "table6-lambda": Sweep(
        "Table 6: the weight lambda of distillation",
        "How much should the teacher count, compared with the contrastive loss?",
        weights,
        _published(
            "dev",
            {"lambda 0.1": 83.46, "lambda 0.2": 83.46, "lambda 0.5": 83.47, "lambda 1": 83.48, "lambda 2.0": 83.43},
        ),
    ),
    "table7": Sweep(
        "Table 7: the two temperatures",
        "Does the result depend on the temperatures?",
        temperatures,
    ),
    "figure2": Analysis(
        "Figure 2: loss and dev score over training",
        "Does a student keep fitting its training batches after it has stopped learning anything else?",
        figure_2,
        last=True,
    ),
    "table8": Analysis(
        "Table 8: whom a student agrees with",
        "Does shuffling keep a student from copying its own teacher?",
        table_8,
        {
            "not shuffled": dict(zip(_AGREEMENTS, (83.69, 98.81, 95.49, 96.04), strict=True)),
            "shuffled": dict(zip(_AGREEMENTS, (83.80, 98.56, 95.92, 96.68), strict=True)),
        },
    ),
    "table9": Analysis(
        "Table 9: what is left of the distillation loss",
        "How much better does a student imitate its teacher on its training sentences than on others?",
        table_9,
        {
            "vanilla distillation": {"training": 1.3058, "test": 6.5503},
            "+ Group-P": {"training": 2.8715, "test": 6.4410},
            "DistillCSE": {"training": 3.1377, "test": 6.2712},
        },
    ),
    "smoothing": Sweep(
        "Beyond the paper: smoothing or noise?",
        "Group-P puts a group's targets in random order. The group mean replaces them by their mean, which is what "
        "Group-P gives on average. Does the noise add anything to the smoothing?",
        smoothing,
        every_teacher=True,
    ),
    "cut": Sweep(
        "Beyond the paper: where the groups are cut",
        "Groups are cut by the softmax at temperature 1. What changes at the teacher's own temperature?",
        cuts,
        every_teacher=True,
    ),
    "ensembles": Sweep(
        "Beyond the paper: how many teachers are worth one shuffle",
        "How does a student's score grow with the number of teachers, with Group-P and without?",
        ensembles,
    ),
    "strong-teacher": Sweep(
        "Beyond the paper: a strong teacher",
        "What does a student gain from a teacher that is much better than itself, and with which settings?",
        strong_teachers,
        strong_teacher=STRONG_TEACHER,
    ),
}


def sweep_named(name: str, teacher: str | None = None) -> Sweep | Analysis:
    """The sweep with that name.

    Args:
        name: a key of ``SWEEPS``.
        teacher: of the sweep "strong-teacher": the folder or hub name of a model that teaches; None takes the usual.

    Raises:
        KitError: an unknown name (the message lists the choices), or a teacher for a sweep that trains its own.
    """
    if name not in SWEEPS:
        raise KitError(f"Unknown sweep {name!r}; choose one of {', '.join(SWEEPS)}.")
    sweep = SWEEPS[name]
    if not teacher:
        return sweep
    if not isinstance(sweep, Sweep) or not sweep.strong_teacher:
        raise KitError(f"The sweep {name} trains its own teachers; name a teacher for strong-teacher only.")
    return replace(sweep, strong_teacher=teacher)
