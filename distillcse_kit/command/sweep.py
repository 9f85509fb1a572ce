"""``distillcse sweep``: the paper's tables and Figure 2 as experiments."""

from __future__ import annotations

import argparse
from pathlib import Path

from distillcse_kit.command.flags import add_data, add_device, add_json, add_profile, add_store
from distillcse_kit.command.parser import Command
from distillcse_kit.command.shared import check_writable, data_folder, write_results
from distillcse_kit.experiments.names import SWEEP_NAMES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``sweep``."""
    parser.add_argument(
        "name", metavar="NAME", choices=SWEEP_NAMES, help=f"the experiment: {', '.join(SWEEP_NAMES)} (required)"
    )
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        help="folder or hub name of the model that teaches in strong-teacher; other sweeps train their own teachers "
        "(default: all-MiniLM-L6-v2 from the hub)",
    )
    add_profile(parser, "laptop")
    add_data(parser)
    add_store(parser)
    add_device(parser)
    parser.add_argument(
        "--csv",
        metavar="FILE",
        type=Path,
        help="also write the scores to FILE as one tidy table: setting, task, seed, value (default: off)",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train what the store does not have yet, print the comparisons, and return 0."""
    from distillcse_kit.experiments.sweep_result import run_sweep
    from distillcse_kit.experiments.sweeps import sweep_named
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.whole_files import new_file

    check_writable("--json", arguments.json)
    check_writable("--csv", arguments.csv)
    data_dir = data_folder(arguments)
    lab = Laboratory(arguments.profile, data_dir, arguments.corpus, None, arguments.store, arguments.device)
    sweep = sweep_named(arguments.name, arguments.teacher)
    print(f"{sweep.title}. {sweep.question}", flush=True)
    result = run_sweep(lab, arguments.name, arguments.teacher)
    for column in result.columns:
        print(f"\n{column}: mean over seeds with its 95% interval, and each row compared with the first:")
        print("\n".join(result.lines(column)))
        print(result.conclusion(column))
    write_results(arguments.json, result.as_json())
    if arguments.csv:
        with new_file(arguments.csv) as path:
            result.tidy().to_csv(path, index=False)
    return 0


COMMAND = Command(
    "train and score one of the paper's ablations",
    "Train every setting of an experiment with the same seeds, except what the store already has. Compare each setting "
    "with the first: the mean difference, its 95% interval, and whether it stays significant after Holm's correction.",
    add_arguments,
    run,
    "NAME",
)
