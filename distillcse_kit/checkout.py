"""The checkout of the repository that this copy of the kit runs from, if it does. Needs the standard library only."""

from __future__ import annotations

import os
from pathlib import Path

from distillcse_kit.errors import KitError

PACKAGE = Path(__file__).resolve().parent  # the folder distillcse_kit


def find_checkout(package: Path = PACKAGE) -> Path | None:
    """The root of the checkout; None for a kit that was installed without its repository."""
    root = package.parent
    found = all((root / name).exists() for name in ("pyproject.toml", "constraints.txt", "notebooks/src"))
    return root if found else None


def needed_checkout(command: str, package: Path = PACKAGE) -> Path:
    """The root of the checkout.

    Raises:
        KitError: there is none; the sentence says that this command needs one.
    """
    root = find_checkout(package)
    if root is None:
        raise KitError(
            f"{command} works in a checkout only, and this kit is installed in {package.parent}; clone the repository "
            "and run python -m distillcse_kit env there."
        )
    return root


def environment_of(root: Path) -> Path:
    """The folder of a checkout's virtual environment."""
    return root / ".venv"


def environment_program(root: Path, name: str = "python", windows: bool = os.name == "nt") -> Path:
    """Where a program of a checkout's virtual environment is; Windows has its own folder and ending."""
    return environment_of(root).joinpath(*(("Scripts", f"{name}.exe") if windows else ("bin", name)))


def advice_on_missing(package: str, root: Path | None, prefix: str) -> str:
    """One sentence for a Python that lacks a package which the kit imports.

    Args:
        package: the name that could not be imported.
        root: the checkout, None if there is none.
        prefix: ``sys.prefix`` of the Python that lacks it.
    """
    lacks = f"This Python ({prefix}) has no {package}"
    if root is None:
        return f"{lacks}; run python -m pip check, and install what it names."
    python = environment_program(root)
    if python.is_file() and Path(prefix).resolve() != environment_of(root).resolve():
        return f"{lacks}; the one in .venv may: call {python} -m distillcse_kit."
    return f"{lacks}; run python -m distillcse_kit env in {root}, which installs it into .venv."
