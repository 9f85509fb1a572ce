"""``distillcse doctor``"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

from distillcse_kit.command.shared import _add_json, _check_json, _write_json

# ------------------------------------------------------------------ doctor


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="DIR", type=Path, help="the store to look at")
    _add_json(parser)


def _doctor(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from distillcse_kit.command.machine import examine

    _check_json(arguments.json)
    findings = examine(arguments.store)
    for finding in findings:
        print(f"{finding.status:<8}{finding.name:<18}{finding.detail}")
    missing = [finding.name for finding in findings if finding.status == "missing"]
    print(f"Missing: {', '.join(missing)}." if missing else "The kit can work here.")
    _write_json(arguments.json, {"findings": [asdict(finding) for finding in findings], "missing": missing})
    return 1 if missing else 0
