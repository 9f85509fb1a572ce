"""The paper's ablations as named experiments, each a list of settings trained with the same seeds and order of data.

A sweep is resumed, never repeated: its runs are in the store under the keys of their settings, whoever made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import pandas as pd

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import Comparison, compare_with, seed_interval
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.training import versions

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
    """A named experiment.

    Attributes:
        title: what it is in the paper, or that it is ours.
        question: what a reader wants to learn from it.
        settings: its rows; the first one is what the others are compared with.
        published: {label: the paper's number}, where it has one.
    """

    title: str
    question: str
    settings: tuple[Setting, ...]
    published: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = [setting.label for setting in self.settings]
        if len(set(labels)) < len(labels) or len(labels) < 2:
            raise KitError("A sweep needs at least two settings, each with a label of its own.")


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


SWEEPS: dict[str, Sweep] = {
    "table3": Sweep(
        "Table 3: one band of ranks shuffled",
        "Where in a row does shuffling help: among the largest logits, or anywhere?",
        (_plain(), *_bands()),
        dict(
            zip(
                ("not shuffled", "ranks 1-12", "ranks 13-24", "ranks 25-36", "ranks 37-48", "ranks 49-63"),
                (77.03, 77.85, 77.37, 77.25, 77.36, 77.24),
                strict=True,
            )
        ),
    ),
    "table6-p": Sweep(
        "Table 6: the share p of a group",
        "How large should the groups be?",
        (
            Setting("p 0.1", OWN, {"shuffle": "group_p", "p": 0.1}),
            *(Setting(f"p {p}", OWN, {"shuffle": "group_p", "p": p}) for p in (0.05, 0.08, 0.12, 0.15)),
        ),
        {"p 0.05": 83.90, "p 0.08": 84.09, "p 0.1": 85.22, "p 0.12": 83.97, "p 0.15": 83.94},
    ),
    "table6-lambda": Sweep(
        "Table 6: the weight lambda of distillation",
        "How much should the teacher count beside the contrastive loss?",
        (_plain("lambda 1", weight=1.0), *(_plain(f"lambda {w}", weight=w) for w in (0.1, 0.2, 0.5, 2.0))),
        {"lambda 0.1": 83.46, "lambda 0.2": 83.46, "lambda 0.5": 83.47, "lambda 1": 83.48, "lambda 2.0": 83.43},
    ),
    "table7": Sweep(
        "Table 7: the two temperatures",
        "Does the result hang on the temperatures?",
        _grid((0.05, 0.02, 0.01)),
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
    ),
    "cut": Sweep(
        "Beyond the paper: where the groups are cut",
        "Groups are cut by the softmax at temperature 1. What if it were the teacher's own temperature?",
        (
            Setting("cut at 1", OWN, {"shuffle": "group_p"}),
            Setting("cut at tau_t", OWN, {"shuffle": "group_p", "group_temperature": 0.01}),
            _plain(),
        ),
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


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        name: of the sweep.
        settings: ``Laboratory.describe()``, and the seeds.
        made: {"date", "versions"}.
        table: {label: {task: scores over seeds}}.
    """

    name: str
    settings: dict[str, Any]
    made: dict[str, Any]
    table: dict[str, dict[str, list[float]]]

    def compared(self, task: str) -> dict[str, Comparison]:
        """{label: difference from the first setting}, paired by seed, with p-values after Holm."""
        rows = {label: scores[task] for label, scores in self.table.items()}
        baseline = next(iter(rows))
        return compare_with(rows, baseline)

    def lines(self, task: str) -> list[str]:
        """The table as text: mean with its interval, the difference from the first setting, and whether it is told."""
        found, compared = [], self.compared(task)
        for label, scores in self.table.items():
            line = f"{label:<28}{seed_interval(scores[task])!s:>16}"
            if (comparison := compared.get(label)) is not None:
                sign = "" if comparison.decided else "   (not told from 0)"
                line += f"   {comparison.difference.mean:+.2f} ± {comparison.difference.half_width:.2f}{sign}"
            found.append(line)
        return found

    def tidy(self) -> pd.DataFrame:
        """A row for each setting, task and seed: columns setting, task, seed, spearman."""
        return pd.DataFrame(
            [
                {"setting": label, "task": task, "seed": seed, "spearman": score}
                for label, tasks in self.table.items()
                for task, scores in tasks.items()
                for seed, score in enumerate(scores)
            ]
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def sweep_named(name: str) -> Sweep:
    """The sweep of that name; KitError naming the choices if there is none."""
    if name not in SWEEPS:
        raise KitError(f"Unknown sweep {name!r}; choose one of {', '.join(SWEEPS)}.")
    return SWEEPS[name]


def run_sweep(lab: Laboratory, name: str) -> SweepResult:
    """Train what the store lacks of a sweep, score all of it.

    Settings that want more teachers than the profile has are left out.

    Raises:
        KitError: unknown sweep, or fewer teachers than seeds where each student has its own.
    """
    sweep, pool, seeds = sweep_named(name), lab.teachers(), range(lab.profile.seeds)
    settings = [setting for setting in sweep.settings if setting.teachers <= len(pool)]
    if any(setting.teachers == OWN for setting in settings) and len(pool) < len(seeds):
        raise KitError(f"Each student has a teacher of its own: {len(seeds)} seeds need {len(seeds)} teachers.")
    jobs = [
        lab.student_job(pool[: setting.teachers] or [pool[seed]], seed, **setting.distillation)
        for setting in settings
        for seed in seeds
    ]
    runs = lab.make_all(jobs, name)
    scores = lab.scores(runs)
    table = {
        setting.label: {task: values[row * len(seeds) : (row + 1) * len(seeds)] for task, values in scores.items()}
        for row, setting in enumerate(settings)
    }
    return SweepResult(name, lab.describe(), {"date": date.today().isoformat(), "versions": versions()}, table)
