"""``import distillcse_kit as dk``: instant, and it offers what the README says."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest

import distillcse_kit as dk

PUBLIC = {
    "Laboratory",
    "Recipe",
    "SentenceEncoder",
    "TeacherEnsemble",
    "__version__",
    "contrastive_loss",
    "distillation_loss",
    "evaluate_sts",
    "explorers",
    "group_mean",
    "group_p_shuffle",
    "load_corpus",
    "load_encoder",
    "load_sts",
}


def home_is_there(name: str) -> bool:
    return name not in dk._HOMES or importlib.util.find_spec(f"distillcse_kit.{dk._HOMES[name]}") is not None


def in_a_new_process(code: str) -> str:
    """What the code prints in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_public_names_are_these() -> None:
    assert set(dk.__all__) == PUBLIC and sorted(dk.__all__) == dk.__all__
    assert set(dir(dk)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_name_is_what_it_says(name: str) -> None:
    if not home_is_there(name):
        pytest.skip(f"{dk._HOMES[name]} is not written yet")
    found = getattr(dk, name)
    if name == "__version__":
        assert isinstance(found, str)
    elif name == "explorers":
        assert isinstance(found, types.ModuleType) and found is importlib.import_module("distillcse_kit.explorers")
    else:
        # The module where it is defined, not one that imports it.
        assert found.__name__ == name and found.__module__ == f"distillcse_kit.{dk._HOMES[name]}"
        assert found.__doc__
    scope: dict[str, object] = {}
    exec(f"from distillcse_kit import {name}", scope)
    assert scope[name] is found and vars(dk)[name] is found


def test_importing_the_kit_loads_no_torch_and_takes_no_time() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import distillcse_kit as dk; names = dir(dk);"
        "print(time.perf_counter() - start, len(names), *({'torch', 'numpy', 'transformers'} & {*sys.modules}))"
    )
    seconds, names, *loaded = in_a_new_process(code).split()
    assert loaded == [] and int(names) > len(PUBLIC)
    assert float(seconds) < 0.3


def test_the_version_needs_no_torch_either() -> None:
    code = "import sys, distillcse_kit as dk; print(dk.__version__, 'torch' in sys.modules)"
    assert in_a_new_process(code) == f"{dk.__version__} False"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'distillcse_kit' has no attribute 'group_q_shuffle'"):
        _ = dk.group_q_shuffle  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="group_q_shuffle"):
        exec("from distillcse_kit import group_q_shuffle")
    assert not hasattr(dk, "torch")


@pytest.mark.parametrize("first", ["import distillcse_kit.explorers", "from distillcse_kit import explorers", "pass"])
def test_a_submodule_and_a_name_do_not_get_in_each_others_way(first: str) -> None:
    code = (
        f"{first}\nimport distillcse_kit as dk, distillcse_kit.method.losses as losses\n"
        "from distillcse_kit import method, contrastive_loss\n"
        "print(dk.explorers.__name__, dk.method.losses is losses, contrastive_loss is losses.contrastive_loss)"
    )
    assert in_a_new_process(code) == "distillcse_kit.explorers True True"


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse(Path(inspect.getfile(dk)).read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported.pop("explorers") == "distillcse_kit"
    assert imported == {name: f"distillcse_kit.{home}" for name, home in dk._HOMES.items()}
    assert {*imported, "explorers", "__version__"} == PUBLIC
