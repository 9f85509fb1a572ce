"""The floors of the house: a room imports only from lower floors, files are short, and no two have the same name."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import distillcse_kit

PACKAGE = Path(distillcse_kit.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up (docs/map.md shows the same list). Rooms on one line do not import each other.
FLOORS: list[set[str]] = [
    {"errors", "duration", "versions", "progress"},
    {"checkout", "one_process"},
    {"config", "whole_files"},
    {"store"},
    {"fast"},
    {"method"},
    {"data"},
    {"encoder"},
    {"evaluation"},
    {"training"},
    {"analysis"},
    {"laboratory"},
    {"experiments"},
    {"plots"},
    {"explorers"},
    {"bench", "course"},
    {"command"},
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
LONGEST = 300
DOORS = ("__init__.py", "__main__.py")  # of the whole package


def room_of(module: str) -> str:
    """The room of a module such as ``distillcse_kit.method.losses``."""
    return module.split(".")[1]


def module_of(path: Path) -> str:
    return ".".join(("distillcse_kit", *path.relative_to(PACKAGE).with_suffix("").parts))


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of the kit that are imported anywhere in a file, also inside functions and for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("distillcse_kit."))
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module == "distillcse_kit":
                yield from (f"distillcse_kit.{name.name}" for name in node.names)
            elif module.startswith("distillcse_kit."):
                yield module


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module_of(path)) for path in FILES if path.name not in DOORS or path.parent != PACKAGE}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_lower_floors(path: Path) -> None:
    if path.parent == PACKAGE and path.name in DOORS:
        pytest.skip("the front door offers things of all floors, each imported when it is asked for")
    here = room_of(module_of(path))
    for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
        there = room_of(module)
        assert there == here or FLOOR[there] < FLOOR[here], f"{here} imports {module}, which is not below it"


def test_no_private_name_crosses_a_file() -> None:
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("distillcse_kit"):
                found += [f"{path.name}: {name.name}" for name in node.names if name.name.startswith("_")]
    assert [item for item in found if not item.endswith("__version__")] == []


def test_no_file_is_long() -> None:
    long = {str(path.relative_to(PACKAGE)): count for path in FILES if (count := len(lines(path))) > LONGEST}
    assert long == {}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_no_two_files_have_the_same_name() -> None:
    names = Counter(path.name for path in FILES if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text and len(text) > 20


def test_the_walker_sees_all_ways_to_import() -> None:
    text = """
import distillcse_kit.store as s
from distillcse_kit import plots
from distillcse_kit.method.losses import contrastive_loss
def f():
    from distillcse_kit.bench import gpu
"""
    assert list(imported(ast.parse(text))) == [
        "distillcse_kit.store",
        "distillcse_kit.plots",
        "distillcse_kit.method.losses",
        "distillcse_kit.bench",
    ]
