"""``distillcse sweep``"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

from distillcse_kit.command.shared import _add_data, _add_json, _check_json, _write_json

# ------------------------------------------------------------------ sweep


def _sweep_arguments(parser: argparse.ArgumentParser) -> None:
    from distillcse_kit.experiments.sweeps import SWEEPS

    parser.add_argument("name", metavar="NAME", choices=list(SWEEPS), help=f"one of {', '.join(SWEEPS)}")
    parser.add_argument("--profile", metavar="NAME", default="laptop", help="smoke, laptop or paper (default: laptop)")
    _add_data(parser)
    parser.add_argument(
        "--csv", metavar="FILE", type=Path, help="the scores as one tidy table: setting, task, seed, value"
    )
    _add_json(parser)


def _sweep(arguments: argparse.Namespace) -> int:
    from distillcse_kit.experiments.sweep_result import run_sweep
    from distillcse_kit.experiments.sweeps import sweep_named
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.store import new_file

    for path in (arguments.json, arguments.csv):
        _check_json(path)
    sweep = sweep_named(arguments.name)
    print(f"{sweep.title}. {sweep.question}", flush=True)
    lab = Laboratory(arguments.profile, arguments.data_dir, arguments.corpus, None, arguments.store)
    result = run_sweep(lab, arguments.name)
    for column in result.columns:
        print(f"\n{column}: mean and 95% interval over seeds, each row against the first:")
        print("\n".join(result.lines(column)))
        print(result.conclusion(column))
    _write_json(arguments.json, result.as_json())
    if arguments.csv:
        with new_file(arguments.csv) as path:
            result.tidy().to_csv(path, index=False)
    return 0
