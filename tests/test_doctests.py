"""The examples in docstrings run, and show what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import distillcse_kit as dk

PACKAGE = Path(dk.__file__).parent
MODULES = sorted(
    ".".join(("distillcse_kit", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if ">>>" in file.read_text(encoding="utf-8")
)
CARDS = ["SentenceEncoder", "TeacherEnsemble", "contrastive_loss", "distillation_loss", "group_mean", "group_p_shuffle"]


def test_there_are_modules_with_examples() -> None:
    assert {"distillcse_kit.method.losses", "distillcse_kit.encoder.sentence_encoder"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_are_right(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module), raise_on_error=False)
    assert found.attempted > 0, f"{module} has a >>> that doctest does not find"
    assert found.failed == 0, f"{found.failed} of {found.attempted} lines are wrong; the output above says which"


@pytest.mark.parametrize("name", ["Laboratory", "Recipe", "load_corpus", "load_sts", "evaluate_sts"])
def test_the_other_public_names_have_a_card_too(name: str) -> None:
    """What it is, a table of inputs, when to use it, a reference, and an example."""
    card = getattr(dk, name).__doc__
    assert "=====" in card or "|---" in card
    for part in ("When to use it", "Reference:", ">>> "):
        assert part in card, part


@pytest.mark.parametrize("name", CARDS)
def test_a_public_name_has_a_card(name: str) -> None:
    """What it is, an equation, a table of inputs, when to use it, a reference, and an example that imports it."""
    card = inspect.cleandoc(getattr(dk, name).__doc__)
    assert "\n=====" in card and "Input" in card and "Shape" in card
    for part in ("When to use it:", "Reference:", "Example:", f">>> from distillcse_kit import {name}\n"):
        assert part in card, part
