"""``distillcse test``: the kit's own tests."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys

from distillcse_kit.checkout import advice_on_missing, needed_checkout
from distillcse_kit.command.parser import Command
from distillcse_kit.errors import KitError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``test``."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        default=[],
        help="run only these files or folders of tests (default: all tests)",
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, default=2, help="tests that run side by side, 1 or more (default: 2)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run pytest in the checkout; returns 1 if a test failed or none was found, else 0."""
    root = needed_checkout("distillcse test")
    if arguments.workers < 1:
        raise KitError(f"--workers is {arguments.workers}; give 1 or more.")
    for needed in ("pytest", "xdist"):
        if importlib.util.find_spec(needed) is None:
            raise KitError(advice_on_missing(needed, root, sys.prefix))
    if not arguments.files:
        print("Running the tests: at most 8 minutes ...", flush=True)
    # Absolute, as pytest starts in the checkout. "::test_name" may follow the file.
    files = [os.path.abspath(file) for file in arguments.files]
    pytest = [sys.executable, "-m", "pytest", "-n", str(arguments.workers), "--dist", "loadgroup", "-m", "not browser"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # a worker each: more threads would wait for one another
    return 1 if subprocess.run([*pytest, *files], cwd=root, env=one_thread).returncode else 0


COMMAND = Command(
    "run the kit's own tests",
    "Run the tests of a checkout, all but those in a browser: at most 8 minutes on two cores. pytest also reads the "
    "environment variable PYTEST_ADDOPTS. The exit status is 1 if a test failed.",
    add_arguments,
    run,
    "[FILE ...]",
)
