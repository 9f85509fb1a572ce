"""The paper's tables and Figure 2 as named experiments, most of them lists of settings trained with the same seeds.

A sweep is resumed, never repeated: its runs are in the store under the keys of their settings, whoever made them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from distillcse_kit.config import Profile, as_json, with_changes
from distillcse_kit.curves import figure_2
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import (
    Comparison,
    compare_differences,
    detectable_difference,
    paired_difference,
    seed_interval,
)
from distillcse_kit.evaluation.sts import PAPER_TASKS
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.published import RESULTS, TABLE_5
from distillcse_kit.store import key_of, read_json
from distillcse_kit.tables import Table, table_5, table_8, table_9
from distillcse_kit.training import versions

Numbers = dict[str, dict[str, float]]

AVERAGE = "average"
SHIPPED = RESULTS / "sweeps"
_AGREEMENTS = ("gold", "own teacher", "other teachers", "other students")
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


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        name: of the sweep.
        key: of all settings it hangs on, see ``sweep_key``.
        settings: ``Laboratory.describe()``.
        made: {"date", "versions"}.
        table: {label: {task or column: values over seeds}}.
    """

    name: str
    key: str
    settings: dict[str, Any]
    made: dict[str, Any]
    table: Table

    @property
    def columns(self) -> list[str]:
        """Those worth a table: of scores dev and the average or the headline, of steps the last, else all."""
        found = list(next(iter(self.table.values())))
        if sweep_named(self.name).last:
            return found[-1:]
        if "dev" not in found:
            return found
        return list(dict.fromkeys(("dev", AVERAGE if AVERAGE in found else self.settings["headline"])))

    def baseline(self, label: str) -> str:
        """The row that a row is compared with: the first one, or the first of the same "...: quantity"."""
        quantity = label.partition(": ")[2]
        return next(row for row in self.table if row.partition(": ")[2] == quantity)

    def compared(self, column: str) -> dict[str, Comparison]:
        """{label: difference from its baseline}, paired by seed, with p-values after Holm; of equally long rows."""
        values = {label: row.get(column, []) for label, row in self.table.items()}
        pairs = {label: (values[label], values[self.baseline(label)]) for label in values}
        return compare_differences(
            {
                label: paired_difference(*pair)
                for label, pair in pairs.items()
                if label != self.baseline(label) and len(pair[0]) == len(pair[1])
            }
        )

    def lines(self, column: str) -> list[str]:
        """The table as text: mean with its interval, the difference from its baseline, and whether it is told."""
        found, compared = [], self.compared(column)
        width = 2 + max(map(len, self.table))
        for label, row in self.table.items():
            if column not in row:
                continue
            line = f"{label:<{width}}{seed_interval(row[column])!s:>16}"
            if (comparison := compared.get(label)) is not None:
                sign = "" if comparison.decided else "   (not told from 0)"
                line += f"   {comparison.difference.mean:+.2f} ± {comparison.difference.half_width:.2f}{sign}"
            found.append(line)
        return found

    def conclusion(self, column: str) -> str:
        """What can be concluded from a column, and what cannot: two plain sentences."""
        compared = self.compared(column)
        baseline, *_ = self.table
        told = [f"{label} ({one.difference.mean:+.2f})" for label, one in compared.items() if one.decided]
        seeds = len(self.table[baseline][column])
        together = f", {len(compared)} comparisons taken together" if len(compared) > 1 else ""
        than = baseline.partition(": ")[0]
        first = f"{column}: {seeds} seeds tell {', '.join(told) or 'nothing'} from {than} at 5%{together}."
        if seeds < 2:
            return first
        # Rows scatter differently: what can be seen in each of them is decided by the one that scatters most.
        visible = max(detectable_difference(one.difference.standard_deviation, seeds) for one in compared.values())
        return f"{first} Alone, each row would show a true difference of {visible:.2f} at least four times in five."

    def tidy(self) -> pd.DataFrame:
        """A row for each setting, task or column, and seed: columns setting, task, seed, value."""
        return pd.DataFrame(
            [
                {"setting": label, "task": task, "seed": seed, "value": score}
                for label, tasks in self.table.items()
                for task, scores in tasks.items()
                for seed, score in enumerate(scores)
            ]
        )

    def as_json(self) -> dict[str, Any]:
        """Rows as a list, for JSON objects have no order here."""
        rows = [
            {"setting": label, "columns": list(row), "values": list(row.values())} for label, row in self.table.items()
        ]
        return {**asdict(self), "table": rows}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> SweepResult:
        """What ``as_json`` wrote. KeyError or TypeError if it is something else."""
        table = {row["setting"]: dict(zip(row["columns"], row["values"], strict=True)) for row in content["table"]}
        return cls(**{**content, "table": table})


def sweep_named(name: str) -> Sweep | Analysis:
    """The sweep of that name; KitError naming the choices if there is none."""
    if name not in SWEEPS:
        raise KitError(f"Unknown sweep {name!r}; choose one of {', '.join(SWEEPS)}.")
    return SWEEPS[name]


def sweep_key(name: str, profile: Profile) -> str:
    """A key of all settings, not of the data: a result with another key is of other settings than the code's now."""
    sweep = sweep_named(name)
    counts = {"teachers": profile.teachers, "seeds": sweep.seeds(profile), "sentences": profile.sentences}
    return key_of([name, as_json(profile.training), counts, sweep.content(profile)])


def with_average(table: Table) -> Table:
    """The table with a column more: each seed's mean over those of the paper's seven tasks that it has, if several."""
    tasks = [task for task in PAPER_TASKS if task in next(iter(table.values()))]
    if len(tasks) < 2:
        return table
    return {
        row: {**found, AVERAGE: np.mean([found[task] for task in tasks], axis=0).tolist()}
        for row, found in table.items()
    }


def run_sweep(lab: Laboratory, name: str) -> SweepResult:
    """Compute a sweep: what the store has is loaded, the rest is trained.

    Raises:
        KitError: unknown sweep, or what its ``compute`` raises.
    """
    table = with_average(sweep_named(name).compute(lab))
    made = {"date": date.today().isoformat(), "versions": versions()}
    settings = lab.describe() | {"headline": lab.headline}
    return SweepResult(name, sweep_key(name, lab.profile), settings, made, table)


def shipped_sweep(name: str) -> SweepResult | None:
    """The sweep as it ships with the kit, made on real data with the laptop profile; None if it does not ship.

    Raises:
        KitError: unknown sweep, or a damaged file.
    """
    sweep_named(name)
    path = SHIPPED / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return SweepResult.from_json(read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise KitError(f"{path} is not the result of a sweep ({error}); install the kit again.") from error


def sweep_result(lab: Laboratory, name: str, recompute: bool = False) -> SweepResult:
    """The shipped result, or, on request and where none ships, this laboratory's own."""
    shipped = None if recompute else shipped_sweep(name)
    return shipped or run_sweep(lab, name)
