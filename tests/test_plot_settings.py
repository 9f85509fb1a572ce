"""The reader's matplotlib settings neither change by a call of the kit, nor change the kit's pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from cycler import cycler

from distillcse_kit import analysis, plots
from distillcse_kit.analysis import cost_of_shuffling
from distillcse_kit.analysis.parts_of_variance import VariancePart
from distillcse_kit.bench.repaints import MAKERS
from distillcse_kit.experiments.sweep_result import shipped_sweep

ODD: dict[str, Any] = {
    "axes.facecolor": "black",
    "axes.formatter.use_locale": True,
    "axes.grid": False,
    "axes.prop_cycle": cycler(color=["red", "yellow"]),
    "axes.spines.top": True,
    "axes.titlelocation": "right",
    "axes.unicode_minus": False,
    "errorbar.capsize": 9,
    "figure.dpi": 40,
    "font.family": "monospace",
    "font.size": 20,
    "image.cmap": "hot",
    "legend.frameon": True,
    "lines.linewidth": 7,
    "lines.markersize": 20,
    "patch.force_edgecolor": True,
    "path.sketch": (1, 100, 2),
    "savefig.bbox": "tight",
    "savefig.facecolor": "pink",
    "text.color": "green",
    "xtick.labelsize": 3,
    "ytick.direction": "in",
}

DRAW = np.random.default_rng(0)
COSINES = analysis.batch_cosines(analysis.unit(DRAW.normal(size=(1, 2, 8, 6)) + 0.4 * DRAW.normal(size=(3, 2, 8, 6))))
ROW = torch.from_numpy(COSINES[0, 0])
SCORES = {"a": [50.0, 52.0, 54.0], "b": [49.0], "c": [51.0, 51.5]}
HISTORIES = {"one": [[{"step": 2, "dev": 50.0, "contrastive": 1.0}, {"step": 4, "dev": 52.0, "contrastive": 0.5}]]}
SPREADS = [analysis.Spread("1st order", 0.1, 0.2, 0.5), analysis.Spread("2nd order", 0.1, 0.3, 0.4)]
PARTS = [VariancePart("pair", 0.04, 0.01, 0.09, 0.7), VariancePart("teacher", 0.01, 0.0, 0.02, 0.3)]
RATIOS = {"1st order": 0.5, "2nd order": 1.25}
SHUFFLES = cost_of_shuffling.MeanOfShuffles(np.array([1, 4]), np.array([0.4, 0.2]))

DRAWN: dict[str, Callable[[Any], object]] = {
    "draw_agreement": lambda ax: plots.draw_agreement(
        ax, [analysis.top_agreement(COSINES, k) for k in (2, 5)], (5, 48)
    ),
    "draw_averaging_law": lambda ax: plots.draw_averaging_law(ax, analysis.averaging_law(COSINES), marked=2),
    "draw_beside_paper": lambda ax: plots.draw_beside_paper(ax, RATIOS, RATIOS),
    "draw_variance_parts": lambda ax: plots.draw_variance_parts(ax, PARTS, 4),
    "draw_group_sizes": lambda ax: plots.draw_group_sizes(ax, {"a": np.array([3.0, 4.5]), "b": np.array([1.0, 0.4])}),
    "draw_groups": lambda ax: plots.draw_groups([ax, ax.figure.add_axes((0.8, 0.8, 0.1, 0.1))], ROW_GROUPS),
    "draw_heatmap": lambda ax: plots.draw_heatmap(ax, COSINES[0, 0], "mean"),
    "draw_history": lambda ax: plots.draw_history(ax, HISTORIES),
    "draw_information_bound": lambda ax: plots.draw_information_bound(ax, HISTORIES, 64),
    "draw_mean_of_shuffles": lambda ax: plots.draw_mean_of_shuffles(ax, SHUFFLES),
    "draw_noise_to_signal": lambda ax: plots.draw_noise_to_signal(ax, SPREADS),
    "draw_pair_scatter": lambda ax: plots.draw_pair_scatter(ax, [0.1, 0.5, 0.4], [1, 2, 3], "base"),
    "draw_published": lambda ax: plots.draw_published(ax, ["a", "b"], {"a": 85.2, "b": 84.1}),
    "draw_score_table": lambda ax: plots.draw_score_table(ax, SCORES, baseline="b"),
    "draw_scores_by_number": lambda ax: plots.draw_scores_by_number(ax, {"raw": {1: [50.0, 52.0], 4: [55.0]}}, "M"),
    "draw_sorted_magnitudes": lambda ax: plots.draw_sorted_magnitudes(
        ax, analysis.TwoSamples("q", np.array([3.0, 2, 1]), np.array([9.0, 4]))
    ),
    "draw_spread_by_rank": lambda ax: plots.draw_spread_by_rank(ax, analysis.spread_by_rank(COSINES)),
}
ROW_GROUPS = cost_of_shuffling.row_groups(ROW, 0, 0.3)


@pytest.fixture
def odd() -> Iterator[dict[str, Any]]:
    """The settings of a reader who also has a figure open; the test fails if it changes either."""
    with matplotlib.rc_context(ODD):  # type: ignore[arg-type]
        theirs = plt.figure()
        before, opened = dict(matplotlib.rcParams), plt.get_fignums()
        yield before
        assert dict(matplotlib.rcParams) == before
        assert plt.get_fignums() == opened
        plt.close(theirs)


def picture(draw: Callable[[Any], object]) -> bytes:
    """What a cell of a notebook does: draw, and say a few things more about it."""
    figure, ax = plots.new_axes(width=5, height=4)
    draw(ax)
    ax.plot([1, 2], [1, 2], label="said by the cell")
    ax.set_title("a title")
    ax.annotate("a note", (0.5, 0.5), xycoords="axes fraction")
    ax.set(xlabel="across", ylabel="upwards")
    ax.legend(title="a legend")
    figure.suptitle("a title above")
    return plots.png_bytes(figure)


def test_every_public_function_is_tried() -> None:
    assert set(DRAWN) == {name for name in plots.__all__ if name.startswith("draw_")}


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_the_same_under_any_settings(name: str, request: pytest.FixtureRequest) -> None:
    plain = picture(DRAWN[name])
    request.getfixturevalue("odd")
    assert picture(DRAWN[name]) == plain


@pytest.mark.parametrize("name", ["table6-p", "figure2"])
def test_a_sweep_is_the_same_under_any_settings(name: str, request: pytest.FixtureRequest) -> None:
    result = shipped_sweep(name)
    assert result is not None
    plain = plots.png_bytes(plots.sweep_figure(result))
    request.getfixturevalue("odd")
    assert plots.png_bytes(plots.sweep_figure(result)) == plain


@pytest.mark.parametrize("name", MAKERS)
def test_an_explorer_is_the_same_under_any_settings(name: str, request: pytest.FixtureRequest) -> None:
    explorer, moves = MAKERS[name]()
    request.getfixturevalue("odd")
    again, _ = MAKERS[name]()
    assert again.image.value == explorer.image.value
    setattr(again, *moves[0])
    again.show("name")


def test_new_axes_draw_in_their_own_style_wherever_a_method_is_called(odd: dict[str, Any]) -> None:
    figure, ax = plots.new_axes()
    title, [line] = ax.set_title("title", loc="left"), ax.plot([1, 2])
    assert (title.get_fontsize(), line.get_linewidth()) == (plots.STYLE["axes.titlesize"], 2)
    assert ax.get_xticklabels()[0].get_fontsize() == 10
    plots.show(figure, "name", displayed=False)


def test_readers_own_axes_can_be_drawn_into(odd: dict[str, Any]) -> None:
    figure, ax = plt.subplots()
    plots.draw_score_table(ax, SCORES)
    assert dict(matplotlib.rcParams) == odd
    assert ax.title.get_fontsize() != plots.STYLE["axes.titlesize"]  # made before, by the reader
    plots.png_bytes(figure)


def test_a_failed_call_leaves_neither_settings_nor_a_figure(odd: dict[str, Any]) -> None:
    figure, ax = plots.new_axes()
    ax.set_title(r"$\nonsense$")
    with pytest.raises(ValueError, match="nonsense"):
        plots.png_bytes(figure)


def test_two_threads_do_not_mix_up_the_settings(odd: dict[str, Any]) -> None:
    """Each would otherwise save what the other has set, and restore that in the end."""
    entered = threading.Event()

    @plots.styled()
    def first() -> None:
        entered.set()
        time.sleep(0.05)

    @plots.styled()
    def second() -> None:
        time.sleep(0.05)

    def wait() -> None:
        entered.wait()
        second()

    threads = [threading.Thread(target=work) for work in (first, wait)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
