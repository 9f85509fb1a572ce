"""``distillcse course``"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    pass

from distillcse_kit.command.shared import _add_data

# ------------------------------------------------------------------ course


def _course_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        metavar="NAME",
        default="smoke",
        help="smoke (minutes), laptop (40 minutes) or paper (a GPU); default: smoke",
    )
    _add_data(parser)
    parser.add_argument(
        "--base",
        metavar="MODEL",
        help="encoder to start from: micro, a model folder, or a hub name (default: the profile's)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder of the results (default: runs/course-PROFILE); the store is DIR/store unless --store is given",
    )
    parser.add_argument(
        "--notebooks",
        metavar="NAME",
        nargs="+",
        default=[],
        help="only these, by name or its beginning, such as 00 or 03",
    )
    parser.add_argument(
        "--parameters",
        metavar="NAME=VALUE",
        nargs="+",
        default=[],
        help="other parameters of the notebooks, such as seed=1",
    )
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        type=float,
        help="for each notebook (default: 300 for smoke, 4 hours for laptop, 7 days for paper)",
    )


def _course(arguments: argparse.Namespace) -> int:
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
            notebooks=arguments.notebooks,
            parameters=parameters,
            time_limit=arguments.time_limit,
        ),
        say=lambda line: print(line, flush=True),
    )
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0
