"""What a sweep found: its table, which differences in it are significant, and the results that ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from distillcse_kit.config import Profile
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.effects import Effects
from distillcse_kit.evaluation.power import detectable_difference
from distillcse_kit.evaluation.scoring import PAPER_TASKS
from distillcse_kit.evaluation.statistics import Comparison, compare_pairs, seed_interval
from distillcse_kit.experiments.shipped import RESULTS
from distillcse_kit.experiments.sweep_design import AVERAGE, Curve, Sweep, Table
from distillcse_kit.experiments.sweeps import sweep_named
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.store import key_of, read_json
from distillcse_kit.training.model_names import encoder_name
from distillcse_kit.training.named_recipes import teacher as simcse_teacher
from distillcse_kit.versions import versions

SHIPPED = RESULTS / "sweeps"


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        name: of the sweep.
        key: of all settings that it depends on, see ``sweep_key``.
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
        """The columns to show: dev and the average (or the headline) of scores, the last of steps, else all."""
        found = list(next(iter(self.table.values())))
        if sweep_named(self.name).last:
            return found[-1:]
        if "dev" not in found:
            return found
        return list(dict.fromkeys(("dev", AVERAGE if AVERAGE in found else self.settings["headline"])))

    def baseline(self, label: str) -> str:
        """The row that a row is compared with: the first one, or for a curve the first one of the same quantity."""
        if not isinstance(label, Curve):
            return next(iter(self.table))
        return next(
            row
            for row in self.table
            if isinstance(row, Curve) and (row.quantity, row.where) == (label.quantity, label.where)
        )

    def compared(self, column: str) -> dict[str, Comparison]:
        """{label: comparison with its baseline}, paired by seed, after Holm; rows of another length are left out."""
        return compare_pairs(self._pairs(column))

    def _pairs(self, column: str) -> dict[str, tuple[list[float], list[float]]]:
        """{label: (its values, its baseline's)} of the rows that can be paired."""
        values = {label: row.get(column, []) for label, row in self.table.items()}
        pairs = {label: (values[label], values[self.baseline(label)]) for label in values}
        return {
            label: pair
            for label, pair in pairs.items()
            if label != self.baseline(label) and len(pair[0]) == len(pair[1]) > 0
        }

    def effects(self, columns: Sequence[str] | None = None) -> Effects:
        """Differences from the baseline on each data set, with p-values corrected for the whole table.

        Args:
            columns: which ones; None takes all but the average, which says nothing that they don't.
        """
        found = columns or [column for column in next(iter(self.table.values())) if column != AVERAGE]
        pairs = {column: self._pairs(column) for column in found}
        return Effects(
            compare_pairs(
                {
                    (label, column): pairs[column][label]
                    for label in self.table
                    for column in found
                    if label in pairs[column]
                }
            )
        )

    def lines(self, column: str) -> list[str]:
        """The table as text: mean with interval, difference from the baseline, and whether it is significant."""
        found, compared = [], self.compared(column)
        width = 2 + max(len(label) for label in self.table)
        for label, row in self.table.items():
            if column not in row:
                continue
            line = f"{label:<{width}}{seed_interval(row[column])!s:>16}"
            if (comparison := compared.get(label)) is not None:
                sign = "" if comparison.decided else "   (not significant)"
                line += f"   {comparison.difference.mean:+.2f} ± {comparison.difference.half_width:.2f}{sign}"
            found.append(line)
        return found

    def conclusion(self, column: str) -> str:
        """What can be concluded from a column, and what cannot: two plain sentences."""
        compared = self.compared(column)
        baseline, *_ = self.table
        clear = [f"{label} ({one.difference.mean:+.2f})" for label, one in compared.items() if one.decided]
        seeds = len(self.table[baseline][column])
        show = "1 seed shows" if seeds == 1 else f"{seeds} seeds show"
        together = f", corrected for {len(compared)} comparisons" if len(compared) > 1 else ""
        than = baseline.setting if isinstance(baseline, Curve) else baseline
        shown = f"a significant difference from {than} for {', '.join(clear)}" if clear else None
        first = f"{column}: {show} {shown or f'no significant difference from {than}'} (5% level{together})."
        if seeds < 2:
            return first
        # Rows scatter differently; the one that scatters most decides what would show in every one of them.
        visible = max(detectable_difference(one.difference.standard_deviation, seeds) for one in compared.values())
        return (
            f"{first} Tested alone, any row would show a true difference of {visible:.2f} at least four times in five."
        )

    def tidy(self) -> pd.DataFrame:
        """One row per setting, task (or column) and seed: columns setting, task, seed, value."""
        return pd.DataFrame(
            [
                {"setting": label, "task": task, "seed": seed, "value": score}
                for label, tasks in self.table.items()
                for task, scores in tasks.items()
                for seed, score in enumerate(scores)
            ]
        )

    def as_json(self) -> dict[str, Any]:
        """As plain values; rows are a list, because the store's JSON sorts the keys of objects."""
        rows = [
            _label_as_json(label) | {"columns": list(row), "values": list(row.values())}
            for label, row in self.table.items()
        ]
        return {**vars(self), "table": rows}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> SweepResult:
        """Read what ``as_json`` gave; KeyError or TypeError if it is something else."""
        table = {
            _label_from_json(row): dict(zip(row["columns"], row["values"], strict=True)) for row in content["table"]
        }
        return cls(**{**content, "table": table})


def _label_as_json(label: str) -> dict[str, str]:
    if isinstance(label, Curve):
        return {"setting": label.setting, "where": label.where, "quantity": label.quantity}
    return {"setting": label}


def _label_from_json(row: dict[str, Any]) -> str:
    return Curve(row["setting"], row["quantity"], row["where"]) if "quantity" in row else row["setting"]


def sweep_key(name: str, profile: Profile) -> str:
    """A key of all settings, not of the data. A result with another key was made with other settings."""
    sweep = sweep_named(name)
    counts = {"teachers": profile.teachers, "seeds": sweep.seeds(profile), "sentences": profile.sentences}
    return key_of([name, simcse_teacher(profile).settings(), counts, sweep.content(profile)])


def with_average(table: Table) -> Table:
    """The table with one more column, each seed's mean over the paper's tasks in it, if it has at least two of them."""
    tasks = [task for task in PAPER_TASKS if task in next(iter(table.values()))]
    if len(tasks) < 2:
        return table
    return {
        row: {**found, AVERAGE: np.mean([found[task] for task in tasks], axis=0).tolist()}
        for row, found in table.items()
    }


def run_sweep(lab: Laboratory, name: str, teacher: str | None = None) -> SweepResult:
    """Compute a sweep. What the store already has is loaded; the rest is trained.

    Args:
        lab: trains and scores.
        name, teacher: as for ``sweep_named``.

    Raises:
        KitError: what ``sweep_named`` or the sweep's ``compute`` raises.
    """
    sweep = sweep_named(name, teacher)
    table = with_average(sweep.compute(lab))
    made = {"date": date.today().isoformat(), "versions": versions()}
    settings = lab.describe() | {"headline": lab.headline}
    if isinstance(sweep, Sweep) and sweep.strong_teacher:
        settings["strong_teacher"] = encoder_name(sweep.strong_teacher)
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


def sweep_result(lab: Laboratory, name: str, recompute: bool = False, teacher: str | None = None) -> SweepResult:
    """The shipped result; this laboratory's own on request, or if none ships. ``teacher`` as for ``sweep_named``."""
    shipped = None if recompute else shipped_sweep(name)
    return shipped or run_sweep(lab, name, teacher)
