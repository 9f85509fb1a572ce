"""What works in a checkout only: its environment and its tests, tried on a checkout that is small but real."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distillcse_kit import checkout
from distillcse_kit.checkout import advice_on_missing, environment_program, find_checkout, needed_checkout
from distillcse_kit.command.main import main
from distillcse_kit.errors import KitError

ROOT = Path(__file__).resolve().parents[1]

PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "distillcse-kit"
version = "0"
[project.optional-dependencies]
dev = []
docs = []
[tool.pytest.ini_options]
markers = ["browser: needs one"]
"""

# As little as pip needs to install a folder; setuptools would have to be downloaded.
BACKEND = """\
import os, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    info = "distillcse_kit-0.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, "distillcse_kit-0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("kit.pth", os.getcwd())
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: distillcse-kit\\nVersion: 0\\n"
                       "Provides-Extra: dev\\nProvides-Extra: docs\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\n"
                       "Root-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return "distillcse_kit-0-py3-none-any.whl"
"""

TESTS = """\
import os, pytest
def test_alone():
    assert os.environ["OMP_NUM_THREADS"] == "1" and os.environ["PYTEST_XDIST_WORKER_COUNT"] == "{workers}"
@pytest.mark.browser
def test_in_a_browser():
    assert False
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the kit's real command, no dependencies, and tests of its own."""
    root = tmp_path_factory.mktemp("clone") / "a kit"
    shutil.copytree(ROOT / "distillcse_kit" / "command", root / "distillcse_kit" / "command")
    for path in (ROOT / "distillcse_kit").glob("*.py"):
        shutil.copy(path, root / "distillcse_kit")
    (root / "notebooks" / "src").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "constraints.txt").touch()
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "tests" / "test_a.py").write_text(TESTS.format(workers=2))
    return root


def call(root: Path, *words: str, bare: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the command of a checkout, with this Python or with one that has no packages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "OMP"))}
    python = [sys.executable, *(["-S"] if bare else []), "-m", "distillcse_kit"]
    environment |= {"PIP_NO_INDEX": "1"}
    return subprocess.run([*python, *words], cwd=root, env=environment, capture_output=True, text=True)


def test_env_from_nothing_then_ready_then_more(small: Path) -> None:
    """One test, since making an environment takes seconds."""
    record, python = small / ".venv" / "distillcse-env.json", environment_program(small)
    done = call(small, "env", "--extras", "dev,web", bare=True)
    assert done.returncode == 2 and "Unknown extra 'web'; choose among dev, docs." in done.stderr
    assert not (small / ".venv").exists()

    done = call(small, "env", "--extras", "dev", bare=True)
    assert done.returncode == 0, done.stderr
    assert "about 2 minutes" in done.stdout and "Installed" in done.stdout
    inside = subprocess.run(
        [python, "-I", "-c", "import distillcse_kit as d; print(d.__file__)"], capture_output=True, text=True
    )
    assert Path(inside.stdout.strip()) == small / "distillcse_kit" / "__init__.py"

    assert call(small, "env", "--extras", "dev", bare=True).stdout == "The virtual environment .venv is ready.\n"
    assert "Installed" in call(small, "env", "--extras", "docs", bare=True).stdout
    assert json.loads(record.read_text())["extras"] == ["dev", "docs"]  # what was there stays
    assert "ready" in call(small, "env", "--extras", "dev", bare=True).stdout

    (small / "constraints.txt").write_text("# another pin\n")
    (small / "backend.py").write_text("")  # now pip fails, as without a network
    failed = call(small, "env", "--extras", "dev", bare=True)
    assert failed.returncode == 1 and "run it again" in failed.stderr.splitlines()[-1]
    (small / "backend.py").write_text(BACKEND)
    assert "Installed" in call(small, "env", "--extras", "dev", bare=True).stdout


def test_test_runs_all_but_the_browsers_on_one_thread_each(small: Path) -> None:
    done = call(small, "test")
    assert done.returncode == 0, done.stdout
    assert "at most 8 minutes" in done.stdout and re.search(r"\b1 passed", done.stdout)
    other = small / "tests" / "test_b.py"
    other.write_text(TESTS.format(workers=1) + "def test_wrong(): assert 0\n")
    done = call(small, "test", "--workers", "1", str(other.relative_to(small)))
    other.unlink()
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout and "minutes" not in done.stdout
    assert "--workers is 0; give 1 or more." in call(small, "test", "--workers", "0").stderr


def test_test_on_a_bare_python_says_what_to_do(small: Path) -> None:
    done = call(small, "test", bare=True)
    assert done.returncode == 2 and re.search(r"has no pytest; .* python -m distillcse_kit|\.venv may", done.stderr)


@pytest.mark.parametrize("words", [["env"], ["test"], ["notebooks"]])
def test_outside_a_checkout_one_sentence(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkout, "find_checkout", lambda *_: None)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"distillcse {words[0]}: ") and told.count("\n") == 1 and "checkout only" in told


def test_an_installed_package_is_no_checkout(tmp_path: Path) -> None:
    assert find_checkout() == ROOT
    package = tmp_path / "site-packages" / "distillcse_kit"
    package.mkdir(parents=True)
    assert find_checkout(package) is None
    (package.parent / "pyproject.toml").touch()  # of somebody's project, who installs into its folder
    (package.parent / "constraints.txt").touch()
    assert find_checkout(package) is None
    with pytest.raises(
        KitError, match=r"works in a checkout only, and this kit is installed in .*site-packages; clone"
    ):
        needed_checkout("it", package)


def test_windows_has_other_names() -> None:
    root = Path("kit")
    assert environment_program(root, windows=True) == root / ".venv" / "Scripts" / "python.exe"
    assert environment_program(root, "distillcse", True) == root / ".venv" / "Scripts" / "distillcse.exe"
    assert environment_program(root, windows=False) == root / ".venv" / "bin" / "python"
    assert environment_program(root) == environment_program(root, windows=sys.platform == "win32")


def test_advice_for_a_python_that_lacks_a_package(tmp_path: Path) -> None:
    assert "pip check" in advice_on_missing("numpy", None, "/usr")
    assert f"run python -m distillcse_kit env in {tmp_path}" in advice_on_missing("numpy", tmp_path, "/usr")
    python = environment_program(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()
    assert f"call {python} -m distillcse_kit" in advice_on_missing("numpy", tmp_path, "/usr")
    assert "distillcse_kit env" in advice_on_missing("numpy", tmp_path, str(tmp_path / ".venv"))  # it is that one
