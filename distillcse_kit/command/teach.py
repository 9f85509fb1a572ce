"""``distillcse teach``: SimCSE teachers (Eq 1 of the paper)."""

from __future__ import annotations

import argparse

from distillcse_kit.command.flags import add_training
from distillcse_kit.command.parser import Command
from distillcse_kit.command.shared import check_writable, laboratory_of, report_run, seeds_of, write_results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``teach``."""
    add_training(parser, runs="teachers")


def run(arguments: argparse.Namespace) -> int:
    """Train or load the teachers and report each; returns 0."""
    check_writable("--json", arguments.json)
    lab = laboratory_of(arguments)
    seeds = seeds_of(arguments, lab.profile.teachers)
    lab.read_all()
    runs = lab.run_all([lab.recipe("teacher", seed) for seed in seeds], "teachers")
    rows = [report_run(teacher, f"teacher {teacher.seed}") for teacher in runs]
    write_results(arguments.json, {"settings": lab.describe(), "runs": rows})
    return 0


COMMAND = Command(
    "train SimCSE teachers",
    "Train one SimCSE teacher for each seed, keep the checkpoint with the best dev score, and print the folder of each "
    "run. Runs that the store already has are loaded.",
    add_arguments,
    run,
)
