"""Each explorer in a browser: when keys move it, it shows what the library computes for its new state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import stats

from distillcse_kit import analysis, explorers
from distillcse_kit.evaluation.statistics import seed_interval
from distillcse_kit.experiments.ablation import Ablation, as_text, turned
from distillcse_kit.explorers import Explorer
from distillcse_kit.explorers.teacher_variance_explorer import SUBSETS

from . import sample
from .small_notebook import NAME, write_small_notebook

if TYPE_CHECKING:
    from .lab import OpenNotebook, Shown

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("kernels")]

KINDS = ["group-p", "teacher-variance", "ensemble", "training-monitor", "ablation", "embedding"]


@pytest.fixture(scope="module")
def folder(server: Any) -> Path:
    """Folder of the notebook with all explorers; the notebook runs there."""
    return write_small_notebook(server.folder)


@pytest.fixture(scope="module")
def notebook(browser: Any, server: Any, folder: Path) -> Iterator[OpenNotebook]:
    """That notebook, after all its cells have run, in a window of 1280 x 800."""
    from .lab import OpenNotebook

    opened = OpenNotebook(browser, server, NAME)
    try:
        opened.run_all()
        yield opened
    finally:
        opened.close()
        server.stop_kernels()


@pytest.fixture
def shown(notebook: OpenNotebook, request: pytest.FixtureRequest) -> Shown:
    """The explorer named by the test's parameter."""
    from .lab import Shown

    return Shown(notebook, request.param)


