"""The kit's own main tables, from complete laptop runs; they ship with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import seed_interval
from distillcse_kit.store import read_json, write_json

RESULTS = Path(__file__).parent.parent / "results"
REAL_RUN = RESULTS / "real_laptop.json"
BUILTIN_RUN = RESULTS / "builtin_laptop.json"
STRONG_TEACHER_SEARCH = RESULTS / "strong_teacher_search.json"  # dev scores that chose the recipe; rows are flags


@dataclass(frozen=True)
class ShippedRun:
    """The main table of one complete laptop run.

    Attributes:
        settings: what ``Laboratory.describe()`` gave for the run.
        command: the command line that made it.
        table: {row: {task: scores over seeds}}, as ``Laboratory.main_table`` returns it.
    """

    settings: dict[str, Any]
    command: str
    table: dict[str, dict[str, list[float]]]


def shipped_run(path: Path = REAL_RUN) -> ShippedRun | None:
    """Read a shipped run (``REAL_RUN`` or ``BUILTIN_RUN``); None if this installation does not have the file.

    Raises:
        KitError: the file is damaged, or its settings, command, table or order of rows is missing.
    """
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        table = {row: content["table"][row] for row in content["rows"]}
        return ShippedRun(content["settings"], content["command"], table)
    except (KeyError, TypeError) as error:
        raise KitError(f"{path} is not a table of results ({error} is missing); install the kit again.") from error


def write_run(path: Path, run: ShippedRun) -> None:
    """Write the file that ``shipped_run`` reads. ``write_json`` sorts keys, so "rows" keeps the order of the rows."""
    write_json(path, {"settings": run.settings, "command": run.command, "rows": list(run.table), "table": run.table})


def markdown_table(table: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """{row: {task: scores over seeds}} as a Markdown table.

    Each cell is the mean ± half the width of the 95% interval; a single score has no interval.
    """
    tasks = list(next(iter(table.values())))
    lines = ["| | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|"]
    for name, scores in table.items():
        lines.append(f"| {name} | " + " | ".join(str(seed_interval(scores[task])) for task in tasks) + " |")
    return "\n".join(lines)
