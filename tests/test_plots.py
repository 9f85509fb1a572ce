"""Figures show the numbers they are given, can be traced, and leave nothing open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from distillcse_kit import analysis, plots
from distillcse_kit.analysis import cost_of_shuffling as targets
from distillcse_kit.analysis.parts_of_variance import VariancePart
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import seed_interval

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
    draw = np.random.default_rng(0)
    seeds = draw.normal(60, 1, size=(5, 3))
    runs = [[{"step": 10 * place, "dev": value} for place, value in enumerate(seed)] for seed in seeds]
    _, ax = plots.new_axes()
    plots.draw_history(ax, {"nothing": [[{"step": 1, "loss": 1.0}]], "many": runs, **HISTORIES}, "dev")
    drawn = lines_of(ax)
    assert list(drawn) == ["many", "one", "two"]
    np.testing.assert_allclose(drawn["many"].get_ydata(), seeds.mean(axis=0), rtol=1e-14)
    assert drawn["one"].get_ydata().tolist() == [50, 52] and drawn["two"].get_ydata().tolist() == [42]
    assert [line.get_color() for line in ax.lines] == list(plots.PALETTE[1:4])
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    corners = ax.collections[0].get_paths()[0].vertices
    for step, values in enumerate(seeds.T):
        band = corners[corners[:, 0] == 10 * step, 1]
        assert (band.min(), band.max()) == (values.min(), values.max())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["many", "one", "two"]


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
    assert list(drawn)[-1] == "ceiling ln 64 = 4.16"
    with pytest.raises(KitError, match="at least 1"):
        plots.draw_information_bound(ax, HISTORIES, 0)


def test_a_score_table_shows_mean_interval_and_seeds() -> None:
    draw = np.random.default_rng(0)
    table = {"a": draw.normal(60, 1, 5).tolist(), "b": [49.0], "c": draw.normal(55, 2, 16).tolist(), "d": [51.0, 51.0]}
    _, ax = plots.new_axes()
    plots.draw_score_table(ax, table, baseline="c")
    *_, rule = ax.lines
    assert rule.get_xdata()[0] == pytest.approx(np.mean(table["c"]), rel=1e-14)
    diamonds, bars = {}, {}
    for line in ax.lines[:-1]:
        found = diamonds if line.get_marker() == "D" else bars
        across = np.asarray(line.get_xdata()).reshape(-1, 1 if line.get_marker() == "D" else 2)
        for row, x in zip(line.get_ydata(), across, strict=False):
            if not np.isnan(x).any():
                found[row] = (*x, line.get_color())
    dots = {round(y - 0.22): [] for collection in ax.collections for _, y in collection.get_offsets()}
    for collection in ax.collections:
        for x, y in collection.get_offsets():
            dots[round(y - 0.22)].append(x)
    assert dots == {row: scores for row, scores in enumerate(table.values()) if len(scores) > 1}
    for row, (label, scores) in enumerate(table.items()):
        interval = seed_interval(scores)
        colour = plots.GREY if label == "c" else plots.PALETTE[0]
        assert diamonds[row] == (pytest.approx(interval.mean, rel=1e-14), colour)
        assert (row in bars) == (len(scores) > 1)
        if row in bars:
            assert bars[row] == (*map(pytest.approx, (interval.low, interval.high)), colour)
    assert [text.get_text() for text in ax.texts] == [str(seed_interval(scores)) for scores in table.values()]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(table) and ax.yaxis_inverted()
    with pytest.raises(KitError, match="Unknown baseline 'e'"):
        plots.draw_score_table(ax, table, baseline="e")


def test_a_score_table_of_single_runs_has_no_intervals() -> None:
    _, ax = plots.new_axes()
    plots.draw_score_table(ax, {"a": [49.0], "b": [50.0]})
    assert [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "D"] == [[49, 50]]
    assert [text.get_text() for text in ax.texts] == ["49.00", "50.00"]
    assert not any(len(collection.get_offsets()) for collection in ax.collections)


def test_scores_by_number_show_the_t_interval() -> None:
    draw = np.random.default_rng(0)
    curves = {
        "raw": {m: draw.normal(60, 1, 16 // m).tolist() for m in (1, 4, 16)},
        "students": {4: draw.normal(60, 1, 5).tolist()},
    }
    _, ax = plots.new_axes()
    plots.draw_scores_by_number(ax, curves, "M")
    drawn = lines_of(ax)
    for index, (label, points) in enumerate(curves.items()):
        intervals = [seed_interval(scores) for scores in points.values()]
        assert drawn[label].get_xdata() == pytest.approx([number * 1.03**index for number in points])
        np.testing.assert_allclose(drawn[label].get_ydata(), [interval.mean for interval in intervals], rtol=1e-14)
        bars = [segment[:, 1] for segment in ax.collections[index].get_segments() if len(segment)]
        np.testing.assert_allclose(bars, [(interval.low, interval.high) for interval in intervals if interval.n > 1])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "4", "16"]


def test_a_scatter_names_its_correlation() -> None:
    _, ax = plots.new_axes()
    plots.draw_pair_scatter(ax, [0.1, 0.5, 0.4], [1, 2, 3], "base")
    assert ax.get_title(loc="left") == "base: Spearman × 100 = 50.0, 3 pairs"
    assert ax.collections[0].get_offsets().tolist() == [[1, 0.1], [2, 0.5], [3, 0.4]]


def test_frames_hold_the_numbers(cosines: np.ndarray) -> None:
    frame = plots.score_frame({"a": {"x": [1.0, 3.0], "y": [2.0]}, "b": {"x": [5.0]}})
    assert frame.loc["a", "y"] == "2.00" and frame.loc["b", "x"] == "5.00" and frame.loc["b", "y"] == ""
    cost = targets.ShuffleCost(2.5, 1.5, 0.25)
    assert plots.cost_frame({"s": cost}).loc["s"].tolist() == [2.5, 1.5, 1.0, 0.25]


def test_the_figures_of_notebook_02_show_their_results(cosines: np.ndarray) -> None:
    figure, (one, two, three) = plots.new_axes(1, 3, width=12)
    sample = analysis.TwoSamples("q", np.array([3.0, 2, 1]), np.array([9.0, 4]))
    plots.draw_sorted_magnitudes(one, sample)
    assert lines_of(one)["training batches (3)"].get_ydata().tolist() == [-np.inf, 1, 2, 3]
    np.testing.assert_allclose(lines_of(one)["training batches (3)"].get_xdata(), [100, 200 / 3, 100 / 3, 0], atol=1e-9)
    assert lines_of(one)["test (2)"].get_xdata().tolist() == [100, 50, 0]  # so many % of the values are larger
    rank = analysis.spread_by_rank(cosines)
    plots.draw_spread_by_rank(two, rank)
    np.testing.assert_allclose(two.lines[0].get_ydata(), rank.noise)
    np.testing.assert_allclose(two.lines[1].get_ydata(), rank.gap[:-1])
    law = analysis.averaging_law(cosines)
    plots.draw_averaging_law(three, law, marked=2)
    np.testing.assert_allclose(lines_of(three)["measured, mean over subsets"].get_ydata(), law.variance)
    assert f"M = 2: {law.noise_share(2):.0%} noise" in [text.get_text() for text in three.texts]
    plt.close(figure)


@pytest.mark.parametrize("quick", [False, True])
def test_a_heat_map_leaves_the_diagonal_out(cosines: np.ndarray, quick: bool) -> None:
    _, (ax, bar) = plots.new_axes(1, 2)
    plots.draw_heatmap(ax, cosines[0, 0], "mean", bar=bar if quick else None)
    [drawn] = ax.images if quick else ax.collections
    shown = np.ma.filled(drawn.get_array().astype(float), np.nan).reshape(8, 8)
    assert np.isnan(np.diag(shown)).all()
    off = ~np.eye(8, dtype=bool)
    np.testing.assert_allclose(shown[off], cosines[0, 0][off])
    assert drawn.get_clim() == (cosines[0, 0][off].min(), cosines[0, 0][off].max())
    assert ax.yaxis_inverted() and ax.get_aspect() in (1, "equal")


def test_bars_agreement_and_sizes(cosines: np.ndarray) -> None:
    _, axes = plots.new_axes(2, 2, width=9, height=7)
    spreads = [analysis.Spread("1st order", 0.1, 0.2, 0.5), analysis.Spread("2nd order", 0.1, 0.3, 0.4)]
    plots.draw_noise_to_signal(axes[0, 0], spreads)
    assert [bar.get_width() for bar in axes[0, 0].patches] == pytest.approx([0.4, 0.75])
    agreements = [analysis.top_agreement(cosines, k) for k in (2, 5)]
    plots.draw_agreement(axes[0, 1], agreements, (5, 99.0))
    assert axes[0, 1].lines[0].get_ydata() == pytest.approx([item.mean for item in agreements])
    band = axes[0, 1].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (
        min(item.by_batch.min() for item in agreements),
        max(item.by_batch.max() for item in agreements),
    )
    assert [text.get_text() for text in axes[0, 1].texts] == [f"{item.mean:.0f}" for item in agreements]
    plots.draw_group_sizes(axes[1, 0], {"a": np.array([3.0, 4.5]), "b": np.array([1.0, 0.4])})
    assert [bar.get_height() for bar in axes[1, 0].patches] == [3.0, 4.5, 1.0, 0.4]
    plots.draw_mean_of_shuffles(axes[0, 0], targets.MeanOfShuffles(np.array([1, 4]), np.array([0.4, 0.2])))
    assert axes[0, 0].lines[-1].get_ydata().tolist() == [0.4, 0.2]


def test_components_are_drawn_as_standard_deviations_and_divided_by_the_teachers() -> None:
    parts = (
        VariancePart("pair", 0.04, 0.01, 0.09, 0.7),
        VariancePart("teacher", -0.001, 0.0, 0.0016, 0.0),
        VariancePart("interaction", 0.01, 0.0081, 0.0121, 0.3),
    )
    _, ax = plots.new_axes()
    plots.draw_variance_parts(ax, parts, 4)
    one, mean = ([bar.get_width() for bar in bars] for bars in ax.containers if hasattr(bars, "patches"))
    assert one == pytest.approx([0.2, 0, 0.1]) and mean == pytest.approx([0.2, 0, 0.05])
    table = plots.variance_parts_frame(parts)
    assert table.loc["interaction"].tolist() == ["0.1000", "0.0900 to 0.1100", "30.0%"]
    assert table.loc["teacher", "standard deviation"] == "0.0000"
    plt.close("all")


def test_our_coefficients_stand_beside_the_papers() -> None:
    figure, ax = plots.new_axes()
    plots.draw_beside_paper(ax, {"1st order": 0.5, "2nd order": 1.25}, {"2nd order": 0.24, "1st order": 0.07})
    here, paper = ([bar.get_width() for bar in bars] for bars in ax.containers)
    assert here == [50, 125] and paper == pytest.approx([7, 24])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["here", "the paper"]
    assert [text.get_text() for text in ax.texts] == ["50%", "125%", "7%", "24%"]
    plots.png_bytes(figure)
