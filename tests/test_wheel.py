"""The wheel brings all that the kit needs away from its repository: built here, unpacked, and used."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import distillcse_kit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "distillcse_kit"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def cannot_build() -> str | None:
    """Why no wheel can be built here without a network; None if it can."""
    if importlib.util.find_spec("pip") is None:
        return "building a wheel needs pip"
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return "building a wheel needs setuptools"
    return None if int(version.split(".")[0]) >= 77 else f"building a wheel needs setuptools 77, this is {version}"


def absolute_links(markdown: str, repository: str | None) -> str:
    """That of setup.py, in a process of its own: setuptools does not like to be imported late."""
    code = "import json, sys, setup; json.dump(setup.absolute_links(*json.load(sys.stdin)), sys.stdout)"
    given = json.dumps([markdown, repository])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: str = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built in a copy so that no build folder is left in it."""
    if reason := cannot_build():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "kit"
    ignored = shutil.ignore_patterns("__pycache__", "*.ipynb", ".ipynb_checkpoints")
    for name in ("distillcse_kit", "notebooks"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in NEEDED:
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, "-w", str(folder), str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def unpacked(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site-packages")
    wheel.extractall(folder)
    return folder


def test_it_has_every_file_of_the_package_and_the_notebooks(wheel: zipfile.ZipFile) -> None:
    tracked = {path.relative_to(ROOT).as_posix(): path for path in PACKAGE.rglob("*") if path.is_file()}
    hidden = re.compile(r"(^|/)(\.|__pycache__/)")
    wanted = {name: path.read_bytes() for name, path in tracked.items() if not hidden.search(name)}
    lessons = ROOT / "notebooks" / "src"
    wanted |= {f"distillcse_kit/notebooks/src/{path.name}": path.read_bytes() for path in lessons.glob("*.py")}
    found = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    assert sorted(found) == sorted(wanted) and len(wanted) > 100
    assert found == wanted


def test_its_version_and_command_are_the_packages(wheel: zipfile.ZipFile) -> None:
    [info] = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert f"\nVersion: {distillcse_kit.__version__}\n" in metadata
    assert "\nDescription-Content-Type: text/markdown\n" in metadata
    assert metadata.endswith(absolute_links(README, PROJECT["urls"].get("Repository")))
    assert "distillcse = distillcse_kit.command.main:main" in wheel.read(f"{info}/entry_points.txt").decode()


def call(unpacked: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the unpacked wheel in a folder of a reader's."""
    environment = os.environ | {"PYTHONPATH": str(unpacked), "DISTILLCSE_STORE": str(folder / "store")}
    command = [sys.executable, "-m", "distillcse_kit", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.xdist_group("kernels")
def test_the_course_runs_from_it_in_any_folder(unpacked: Path, tmp_path: Path) -> None:
    done = call(unpacked, tmp_path, "course", "--notebooks", "00")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "runs" / "course-smoke" / "course.json").read_text(encoding="utf-8"))
    assert [(row["name"], row["status"]) for row in record["notebooks"]] == [("00_start_here", "ok")]
    assert list((tmp_path / "runs" / "course-smoke" / "figures").glob("*.png"))


def test_doctor_says_whether_its_notebooks_are_there(unpacked: Path, tmp_path: Path) -> None:
    own = tmp_path / "copy"
    shutil.copytree(unpacked, own)
    told = call(own, tmp_path, "doctor").stdout
    assert re.search(rf"^ok +notebooks +9 in {re.escape(str(own))}", told, re.MULTILINE)
    shutil.rmtree(own / "distillcse_kit" / "notebooks")
    done = call(own, tmp_path, "doctor")
    assert done.returncode == 1 and re.search(r"^Missing: .*notebooks\.$", done.stdout, re.MULTILINE)


def test_links_of_the_readme_become_absolute_once_there_is_an_address() -> None:
    text = (
        "![a picture](figures/a.png) [a page](docs/a.md#part) [![b](figures/b.png)](docs/b.md)\n"
        "[paper](https://arxiv.org/abs/1) [here](#results) [mail](mailto:a@b.org) left"
    )
    base = "https://example.org/kit"
    assert absolute_links(text, f"{base}.git") == (
        f"![a picture]({base}/raw/HEAD/figures/a.png) [a page]({base}/blob/HEAD/docs/a.md#part) "
        f"[![b]({base}/raw/HEAD/figures/b.png)]({base}/blob/HEAD/docs/b.md)\n"
        "[paper](https://arxiv.org/abs/1) [here](#results) [mail](mailto:a@b.org) left"
    )
    assert absolute_links(text, None) == text
    readme = absolute_links(README, base)
    relative = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if not re.match(r"https?:|#", link)]
    assert relative == []
    for kind, path in re.findall(rf"{base}/(raw|blob)/HEAD/([^)#]+)", readme):
        assert (ROOT / path).is_file() and (kind == "raw") == (path.endswith(".png")), path
