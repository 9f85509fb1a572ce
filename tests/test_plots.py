"""Figures show the numbers they are given, can be traced, and leave nothing open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from distillcse_kit import analysis, plots
from distillcse_kit.analysis import cost_of_shuffling as targets
from distillcse_kit.analysis.parts_of_variance import VariancePart
from distillcse_kit.errors import KitError

HISTORIES = {
    "one": [[{"step": 2, "dev": 50.0, "contrastive": 1.0}, {"step": 4, "dev": 52.0, "contrastive": 0.5}]],
    "two": [[{"step": 2, "dev": 40.0}], [{"step": 2, "dev": 44.0}]],
}


@pytest.fixture(scope="module")
def cosines() -> np.ndarray:
    """Three teachers, two batches of eight sentences."""
    draw = np.random.default_rng(0)
    return analysis.batch_cosines(analysis.unit(draw.normal(size=(1, 2, 8, 6)) + 0.4 * draw.normal(size=(3, 2, 8, 6))))


SENTENCES = [f"sentence {i} costs $5 & <b>more</b>" for i in range(8)]


def lines_of(ax: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in ax.lines}


# ---------------------------------------------------------------- saving


def test_a_saved_figure_says_what_made_it_and_is_closed(tmp_path: Path) -> None:
    figure, ax = plots.new_axes(width=4, height=3)
    ax.plot([1, 2])
    plots.show(figure, "name", tmp_path, {"seeds": 5, "folder": Path("x")}, displayed=False)
    assert not plt.fignum_exists(figure.number)
    with Image.open(tmp_path / "name.png") as image:
        assert image.size == (600, 450)
        assert json.loads(image.text["Settings"]) == {"seeds": 5, "folder": "x"}  # type: ignore[attr-defined]


def test_without_a_folder_nothing_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plots.show(plots.new_axes()[0], "name", "", {}, displayed=False)
    assert list(tmp_path.iterdir()) == []


def test_the_palette_is_told_apart_by_colour_blind_readers() -> None:
    """Simulated deuteranopia and protanopia (Vienot 1999): no two of the first four colours become alike."""
    linear = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in plots.PALETTE[:4]]) ** 2.2
    for matrix in (
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
        [[0.10889, 0.89111, 0], [0.10889, 0.89111, 0], [0.00447, -0.00447, 1]],
    ):
        seen = np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(4, 1)]
        assert distances.min() > 0.1


# ---------------------------------------------------------------- what is drawn


def test_histories_show_the_mean_and_the_band_of_seeds() -> None:
    _, ax = plots.new_axes()
    plots.draw_history(ax, HISTORIES, "dev")
    drawn = lines_of(ax)
    assert drawn["one"].get_ydata().tolist() == [50, 52] and drawn["two"].get_ydata().tolist() == [42]
    assert drawn["one"].get_linestyle() != drawn["two"].get_linestyle()
    band = ax.collections[1].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (40, 44)


def test_a_history_without_the_value_is_left_out() -> None:
    _, ax = plots.new_axes()
    plots.draw_history(ax, HISTORIES, "contrastive")
    assert list(lines_of(ax)) == ["one"]


def test_the_information_bound_is_ln_n_less_the_loss() -> None:
    _, ax = plots.new_axes()
    plots.draw_information_bound(ax, HISTORIES, 64)
    drawn = lines_of(ax)
    np.testing.assert_allclose(drawn["one"].get_ydata(), [np.log(64) - 1.0, np.log(64) - 0.5])
    assert drawn["ceiling ln 64 = 4.16"].get_ydata()[0] == pytest.approx(np.log(64))


def test_a_score_table_shows_mean_interval_and_seeds() -> None:
    _, ax = plots.new_axes()
    scores = [50.0, 52.0, 54.0]
    plots.draw_score_table(ax, {"a": scores, "b": [49.0]}, baseline="b")
    bar, dots, diamond, single, rule = ax.lines
    low, high = stats.t.interval(0.95, 2, loc=52, scale=stats.sem(scores))
    assert bar.get_xdata() == pytest.approx([low, high]) and list(dots.get_xdata()) == scores
    assert diamond.get_xdata()[0] == 52 and single.get_xdata()[0] == 49 == rule.get_xdata()[0]
    assert [text.get_text() for text in ax.texts] == [f"52.00 ± {(high - low) / 2:.2f}", "49.00"]
    with pytest.raises(KitError, match="Unknown baseline 'c'"):
        plots.draw_score_table(ax, {"a": scores}, baseline="c")


def test_a_scatter_names_its_correlation() -> None:
    _, ax = plots.new_axes()
    plots.draw_pair_scatter(ax, [0.1, 0.5, 0.4], [1, 2, 3], "base")
    assert ax.get_title(loc="left") == "base: Spearman × 100 = 50.0, 3 pairs"
    assert list(ax.lines[0].get_ydata()) == [0.1, 0.5, 0.4]


def test_frames_hold_the_numbers(cosines: np.ndarray) -> None:
    frame = plots.score_frame({"a": {"x": [1.0, 3.0], "y": [2.0]}, "b": {"x": [5.0]}})
    assert frame.loc["a", "y"] == "2.00" and frame.loc["b", "x"] == "5.00" and frame.loc["b", "y"] == ""
    cost = targets.ShuffleCost(2.5, 1.5, 0.25)
    assert plots.cost_frame({"s": cost}).loc["s"].tolist() == [2.5, 1.5, 1.0, 0.25]


def test_the_figures_of_notebook_02_show_their_results(cosines: np.ndarray) -> None:
    figure, (one, two, three) = plots.new_axes(1, 3, width=12)
    sample = analysis.TwoSamples("q", np.array([3.0, 2, 1]), np.array([9.0, 4]))
    plots.draw_sorted_magnitudes(one, sample)
    assert lines_of(one)["training batches (3)"].get_ydata().tolist() == [3, 2, 1]
    assert lines_of(one)["test (2)"].get_xdata().tolist() == [0, 100]
    rank = analysis.spread_by_rank(cosines)
    plots.draw_spread_by_rank(two, rank)
    np.testing.assert_allclose(two.lines[0].get_ydata(), rank.noise)
    np.testing.assert_allclose(two.lines[1].get_ydata(), rank.gap[:-1])
    law = analysis.averaging_law(cosines)
    plots.draw_averaging_law(three, law, marked=2)
    np.testing.assert_allclose(lines_of(three)["measured, mean over subsets"].get_ydata(), law.variance)
    assert f"M = 2: {law.noise_share(2):.0%} noise" in [text.get_text() for text in three.texts]
    plt.close(figure)


def test_a_heat_map_leaves_the_diagonal_out(cosines: np.ndarray) -> None:
    _, ax = plots.new_axes()
    plots.draw_heatmap(ax, cosines[0, 0], "mean")
    shown = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)
    assert np.isnan(np.diag(shown)).all()
    off = ~np.eye(8, dtype=bool)
    np.testing.assert_allclose(shown[off], cosines[0, 0][off])


def test_bars_agreement_sizes_and_scores(cosines: np.ndarray) -> None:
    _, axes = plots.new_axes(2, 2, width=9, height=7)
    spreads = [analysis.Spread("1st order", 0.1, 0.2, 0.5), analysis.Spread("2nd order", 0.1, 0.3, 0.4)]
    plots.draw_noise_to_signal(axes[0, 0], spreads)
    assert [bar.get_width() for bar in axes[0, 0].patches] == pytest.approx([0.4, 0.75])
    agreements = [analysis.top_agreement(cosines, k) for k in (2, 5)]
    plots.draw_agreement(axes[0, 1], agreements)
    assert axes[0, 1].lines[0].get_ydata().tolist() == [item.mean for item in agreements]
    plots.draw_group_sizes(axes[1, 0], {"a": np.array([3.0, 4.5]), "b": np.array([1.0, 0.4])})
    assert [bar.get_height() for bar in axes[1, 0].patches] == [3.0, 4.5, 1.0, 0.4]
    plots.draw_scores_by_number(axes[1, 1], {"raw": {1: [50.0, 52.0], 4: [55.0]}}, "M")
    assert axes[1, 1].lines[0].get_ydata().tolist() == [51, 55]
    plots.draw_mean_of_shuffles(axes[0, 0], targets.MeanOfShuffles(np.array([1, 4]), np.array([0.4, 0.2])))
    assert axes[0, 0].lines[-1].get_ydata().tolist() == [0.4, 0.2]
    plots.draw_teacher_rows(axes[0, 1], analysis.off_diagonal(cosines[:, 0])[:, 0], 2)
    assert "mean of 2" in lines_of(axes[0, 1])


def test_components_are_drawn_as_standard_deviations_and_divided_by_the_teachers() -> None:
    parts = (
        VariancePart("pair", 0.04, 0.01, 0.09, 0.7),
        VariancePart("teacher", -0.001, 0.0, 0.0016, 0.0),
        VariancePart("interaction", 0.01, 0.0081, 0.0121, 0.3),
    )
    _, ax = plots.new_axes()
    plots.draw_components(ax, parts, 4)
    one, mean = ([bar.get_width() for bar in bars] for bars in ax.containers if hasattr(bars, "patches"))
    assert one == pytest.approx([0.2, 0, 0.1]) and mean == pytest.approx([0.2, 0, 0.05])
    table = plots.component_frame(parts)
    assert table.loc["interaction"].tolist() == ["0.1000", "0.0900 to 0.1100", "30.0%"]
    assert table.loc["teacher", "standard deviation"] == "0.0000"
    plt.close("all")


def test_our_coefficients_stand_beside_the_papers() -> None:
    figure, ax = plots.new_axes()
    plots.draw_beside_paper(ax, {"1st order": 0.5, "2nd order": 1.25}, {"2nd order": 0.24, "1st order": 0.07})
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in ax.containers}
    assert widths == {"here": [50, 125], "the paper": [pytest.approx(7), 24]}
    assert [text.get_text() for text in ax.texts] == ["50%", "125%", "7%", "24%"]
    plots.png_bytes(figure)
