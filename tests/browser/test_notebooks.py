"""Every notebook of the course runs in JupyterLab as a reader runs it, and each of its explorers moves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from distillcse_kit.course.notebook_files import sources
from distillcse_kit.explorers.base import kebab

from .conftest import TRAINING_IN_SIGHT

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from .lab import Shown

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("kernels")]

SOURCES = {source.stem: source.read_text(encoding="utf-8") for source in sources()}
EXPLORERS = {
    name: sorted({kebab(found) for found in re.findall(r"\b(\w+Explorer|TrainingMonitor)\(", text)})
    for name, text in SOURCES.items()
}


def move(shown: Shown, place: Locator, key: str, **state: Any) -> None:
    """Press a key at a control. Wait until the picture shows the given state and the words have changed."""
    before = shown.words
    shown.press(place, key, **state)
    shown.notebook.wait_until(lambda: shown.words != before, f"the words are no longer {before!r}")


def raise_p(shown: Shown) -> None:
    move(shown, shown.control("p").locator(".noUi-handle"), "ArrowRight", p=round(shown.state["p"] + 0.01, 2))


def leave_out_a_teacher(shown: Shown) -> None:
    first, *others = shown.state["teachers"]
    move(shown, shown.control("teachers").locator(f".dk-box-{first} input"), "Space", teachers=others)


def look_along_teachers(shown: Shown) -> None:
    move(shown, shown.control("along").get_by_role("button", name="M", exact=True), "Enter", along="teachers")


def smooth_more(shown: Shown) -> None:
    if "loaded from the store" in shown.words:
        assert shown.control("smoothing").locator(".noUi-target[disabled]").count() == 1
    else:
        smoothing = shown.state["smoothing"] + 1
        move(shown, shown.control("smoothing").locator(".noUi-handle"), "ArrowRight", smoothing=smoothing)


def list_fewer_neighbours(shown: Shown) -> None:
    neighbours = shown.state["neighbours"] - 1
    move(shown, shown.control("neighbours").locator(".noUi-handle"), "ArrowLeft", neighbours=neighbours)


MOVES: dict[str, Callable[[Shown], None]] = {
    "group-p": raise_p,
    "teacher-variance": leave_out_a_teacher,
    "ensemble": leave_out_a_teacher,
    "training-monitor": smooth_more,
    "ablation": look_along_teachers,
    "embedding": list_fewer_neighbours,
}


def test_the_course_has_all_explorers_and_a_training_in_sight() -> None:
    assert {kind for kinds in EXPLORERS.values() for kind in kinds} == set(MOVES)
    assert "training-monitor" in EXPLORERS[TRAINING_IN_SIGHT]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", list(SOURCES))
def test_a_notebook_runs_and_its_explorers_move(server: Any, browser: Any, name: str) -> None:
    from .lab import OpenNotebook, Shown

    notebook = OpenNotebook(browser, server, f"{name}.ipynb")
    try:
        notebook.run_all(limit=240)
        for kind in EXPLORERS[name]:
            shown = Shown(notebook, kind)
            assert len(shown.words) > 50 and shown.picture.startswith(b"\x89PNG") and shown.state
            MOVES[kind](shown)
            if name == TRAINING_IN_SIGHT:
                assert "finished" in shown.words
        assert notebook.dialogs == [] and notebook.crashes == []
    finally:
        notebook.close()
        server.stop_kernels()
