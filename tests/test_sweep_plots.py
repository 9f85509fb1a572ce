"""Pictures of sweeps show our numbers with intervals and the paper's as printed, each row in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from distillcse_kit import plots
from distillcse_kit.config import profile_named
from distillcse_kit.evaluation.statistics import seed_interval
from distillcse_kit.experiments.sweep_design import Analysis, Curve, Sweep
from distillcse_kit.experiments.sweep_result import SweepResult
from distillcse_kit.experiments.sweeps import SWEEPS
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.sweep_plots import show_sweep, sweep_figure


def values(seed: int, n: int = 5) -> list[float]:
    return np.random.default_rng(seed).normal(60, 1, n).tolist()


def made_up(name: str) -> SweepResult:
    """A result of the sweep's shape."""
    sweep = SWEEPS[name]
    if isinstance(sweep, Sweep):
        rows, columns = list(sweep.recipes(profile_named("laptop"))), ["dev", "stsb", "average"]
    elif name == "figure2":
        kinds = [("dev", ""), *((b, a) for a in ("read", "unread") for b in ("cross-entropy", "shuffled", "kl"))]
        rows = [Curve(label, *kind) for label in ("not shuffled", "Group-P") for kind in kinds]
        columns = ["5", "10", "15"]
    else:
        rows = list(sweep.published)
        columns = {
            "table5": ["dev", "stsb", "average"],
            "table8": list(next(iter(sweep.published.values()))),
            "table9": [f"{a}, {b}" for a in ("read", "unread", "dev") for b in ("cross-entropy", "KL")],
        }[name]
    table = {row: {column: values(7 * i + j) for j, column in enumerate(columns)} for i, row in enumerate(rows)}
    settings = {
        "profile": "laptop",
        "headline": "stsb",
        "dev": "stsb-dev",
        "teachers": 16,
        "corpus": {"sentences": 40_000},
    }
    return SweepResult(name, "key", settings, {"date": "2026-01-02", "versions": {"torch": "2"}}, table)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("name", [name for name in SWEEPS if name != "figure2"])
def test_a_picture_has_all_our_numbers_and_all_of_the_papers(name: str) -> None:
    result = made_up(name)
    figure = sweep_figure(result)
    drawn = [text for ax in figure.axes for text in texts(ax)]
    for row in result.table.values():
        for column in result.columns:
            assert str(seed_interval(row[column])) in drawn
    for numbers in SWEEPS[name].published.values():
        for number in numbers.values():
            assert f"{number:.2f}" in drawn
    plots.png_bytes(figure)


def test_a_published_number_stands_in_the_row_of_its_setting() -> None:
    result = made_up("table6-p")
    paper = sweep_figure(result).axes[-1]
    places = dict(zip(*(line.tolist() for line in map(np.asarray, reversed(paper.lines[0].get_data()))), strict=True))
    for place, row in enumerate(result.table):
        assert places[place] == SWEEPS["table6-p"].published[row]["dev"]


def test_figure_2_draws_the_mean_over_seeds_of_read_and_unread_batches() -> None:
    result = made_up("figure2")
    own, shuffled, dev = sweep_figure(result).axes
    drawn = {line.get_label(): np.asarray(line.get_ydata()) for line in own.lines}
    expected = [np.mean(row) for row in result.table["Group-P: unread, cross-entropy"].values()]
    assert drawn["Group-P, unread batches"] == pytest.approx(expected)
    assert len(shuffled.lines) == 4 and [line.get_label() for line in dev.lines] == ["not shuffled", "Group-P"]
    colours = {line.get_label(): line.get_color() for line in (*own.lines, *dev.lines)}
    assert colours["Group-P, read batches"] == colours["Group-P"]


def test_a_notebook_shows_where_a_sweep_is_from_and_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[bool, str | None]] = []
    result = made_up("table6-p")

    def found(lab: Laboratory, name: str, recompute: bool, teacher: str | None) -> SweepResult:
        asked.append((recompute, teacher))
        return result

    monkeypatch.setattr("distillcse_kit.plots.sweep_plots.sweep_result", found)
    show_sweep(Laboratory("smoke", store=tmp_path), "table6-p", tmp_path, recompute=True)
    printed = capsys.readouterr().out
    assert asked == [(True, None)] and "profile laptop, 40,000 sentences" in printed and "2026-01-02" in printed
    assert result.conclusion("dev") in printed and result.conclusion("average") in printed
    with Image.open(tmp_path / "table6_p.png") as image:
        assert '"sweep": "table6-p"' in image.text["Settings"]


def test_every_analysis_names_what_the_paper_has() -> None:
    assert all(sweep.published for name, sweep in SWEEPS.items() if isinstance(sweep, Analysis) and name != "figure2")
