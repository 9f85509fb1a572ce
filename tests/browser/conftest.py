"""One JupyterLab and one browser for all tests here. If there is no browser, the tests skip and say how to get one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.lab import Server

ROOT = Path(__file__).resolve().parents[2]
COURSE_STORE = ROOT / "runs" / "course-smoke" / "store"
TRAINING_IN_SIGHT = "01_contrastive_teacher"  # this lesson gets an empty store, so that there is a run to watch


@pytest.fixture(scope="session")
def executable() -> str:
    """Path of the browser's program."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("These tests need playwright; get it with: pip install playwright")
    from .lab import find_chromium

    found = find_chromium()
    if found is None:
        pytest.skip("These tests need a browser; get it with: apt-get install chromium fonts-dejavu-core")
    return found


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that `make course` left, so that notebooks load and do not train; else an empty folder for them all."""
    return COURSE_STORE if COURSE_STORE.is_dir() else tmp_path_factory.mktemp("store")


@pytest.fixture(scope="package")
def server(executable: str, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from .lab import copy_lessons, jupyterlab

    folder = tmp_path_factory.mktemp("lab")
    notebooks = folder / "notebooks"
    copy_lessons(notebooks, {TRAINING_IN_SIGHT: {"store": str(folder / "empty-store")}})
    with jupyterlab(notebooks, folder / "home", store) as running:
        yield running


@pytest.fixture(scope="package")
def browser(executable: str) -> Iterator[Browser]:
    from .lab import chromium

    with chromium(executable) as running:
        yield running
