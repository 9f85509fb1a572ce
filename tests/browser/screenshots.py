"""Pictures of all explorers as a reader sees them: python -m tests.browser.screenshots

Runs the lessons that show them in JupyterLab, in a window of 1280 x 800, and writes NAME-light.png and NAME-dark.png.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from .conftest import TRAINING_IN_SIGHT
from .lab import ROOT, OpenNotebook, Server, Shown, chromium, copy_lessons, find_chromium, jupyterlab

# Explorer: the lesson that shows it.
LESSONS = {
    "training-monitor": TRAINING_IN_SIGHT,
    "teacher-variance": "02_teacher_logit_variance",
    "group-p": "03_group_p_shuffling",
    "ensemble": "04_teacher_ensembles",
    "ablation": "05_full_distillation",
    "embedding": "07_evaluate_and_compare",
}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


def take(browser: Browser, server: Server, kind: str, out: Path) -> None:
    """Both pictures of one explorer: the last one of its kind in its lesson."""
    notebook = OpenNotebook(browser, server, f"{LESSONS[kind]}.ipynb")
    try:
        notebook.run_all(limit=900)
        shown = Shown(notebook, kind, last=True)
        for name, theme in THEMES.items():
            notebook.set_theme(theme)
            shown.to_the_top()
            notebook.page.screenshot(path=out / f"{kind}-{name}.png")
        _, whole, page = shown.heights
        print(f"{kind}: {whole:.0f} pixels high, of which a page shows {page:.0f}")
    finally:
        notebook.close()
        server.stop_kernels()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="smoke", help="of the lessons (default: smoke)")
    parser.add_argument("--store", type=Path, help="what was computed before (default: runs/course-PROFILE/store)")
    parser.add_argument("--out", type=Path, default=ROOT / "figures" / "explorers", help="(default: figures/explorers)")
    parser.add_argument("--only", nargs="+", choices=list(LESSONS), default=list(LESSONS), metavar="NAME")
    given = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        parser.exit(2, "A browser is needed; get it with: apt-get install chromium fonts-dejavu-core\n")
    given.out.mkdir(parents=True, exist_ok=True)
    store = given.store or ROOT / "runs" / f"course-{given.profile}" / "store"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parameters: dict[str, dict[str, str]] = {name: {"profile": given.profile} for name in LESSONS.values()}
        parameters[TRAINING_IN_SIGHT]["store"] = str(folder / "empty-store")
        copy_lessons(folder / "notebooks", parameters)
        with jupyterlab(folder / "notebooks", folder / "home", store.absolute()) as server:
            for kind in given.only:
                with chromium(executable) as browser:
                    take(browser, server, kind, given.out)


if __name__ == "__main__":
    main()
