"""The script that tests the kit on another Python fails if a test does, and says so when it could not test at all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux")
ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTED = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))

# Stands for a Python, for the one in its virtual environment, and for uv there: makes, installs and tests nothing.
STANDS_FOR_PYTHON = """#!/bin/sh
case "$1 $2" in
    "-c "*) basename "$0" | tr -d a-z ;;
    "--version "*) echo Python "$(basename "$0" | tr -d a-z)" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/uv" ;;
    "pip install") exit $INSTALLS ;;
    "-m pytest") echo "ran: $*"; exit $TESTS ;;
esac
"""


def run(folder: Path, found: list[str], disk: str = "99G", installs: int = 0, tests: int = 0) -> tuple[int, str]:
    """(exit status, output) of the script where only the versions in ``found`` run."""
    refuses = "#!/bin/sh\nexit 127"  # as a shim does
    commands = {f"python{version}": STANDS_FOR_PYTHON if version in found else refuses for version in TESTED}
    commands |= {"apt-get": "#!/bin/sh\nexit 1", "df": f"#!/bin/sh\necho {disk}"}
    (folder / "commands").mkdir()
    for name, text in commands.items():
        (folder / "commands" / name).write_text(text, encoding="utf-8")
        (folder / "commands" / name).chmod(0o755)
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "other-python", folder / ".ci")
    shutil.copy(ROOT / "pyproject.toml", folder)
    kept = folder / "kept"
    kept.mkdir()
    environment = os.environ | {
        "PATH": f"{folder / 'commands'}:{os.environ['PATH']}",
        "PYENV_ROOT": str(folder / "none"),
        "TMPDIR": str(kept),
        "INSTALLS": str(installs),
        "TESTS": str(tests),
    }
    done = subprocess.run([folder / ".ci" / "other-python"], capture_output=True, text=True, env=environment)
    assert not list(kept.iterdir()), "it leaves gigabytes behind"
    return done.returncode, done.stdout


def test_the_tested_versions_start_at_the_required_one_and_are_documented() -> None:
    assert len(TESTED) > 1 and SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={TESTED[0]}")
    named = f"{', '.join(TESTED[:-1])} and {TESTED[-1]}"
    for file in ("docs/command.md", "constraints.txt"):
        assert f"Python {named}" in (ROOT / file).read_text(encoding="utf-8"), file


def test_the_newest_python_that_runs_gets_all_tests_but_the_slowest(tmp_path: Path) -> None:
    status, told = run(tmp_path, TESTED[:-1])
    assert status == 0 and told.endswith(f"Another Python: tested on Python {TESTED[-2]}.\n")
    options = re.search(r"^ran: -m pytest (.*)$", told, re.MULTILINE)[1].split()  # type: ignore[index]
    left_out = [option.removeprefix("--ignore=") for option in options if option.startswith("--ignore=")]
    assert left_out and all((ROOT / name).is_file() for name in left_out)
    assert len(left_out) < len(list((ROOT / "tests").glob("test_*.py"))) / 3
    assert not [option for option in options if option.startswith("tests")]


@pytest.mark.parametrize("status_of_pytest", [1, 2, 5], ids=["a test fails", "a file does not load", "no test"])
def test_it_fails_with_the_tests(tmp_path: Path, status_of_pytest: int) -> None:
    status, told = run(tmp_path, TESTED, tests=status_of_pytest)
    assert status == 1 and "tested on" not in told


@pytest.mark.parametrize(
    ("found", "disk", "installs", "because"),
    [
        ([], "99G", 0, "None of these is on this machine"),
        (TESTED, "3G", 0, "It needs 12 GB of disk, and 3 are free."),
        (TESTED, "99G", 1, "Its packages could not be installed"),
    ],
    ids=["no Python", "no disk", "no packages"],
)
def test_it_says_why_not(tmp_path: Path, found: list[str], disk: str, installs: int, because: str) -> None:
    status, told = run(tmp_path, found, disk, installs)
    assert status == 0 and f"Another Python: NOT TESTED. {because}" in told and "ran:" not in told