def of(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shown", [kind], indirect=True, ids=[""])


COSINES = sample.cosines()
TEXTS = sample.batches()


def as_computed(shown: Shown, explorer: Explorer) -> None:
    """Give the local explorer the state that the browser shows; both must then have the same picture."""
    for name, value in shown.state.items():
        setattr(explorer, name, tuple(value) if isinstance(value, list) else value)
    assert shown.picture == explorer.image.value


# ---------------------------------------------------------------- what holds for all of them


@pytest.mark.parametrize("shown", KINDS, indirect=True)
def test_everything_fits_a_window_of_1280_pixels(shown: Shown) -> None:
    cut_off = shown.box.evaluate(
        """box => {
            const column = box.closest(".jp-OutputArea-output").getBoundingClientRect();
            const labels = [...box.querySelectorAll(".widget-label, .widget-readout, .jupyter-button, .dk-words")];
            const outside = [...box.querySelectorAll("img, input, textarea, select, button")];
            return [
                ...labels.filter(it => it.scrollWidth > it.clientWidth + 1),
                ...outside.filter(it => it.getBoundingClientRect().right > column.right + 0.5),
            ].map(it => `${it.className}: ${it.textContent}`);
        }"""
    )
    assert cut_off == []
    to_the_words, _, page = shown.heights
    assert to_the_words <= page, "a window of 800 pixels does not show both the title and the first words"


# ---------------------------------------------------------------- one by one


def group_p_words(p: float, seed: int, row: int = 0) -> str:
    """The first two lines of the words for a state."""
    order = np.roll(np.arange(sample.N), -row)
    batch = torch.from_numpy(COSINES[0, 0][np.ix_(order, order)]).float()
    found = analysis.row_groups(batch, 0, p, 1.0, 0.01, seed)
    moved = 0.5 * float(np.abs(found.after - found.before).sum())
    return (
        f"{len(found.sizes)} groups of {', '.join(map(str, found.sizes))} logits, cut by a softmax at temperature 1 "
        f"(targets: 0.01).\nThis shuffle moves {moved:.0%}"
    )


@of("group-p")
def test_group_p(shown: Shown) -> None:
    shown.says(group_p_words(0.1, 0))
    for step in range(11, 21):
        shown.slide("p", step / 100)
    shown.says(group_p_words(0.2, 0))
    shown.press(shown.button("shuffle"), "Enter", seed=1)
    shown.says(group_p_words(0.2, 1))
    shown.press(shown.control("row").locator("select"), "3", row=3)
    shown.says(group_p_words(0.2, 1, row=3))
    as_computed(shown, explorers.GroupPExplorer(COSINES[0, 0], TEXTS[0]))


@of("teacher-variance")
def test_teacher_variance(shown: Shown) -> None:
    upper, local = np.triu_indices(sample.N, 1), explorers.TeacherVarianceExplorer(COSINES, TEXTS)
    shown.press(shown.control("teachers").locator(".dk-box-1 input"), "Space", teachers=[0, 2, 3])
    some = COSINES[[0, 2, 3], 0]
    noise = np.sqrt((some.std(axis=0, ddof=1)[upper] ** 2).mean())
    shown.says(f"3 teachers on 16 sentences: mean cosine {some.mean(axis=0)[upper].mean():.3f}")
    shown.says(f"over teachers {noise:.3f}")
    shown.slide("batch", 1)
    shown.says(f"mean cosine {COSINES[[0, 2, 3], 1].mean(axis=0)[upper].mean():.3f}")

    views = shown.control("view")
    as_computed(shown, local)
    shown.press(views.get_by_role("button", name="two teachers"), "Enter", view="two teachers")
    across, upwards = COSINES[0, 1][upper], COSINES[1, 1][upper]
    shown.says(f"Pearson {stats.pearsonr(across, upwards)[0]:.3f}")
    shown.says(f"Spearman × 100 {100 * stats.spearmanr(across, upwards)[0]:.1f};")

    shown.press(views.get_by_role("button", name="averaging"), "Enter", view="averaging")
    law = analysis.averaging_law(COSINES[[0, 2, 3], 1][:, None], SUBSETS)
    shown.says(f"Mean of 3: {law.noise_share(3):.1%} of the variance")
    shown.slide("averaged", 2, "ArrowLeft")
    shown.says(f"Mean of 2: {law.noise_share(2):.1%} of the variance")
    as_computed(shown, local)


@of("ensemble")
def test_ensemble(shown: Shown) -> None:
    pairs, gold = sample.graded_pairs()
    shown.press(shown.control("teachers").locator(".dk-box-0 input"), "Space", teachers=[1, 2, 3])
    shown.says("Mean of 3 of 4 teachers: seeds 1, 2, 3.")
    shown.says(f"{100 * stats.spearmanr(pairs[1:].mean(axis=0), gold)[0]:.2f} on dev. Each of them alone")
    shown.press(shown.control("row").locator("select"), "4", row=4)
    # In this row the mean of these three teachers differs from the mean of all four.
    cosines = np.delete(COSINES[1:, 0].mean(axis=0)[4], 4)
    q = np.exp(cosines / 0.01 - np.max(cosines / 0.01))
    nearest = np.delete(sample.SENTENCES[: sample.N], 4)[cosines.argmax()]
    shown.notebook.wait_until(
        lambda: first_row(shown)[::2] == [f"{q.max() / q.sum():.2f}", nearest], "the nearest sentence is listed"
    )
    as_computed(shown, explorers.EnsembleExplorer(COSINES[:, 0], TEXTS[0], (pairs, gold), sample.STUDENTS))


def first_row(shown: Shown) -> list[str]:
    """Cells of the first row of the table among the words."""
    return shown.box.locator(".dk-words tr").nth(1).locator("td").all_inner_texts()


@of("training-monitor")
def test_training_monitor(shown: Shown, folder: Path) -> None:
    history = sample.laboratory(folder).teacher(0).history
    best = max(history, key=lambda row: row["dev"])
    shown.says(f"teacher of seed 0: step {sample.STEPS} of {sample.STEPS}, finished.")
    shown.says(f"dev {history[-1]['dev']:.2f} (best {best['dev']:.2f} at step {best['step']})")
    for smoothing in range(9, sample.HELD - 1, -1):
        shown.slide("smoothing", smoothing, "ArrowLeft")
    shown.says(f"Loss {history[-1]['loss']:.3f} over the last {sample.HELD} steps")  # as in the last row of the history


@of("ablation")
def test_ablation_compares_trains_and_cancels(shown: Shown, folder: Path) -> None:
    lab = sample.laboratory(folder)
    ablation = Ablation(lab)
    usual = ablation.stored()[ablation.usual]
    shown.says(f"Stored: {seed_interval(list(usual.values()))} on dev, 2 seeds.")
    assert not shown.button("train").is_enabled() and not shown.button("cancel").is_enabled()
    local = explorers.AblationExplorer(
        ablation.stored(), ablation.usual, ablation.train, ablation.seeds, ablation.choices
    )
    as_computed(shown, local)

    shown.slide("weight", 2.0)
    wanted = turned(ablation.usual, weight=2.0)
    shown.says(f"Chosen: {as_text(wanted)}.")
    shown.says("No result is stored for 2 of its 2 seeds; press Train.")
    shown.press(shown.button("train"), "Enter")
    shown.says(f"seed 0 (1 of 2), step {sample.HELD} of {sample.STEPS}")
    assert not shown.button("train").is_enabled() and shown.button("cancel").is_enabled()
    assert shown.box.locator(".dk-progress").is_visible()
    # The page still answers while it trains.
    other = shown.control("along").get_by_role("button", name="tau_s")
    shown.press(other, "Enter", along="student_temperature")

    shown.button("cancel").press("Enter")
    shown.notebook.wait_until(shown.button("cancel").is_disabled, "the click on Cancel has arrived")
    (folder / "gate").touch()
    shown.says(f"Cancelled: {as_text(wanted)}.")
    shown.notebook.wait_until(shown.button("train").is_enabled, "the setting can be trained again")
    assert wanted not in ablation.stored()

    shown.button("train").press("Enter")
    shown.says(f"Trained: {as_text(wanted)}.", limit=60)
    trained = ablation.stored()[wanted]
    assert sorted(trained) == [0, 1]
    shown.says(f"Stored: {seed_interval(list(trained.values()))} on dev, 2 seeds.")
    assert not shown.button("train").is_enabled() and not shown.box.locator(".dk-progress").is_visible()


@of("embedding")
def test_typed_text_is_text(shown: Shown, folder: Path) -> None:
    typed = [sample.HOSTILE, "A nurse buys & <b>hides</b> two letters.", "The pilot washes a bowl."]
    field = shown.control("text").locator("textarea")
    field.fill("\n".join(typed))
    shown.press(field, "Tab", text="\n".join(typed))
    for place, line in enumerate(typed, start=1):
        shown.says(f"{place}: {line}")
    options = shown.control("focus").locator("option").all_text_contents()
    assert [option.replace("\xa0", " ")[3:] for option in options] == typed

    teacher = sample.laboratory(folder).teacher(0).encoder()
    vectors, others = (teacher.encode(lines, normalize_embeddings=True) for lines in (typed, sample.SENTENCES))
    cosines = (vectors @ vectors.T)[np.triu_indices(3, 1)]
    best = [(1, 2), (1, 3), (2, 3)][cosines.argmax()]
    shown.says(f"teacher: {best[0]} and {best[1]} ({cosines.max():.2f})")
    shown.press(shown.control("focus").locator("select"), "2", focus=1)
    near = others @ vectors[1]
    nearest = f"{near.max():.2f} {sample.SENTENCES[int(near.argmax())]}"
    shown.notebook.wait_until(lambda: first_row(shown)[1] == nearest, f"{nearest!r} is the teacher's nearest")
    view = shown.control("view").get_by_role("button", name="map of the sample")
    shown.press(view, "Enter", view="map of the sample")
    encoders = {"base": sample.laboratory(folder).base, "teacher": teacher}
    as_computed(shown, explorers.EmbeddingExplorer(encoders, sample.SENTENCES, sample.TOPICS))

    assert shown.notebook.page.locator("img[src='x'], .dk-explorer [onerror], .dk-words b").count() == 0
    assert shown.notebook.dialogs == [] and shown.notebook.errors() == []
