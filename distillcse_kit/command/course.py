"""``distillcse course``: the notebooks, without a browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from distillcse_kit.command.flags import add_data, add_device, add_profile, add_store, by_profile
from distillcse_kit.command.parser import Command
from distillcse_kit.errors import KitError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``course``."""
    add_profile(parser, "smoke")
    add_data(parser)
    parser.add_argument(
        "--base",
        metavar="MODEL",
        help=f"encoder to start from: micro, a model folder, or a hub name (default: {by_profile('training.base')})",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder for the results (default: runs/course-PROFILE)")
    add_store(parser, default="the subfolder store of --out")
    add_device(parser)
    parser.add_argument(
        "--notebooks",
        metavar="NAME",
        nargs="+",
        default=[],
        help="run only these notebooks, each given by its name or the beginning of it, such as 03 (default: all)",
    )
    parser.add_argument(
        "--parameters",
        metavar="NAME=VALUE",
        nargs="+",
        default=[],
        help="values for the notebooks' other parameters, such as seed=1 (default: what each notebook sets)",
    )
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        type=float,
        help="longest time for one notebook, above 0 (default: 300 in smoke, 14400 in laptop, 604800 in paper)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the notebooks; returns 1 if one of them failed, else 0."""
    from distillcse_kit.course.runner import Course, run_course

    parameters = {}
    for item in arguments.parameters:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise KitError(f"{item!r} is not a parameter; write NAME=VALUE, such as seed=1.")
        parameters[name] = value
    outcomes = run_course(
        Course(
            profile=arguments.profile,
            data_dir=arguments.data_dir,
            corpus=arguments.corpus,
            base=arguments.base,
            out=arguments.out,
            store=arguments.store,
            device=arguments.device,
            notebooks=arguments.notebooks,
            parameters=parameters,
            time_limit=arguments.time_limit,
        ),
        say=lambda line: print(line, flush=True),
    )
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0


COMMAND = Command(
    "run the notebooks without a browser",
    "Run the notebooks in order, each in its own kernel, all with one store. Write DIR/course.json, DIR/notebooks and "
    "DIR/figures, where DIR is the folder of --out. A second run loads what the first one computed. The exit status is "
    "1 if a notebook failed.",
    add_arguments,
    run,
)
