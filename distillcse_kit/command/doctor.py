"""``distillcse doctor``: whether the kit can work on this machine."""

from __future__ import annotations

import argparse

from distillcse_kit.command.flags import add_json, add_store
from distillcse_kit.command.parser import Command
from distillcse_kit.command.shared import check_writable, write_results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``doctor``."""
    add_store(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each finding; returns 1 if something that the kit needs is missing, else 0."""
    from dataclasses import asdict

    from distillcse_kit.command.machine import examine

    check_writable("--json", arguments.json)
    findings = examine(arguments.store)
    for finding in findings:
        print(f"{finding.status:<8}{finding.name:<18}{finding.detail}")
    missing = [finding.name for finding in findings if finding.status == "missing"]
    print(f"Missing: {', '.join(missing)}." if missing else "The kit can work here.")
    write_results(arguments.json, {"findings": [asdict(finding) for finding in findings], "missing": missing})
    return 1 if missing else 0


COMMAND = Command(
    "check this machine and installation",
    "Check Python, packages, processor, memory, disk, compiler, GPU, the micro encoder, the built-in data, the "
    "notebooks and the store. The exit status is 1 if something that the kit needs is missing.",
    add_arguments,
    run,
)
