"""``distillcse notebooks``: the notebooks of a checkout, from their sources."""

from __future__ import annotations

import argparse
import sys

from distillcse_kit.checkout import needed_checkout
from distillcse_kit.command.parser import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``notebooks``."""
    parser.add_argument(
        "--check", action="store_true", help="only compare, and exit with status 1 if a notebook differs (default: off)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the notebooks, or compare them with their sources; returns 1 if one differs, else 0."""
    folder = needed_checkout("distillcse notebooks") / "notebooks"
    from distillcse_kit.course.notebook_files import differences, generate, sources

    if not arguments.check:
        print(f"{len(generate(folder))} notebooks written to {folder}.")
        return 0
    found = differences(folder)
    for sentence in found:
        print(sentence, file=sys.stderr)
    print(f"{len(sources(folder))} notebooks compared with their sources: {len(found)} differ.")
    return 1 if found else 0


COMMAND = Command(
    "write the notebooks of a checkout",
    "Write notebooks/*.ipynb of a checkout from notebooks/src/*.py, without outputs: a few seconds.",
    add_arguments,
    run,
)
