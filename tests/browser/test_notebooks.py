"""Every notebook of the course runs in JupyterLab as a reader runs it, and shows its explorers."""

from __future__ import annotations

from typing import Any

import pytest

from distillcse_kit.notebooks import sources

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("kernels")]

SOURCES = {source.stem: source for source in sources()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", list(SOURCES))
def test_a_notebook_runs_and_shows_its_explorers(server: Any, browser: Any, name: str) -> None:
    from .lab import OpenNotebook

    notebook = OpenNotebook(browser, server, f"{name}.ipynb")
    try:
        notebook.run_all(limit=240)
    finally:
        notebook.close()
        server.stop_kernels()
