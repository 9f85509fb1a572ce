"""``distillcse env``: the virtual environment of a checkout.

It needs the standard library only, since nothing else is there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from distillcse_kit.checkout import environment_of, environment_program, needed_checkout
from distillcse_kit.command.parser import Command
from distillcse_kit.errors import KitError

# What was installed: written last, so that an installation that was cut off starts again.
_RECORD = "distillcse-env.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``env``."""
    parser.add_argument(
        "--extras",
        metavar="NAME,NAME",
        default="dev,integrations",
        help="optional packages, by their names in pyproject.toml; what .venv has already stays "
        "(default: dev,integrations)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make .venv, or bring it up to date; returns 1 if pip could not install something, else 0."""
    root = needed_checkout("distillcse env")
    wanted = {name.strip() for name in arguments.extras.split(",")} - {""}
    record = environment_of(root) / _RECORD
    before, files = _read(record), _fingerprint(root)
    have, python = set(before.get("extras", [])), environment_program(root)
    if python.is_file() and before.get("files") == files and wanted <= have:
        print("The virtual environment .venv is ready.", flush=True)
        return 0
    extras = sorted(wanted | have)
    _check_extras(root, extras)
    print("Installing the kit into .venv: about 2 minutes and 2 GB, once ...", flush=True)
    if not python.is_file():
        _create(environment_of(root))
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-c", "constraints.txt"]
    if subprocess.run([*pip, "-e", f".[{','.join(extras)}]"], cwd=root).returncode:
        print(
            "distillcse env: pip could not install everything, see above; mend that and run it again.", file=sys.stderr
        )
        return 1
    record.write_text(json.dumps({"files": files, "extras": extras}), encoding="utf-8")
    told = "from distillcse_kit.versions import versions; print(versions()['torch'])"
    torch = subprocess.run([str(python), "-c", told], cwd=root, capture_output=True, text=True).stdout.strip()
    command = environment_program(root, "distillcse").relative_to(root)
    print(f"Installed, with torch {torch}. The command is {command}.", flush=True)
    return 0


def _read(record: Path) -> dict[str, Any]:
    """The record of the last installation; empty if there is none."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fingerprint(root: Path) -> str:
    """Changes with every change of what is to be installed."""
    files = (root / name for name in ("pyproject.toml", "constraints.txt"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _check_extras(root: Path, extras: list[str]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = project.get("optional-dependencies", {})
    if unknown := [name for name in extras if name not in known]:
        raise KitError(f"Unknown extra {unknown[0]!r}; choose among {', '.join(known)}.")


def _create(folder: Path) -> None:
    """An empty virtual environment with pip."""
    try:
        import venv

        venv.create(folder, with_pip=True)
    except (ImportError, subprocess.CalledProcessError) as error:
        raise KitError(
            f"{sys.executable} cannot make virtual environments; install the part of Python that can (Debian and "
            "Ubuntu: apt-get install python3-venv)."
        ) from error


COMMAND = Command(
    "make the virtual environment of a checkout",
    "Make the virtual environment .venv in a checkout, with the kit and what its tests need, in the exact versions of "
    "constraints.txt: about 2 minutes and 2 GB. If nothing has changed since, do nothing. In a fresh clone, call "
    "it as python -m distillcse_kit env.",
    add_arguments,
    run,
)
