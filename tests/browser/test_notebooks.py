"""Every notebook of the course runs in JupyterLab as a reader runs it, and shows its explorers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from distillcse_kit.explorers.base import kebab
from distillcse_kit.notebooks import sources

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("kernels")]

SOURCES = {source.stem: source.read_text(encoding="utf-8") for source in sources()}
EXPLORERS = {
    name: sorted({kebab(found) for found in re.findall(r"\b(\w+Explorer|TrainingMonitor)\(", text)})
    for name, text in SOURCES.items()
}


def test_the_course_has_all_explorers() -> None:
    from .test_explorers import KINDS

    assert {kind for kinds in EXPLORERS.values() for kind in kinds} == set(KINDS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", list(SOURCES))
def test_a_notebook_runs_and_shows_its_explorers(server: Any, browser: Any, name: str) -> None:
    from .lab import OpenNotebook, Shown

    notebook = OpenNotebook(browser, server, f"{name}.ipynb")
    try:
        notebook.run_all(limit=240)
        for kind in EXPLORERS[name]:
            shown = Shown(notebook, kind)
            assert len(shown.words) > 50 and shown.picture.startswith(b"\x89PNG") and shown.state
        assert notebook.dialogs == [] and notebook.crashes == []
    finally:
        notebook.close()
        server.stop_kernels()
