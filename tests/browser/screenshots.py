"""Take pictures of all explorers as a reader sees them: python -m tests.browser.screenshots

It runs their lessons in JupyterLab, in a window of 1280 x 800, and writes NAME-light.png and NAME-dark.png.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from .conftest import TRAINING_IN_SIGHT
from .lab import ROOT, OpenNotebook, Server, Shown, chromium, copy_lessons, find_chromium, jupyterlab

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
HOUR = 3_600


def begin_training(shown: Shown) -> None:
    """Choose a larger p, one that no lesson trains, and wait until its first student has a dev score."""
    shown.press(shown.control("p").locator(".noUi-handle"), "ArrowRight")
    shown.button("train").press("Enter")
    shown.says(", dev ", limit=300)


def end_training(shown: Shown) -> None:
    shown.button("cancel").press("Enter")
    shown.says("Cancelled", limit=60)


def _nothing(_: Shown) -> None:
    pass


@dataclass(frozen=True)
class Scene:
    """One picture: the first or the last explorer of its kind in a lesson, after ``begin`` and before ``end``.

    If ``until`` is given, the picture is taken as soon as the explorer's words hold that text, and not only when the
    whole lesson has run.
    """

    lesson: str
    kind: str
    last: bool = False
    begin: Callable[[Shown], None] = _nothing
    end: Callable[[Shown], None] = _nothing
    until: str = ""


SCENES = {
    "training-monitor": Scene(TRAINING_IN_SIGHT, "training-monitor", until="finished"),
    "teacher-variance": Scene("02_teacher_logit_variance", "teacher-variance"),
    "group-p": Scene("03_group_p_shuffling", "group-p"),
    "ensemble": Scene("04_teacher_ensembles", "ensemble", last=True),
    "ablation": Scene("05_full_distillation", "ablation"),
    "ablation-training": Scene("05_full_distillation", "ablation", True, begin_training, end_training),
    "embedding": Scene("07_evaluate_and_compare", "embedding"),
}


def take(browser: Browser, server: Server, name: str, out: Path) -> None:
    """Take both pictures of one scene, light and dark."""
    scene = SCENES[name]
    notebook = OpenNotebook(browser, server, f"{scene.lesson}.ipynb")
    try:
        if scene.until:
            notebook.begin()
        else:
            notebook.run_all(limit=HOUR)
        shown = Shown(notebook, scene.kind, scene.last)
        shown.says(scene.until, limit=HOUR)
        scene.begin(shown)
        for label, theme in THEMES.items():
            notebook.set_theme(theme)
            shown.to_the_top()
            notebook.page.screenshot(path=out / f"{name}-{label}.png")
        _, whole, page = shown.heights
        print(f"{name}: {whole:.0f} pixels high; a page shows {page:.0f} of them", flush=True)
        scene.end(shown)
    finally:
        notebook.close()
        server.stop_kernels()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="laptop", help="profile of the lessons (default: laptop)")
    parser.add_argument("--store", type=Path, help="folder of earlier results (default: runs/course-PROFILE/store)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "figures" / "explorers", help="folder (default: figures/explorers)"
    )
    parser.add_argument("--only", nargs="+", choices=list(SCENES), default=list(SCENES), metavar="NAME")
    given = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        parser.exit(2, "A browser is needed; get it with: apt-get install chromium fonts-dejavu-core\n")
    given.out.mkdir(parents=True, exist_ok=True)
    store = given.store or ROOT / "runs" / f"course-{given.profile}" / "store"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parameters = {scene.lesson: {"profile": given.profile} for scene in SCENES.values()}
        parameters[TRAINING_IN_SIGHT]["store"] = str(folder / "empty-store")
        copy_lessons(folder / "notebooks", parameters)
        with jupyterlab(folder / "notebooks", folder / "home", store.absolute()) as server:
            for name in given.only:
                with chromium(executable) as browser:
                    take(browser, server, name, given.out)


if __name__ == "__main__":
    main()
