"""The paper's tables and Figure 2 as named experiments, most of them lists of settings trained with the same seeds.

A sweep is resumed, never repeated: its runs are in the store under the keys of their settings, whoever made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distillcse_kit.errors import KitError
from distillcse_kit.experiments.figure_2 import figure_2
from distillcse_kit.experiments.published import TABLE_5
from distillcse_kit.experiments.sweep_design import AVERAGE, OWN, Analysis, Numbers, Setting, Sweep
from distillcse_kit.experiments.tables import table_5, table_8, table_9

_AGREEMENTS = ("gold", "own teacher", "other teachers", "other students")


def _plain(label: str = "not shuffled", **distillation: Any) -> Setting:
    return Setting(label, OWN, {"shuffle": "none", **distillation})


def _bands() -> tuple[Setting, ...]:
    # Ranks count from 0 here, the end excluded; the paper counts from 1.
    ends = ((0, 12), (12, 24), (24, 36), (36, 48), (48, 63))
    return tuple(
        Setting(f"ranks {start + 1}-{end}", OWN, {"shuffle": "rank_band", "band_start": start, "band_end": end})
        for start, end in ends
    )


def _grid(values: Sequence[float]) -> tuple[Setting, ...]:
    """The paper's default first, then the other pairs of temperatures."""
    pairs = sorted(((s, t) for s in values for t in values), key=lambda pair: pair != (0.02, 0.01))
    return tuple(_plain(f"tau_s {s}, tau_t {t}", student_temperature=s, teacher_temperature=t) for s, t in pairs)


def _published(column: str, numbers: Mapping[str, float]) -> Numbers:
    return {label: {column: number} for label, number in numbers.items()}


SWEEPS: dict[str, Sweep | Analysis] = {
    "table3": Sweep(
        "Table 3: one band of ranks shuffled",
        "Where in a row does shuffling help: among the largest logits, or anywhere?",
        (_plain(), *_bands()),
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
        (
            Setting("p 0.1", OWN, {"shuffle": "group_p", "p": 0.1}),
            *(Setting(f"p {p}", OWN, {"shuffle": "group_p", "p": p}) for p in (0.05, 0.08, 0.12, 0.15)),
        ),
        _published("dev", {"p 0.05": 83.90, "p 0.08": 84.09, "p 0.1": 85.22, "p 0.12": 83.97, "p 0.15": 83.94}),
    ),
    "table6-lambda": Sweep(
        "Table 6: the weight lambda of distillation",
        "How much should the teacher count beside the contrastive loss?",
        (_plain("lambda 1", weight=1.0), *(_plain(f"lambda {w}", weight=w) for w in (0.1, 0.2, 0.5, 2.0))),
        _published(
            "dev",
            {"lambda 0.1": 83.46, "lambda 0.2": 83.46, "lambda 0.5": 83.47, "lambda 1": 83.48, "lambda 2.0": 83.43},
        ),
    ),
    "table7": Sweep(
        "Table 7: the two temperatures",
        "Does the result hang on the temperatures?",
        _grid((0.05, 0.02, 0.01)),
    ),
    "figure2": Analysis(
        "Figure 2: loss and dev score over training",
        "Does a student go on learning its teacher's own batches after it has stopped learning anything else?",
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
        "Table 9: what of the distillation loss is left",
        "How much better does a student imitate on sentences that it was trained on than on others?",
        table_9,
        {
            "vanilla distillation": {"training": 1.3058, "test": 6.5503},
            "+ Group-P": {"training": 2.8715, "test": 6.4410},
            "DistillCSE": {"training": 3.1377, "test": 6.2712},
        },
    ),
    "smoothing": Sweep(
        "Beyond the paper: smoothing or noise?",
        "Group-P replaces a group's targets by a random order of them, the group mean by their mean, which is what "
        "Group-P gives on average. Does the noise add anything to the smoothing?",
        (
            Setting("Group-P", OWN, {"shuffle": "group_p"}),
            Setting("group mean", OWN, {"shuffle": "group_mean"}),
            _plain(),
        ),
        every_teacher=True,
    ),
    "cut": Sweep(
        "Beyond the paper: where the groups are cut",
        "Groups are cut by the softmax at temperature 1. What if it were the teacher's own temperature?",
        (
            Setting("cut at 1", OWN, {"shuffle": "group_p"}),
            Setting("cut at tau_t", OWN, {"shuffle": "group_p", "group_temperature": 0.01}),
            _plain(),
        ),
        every_teacher=True,
    ),
    "ensembles": Sweep(
        "Beyond the paper: how many teachers buy what a shuffle buys",
        "How does a student's score grow with the number of teachers, with Group-P and without?",
        tuple(
            Setting(f"{m} teacher{'s' * (m > 1)}{', Group-P' * (shuffle == 'group_p')}", m, {"shuffle": shuffle})
            for m in (1, 2, 4, 8, 16)
            for shuffle in ("none", "group_p")
        ),
    ),
}


def sweep_named(name: str) -> Sweep | Analysis:
    """The sweep of that name; KitError naming the choices if there is none."""
    if name not in SWEEPS:
        raise KitError(f"Unknown sweep {name!r}; choose one of {', '.join(SWEEPS)}.")
    return SWEEPS[name]
