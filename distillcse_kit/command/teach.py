"""``distillcse teach``"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distillcse_kit.training.run import Run

from distillcse_kit.command.shared import _check_json, _laboratory, _number, _seeds, _write_json

# ------------------------------------------------------------------ teach and distill


def _report(run: Run, what: str) -> dict[str, Any]:
    """Print the line of a finished run; the same as plain values."""
    dev = run.scores["dev"]
    print(f"{what:<24}dev {dev:6.2f}   {run.folder}", flush=True)
    return {
        "what": what,
        "seed": run.seed,
        "dev": _number(dev),
        "seconds": run.about.get("seconds"),
        "folder": str(run.folder),
    }


def _teach(arguments: argparse.Namespace) -> int:
    _check_json(arguments.json)
    lab = _laboratory(arguments)
    seeds = _seeds(arguments, lab.profile.teachers)
    lab.describe(), lab.base  # reads all first: a mistake in the last file shows before the first run
    runs = lab.run_all([lab.recipe("teacher", seed) for seed in seeds], "teachers")
    rows = [_report(run, f"teacher {run.seed}") for run in runs]
    _write_json(arguments.json, {"settings": lab.describe(), "runs": rows})
    return 0
