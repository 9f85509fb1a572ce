"""One picture for each sweep: what this kit measured, with intervals, beside the paper's numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distillcse_kit.evaluation.scoring import PAPER_TASKS
from distillcse_kit.experiments.sweep_design import AVERAGE, Curve
from distillcse_kit.experiments.sweep_result import SweepResult, sweep_result
from distillcse_kit.experiments.sweeps import sweep_named
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.curve_plots import draw_history
from distillcse_kit.plots.score_plots import draw_score_table
from distillcse_kit.plots.style import GREY, PALETTE, new_axes, show, styled

PAPER = PALETTE[1]


@styled()
def draw_published(ax: Axes, rows: Sequence[str], numbers: Mapping[str, float]) -> None:
    """The paper's numbers, without a spread, in the order of our rows. A row that the paper lacks stays empty."""
    known = [(place, numbers[row]) for place, row in enumerate(rows) if row in numbers]
    ax.plot([number for _, number in known], [place for place, _ in known], "s", color=PAPER, markersize=7)
    for place, number in known:
        ax.annotate(
            f"{number:.2f}",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    if rows[0] in numbers:
        ax.axvline(numbers[rows[0]], color=GREY, linestyle="--", linewidth=1.2, zorder=0)
    ax.set_yticks(range(len(rows)), [""] * len(rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.locator_params(axis="x", nbins=4)  # the paper's numbers lie so close that tick labels are long


def show_sweep(
    lab: Laboratory, name: str, figures: str | Path = "", recompute: bool = False, teacher: str | None = None
) -> None:
    """Show a sweep in a notebook: where it is from, its picture, and what it shows.

    Args:
        lab: computes the sweep if the kit ships no result, or if ``recompute``.
        name: of the sweep; the picture is saved as ``figures``/name.png if ``figures`` is given.
        teacher: as for ``sweep_named``.
    """
    result = sweep_result(lab, name, recompute, teacher)
    of, made = result.settings, result.made
    print(
        f"{result.name}: profile {of['profile']}, {of['corpus']['sentences']:,} sentences, {of['teachers']} teachers, "
        f"dev {of['dev']}; made {made['date']} with torch {made['versions']['torch']}."
    )
    show(sweep_figure(result), name.replace("-", "_"), figures, {**of, "sweep": name, "made": made["date"]})
    for column in result.columns:
        print(result.conclusion(column))


@styled()
def sweep_figure(result: SweepResult) -> Figure:
    """One panel for each of ``result.columns``, and one for the paper's numbers if it has any.

    Each panel has its own axis, since another encoder has other scores. Compare the order of rows and their distances.
    """
    if result.name == "figure2":
        return _figure_2(result)
    if len(result.columns) > 3:
        return _many_columns(result)
    sweep, rows = sweep_named(result.name), list(result.table)
    published = {row: next(iter(numbers.items())) for row, numbers in sweep.published.items()}
    panels = len(result.columns) + bool(published)
    figure, axes = new_axes(1, panels, width=3 + 3.6 * panels, height=1.7 + 0.42 * len(rows))
    for ax, column in zip(axes, result.columns, strict=False):
        draw_score_table(ax, {row: result.table[row][column] for row in rows}, baseline=rows[0])
        ax.set_title(f"here: {_title(result, column)}")
        ax.set_xlabel("mean, 95% interval; dots: seeds")
        if ax is not axes[0]:
            ax.set_yticks(range(len(rows)), [""] * len(rows))
    if published:
        column = next(iter(published.values()))[0]
        draw_published(axes[-1], rows, {row: number for row, (_, number) in published.items()})
        axes[-1].set_title("the paper: " + {"average": "seven-task average", "dev": "STS-B dev"}[column])
        axes[-1].set_xlabel("BERT-base, no spread given")
    figure.suptitle(sweep.title, x=0.01, ha="left", fontweight="bold")
    return figure


def _title(result: SweepResult, column: str) -> str:
    """The title of a column of scores; the average names its tasks."""
    if column != AVERAGE:
        return result.settings["dev"] if column == "dev" else column
    return f"mean of {', '.join(task for task in PAPER_TASKS if task in next(iter(result.table.values())))}"


def _many_columns(result: SweepResult) -> Figure:
    """One panel for each column: ours above, the paper's below."""
    sweep, rows = sweep_named(result.name), list(result.table)
    theirs = list(next(iter(sweep.published.values()), {}))
    across = max(4, len(theirs)) if len(result.columns) % 3 else 3
    down = -(-len(result.columns) // across)
    figure, axes = new_axes(
        down + bool(theirs), across, width=3.4 * across + 1.2, height=(0.9 + 0.42 * len(rows)) * (down + bool(theirs))
    )
    grid = np.atleast_2d(axes)
    for ax, column in zip(grid[:down].flat, result.columns, strict=False):
        draw_score_table(ax, {row: result.table[row][column] for row in rows}, baseline=rows[0])
        ax.set_title(f"here: {column}", fontsize=10)
    for ax, column in zip(grid[-1] if theirs else (), theirs, strict=False):
        draw_published(ax, rows, {row: numbers[column] for row, numbers in sweep.published.items()})
        ax.set_title(f"the paper: {column}", fontsize=10)
    for ax in grid.flat:
        ax.set_xlabel("")
        if not ax.has_data():
            ax.set_axis_off()
    for line in grid:
        for ax in line[1:]:
            ax.set_yticks(range(len(rows)), [""] * len(rows))
        line[0].set_yticks(range(len(rows)), ["\n".join(textwrap.wrap(row, 24)) for row in rows])
    figure.suptitle(sweep.title, x=0.01, ha="left", fontweight="bold")
    return figure


def _figure_2(result: SweepResult) -> Figure:
    """Loss on batches used in training and on others, and the dev score, at each step."""
    figure, axes = new_axes(1, 3, width=14, height=4.4)
    panels = (
        ("against the teacher's own targets", "cross-entropy", ("read", "unread")),
        ("against shuffled targets", "shuffled", ("read", "unread")),
        ("dev score", "dev", ("",)),
    )
    for ax, (title, what, places) in zip(axes, panels, strict=True):
        histories = {}
        for where in places:
            for label in ("not shuffled", "Group-P"):
                row = result.table[Curve(label, what, where)]
                seeds = len(next(iter(row.values())))
                histories[f"{label}, {where} batches" if where else label] = [
                    [{"step": int(step), what: values[seed]} for step, values in row.items()] for seed in range(seeds)
                ]
        draw_history(ax, histories, what)
        ax.set_title(title)
        ax.set_ylabel("dev score: Spearman × 100" if what == "dev" else "distillation loss (nats)")
        ax.set_xlabel("step")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=len(places))
    figure.suptitle(sweep_named(result.name).title, x=0.01, ha="left", fontweight="bold")
    return figure
