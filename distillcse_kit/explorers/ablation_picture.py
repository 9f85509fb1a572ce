"""What the ablation explorer shows: differences from the chosen row, dev scores in training, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from distillcse_kit.evaluation.statistics import Comparison, seed_interval
from distillcse_kit.plots.style import GREY, LINES, PALETTE

Rows = Mapping[str, Mapping[int, float]]  # {row: {seed: score}}


def draw_differences(ax: Axes, rows: Rows, baseline: str, compared: Mapping[str, Comparison]) -> None:
    """One row per value: its differences from the baseline with the same seed, or its scores if there is no baseline.

    The test is of these differences. Bars of the scores themselves may overlap even where every seed gains.

    Args:
        ax: to draw into. rows: {label: {seed: score}}. baseline: the chosen row, which may be missing.
        compared: the comparisons of the other rows with it; rows that differ significantly get a star.
    """
    against = rows.get(baseline)
    ax.set_axis_on()
    if not rows:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no results are stored here", transform=ax.transAxes, ha="center")
        return
    decided = {label for label, comparison in compared.items() if comparison.decided}
    for place, (label, scores) in enumerate(rows.items()):
        values = (
            list(scores.values())
            if against is None
            else [score - against[seed] for seed, score in scores.items() if seed in against]
        )
        if not values:
            continue
        interval = compared[label].difference if label in compared else seed_interval(values)
        colour = GREY if label == baseline else PALETTE[1] if label in decided else PALETTE[0]
        half = interval.half_width if interval.n > 1 else 0.0
        ax.plot([interval.mean - half, interval.mean + half], [place, place], color=colour, linewidth=2.5)
        ax.plot(interval.mean, place, "D", color=colour, markersize=6.5)
        if label != baseline:
            ax.plot(values, np.full(len(values), place + 0.24), ".", color=colour, alpha=0.55, markersize=6)
    if against is not None:
        ax.axvline(0, color=GREY, linestyle="--", linewidth=1.2, zorder=0)
    ax.set_yticks(range(len(rows)), [f"{label} *" if label in decided else label for label in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    unit = "Spearman × 100" if against is None else "difference, paired by seed"
    ax.set_xlabel(f"{unit} (bar: 95% interval; dots: seeds)")


def draw_dev_scores(ax: Axes, curves: Mapping[int, Sequence[Mapping[str, float]]], steps: int, waiting: str) -> None:
    """Dev scores of the seeds in training, one line per seed.

    Args:
        ax: to draw into. curves: {seed: rows of its history}. steps: of one run.
        waiting: text to show until there is a score.
    """
    ax.set_title("dev score during training")
    for number, (seed, history) in enumerate(curves.items()):
        colour, line = PALETTE[number % len(PALETTE)], LINES[number % len(LINES)]
        at, scores = [row["step"] for row in history], [row["dev"] for row in history]
        ax.plot(at, scores, line, marker="o", markersize=4, color=colour, label=f"seed {seed}")
    ax.set_axis_on()
    if any(curves.values()) and steps:
        ax.set_xlim(0, 1.02 * steps)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        ax.set(xlabel="step", ylabel="Spearman × 100")
        ax.legend(loc="lower right", ncols=2)
        return
    ax.set_axis_off()
    ax.text(0.5, 0.5, waiting, transform=ax.transAxes, ha="center")


def comparison_table(symbol: str, rows: Rows, baseline: str, compared: Mapping[str, Comparison]) -> list[list[str]]:
    """The rows as a table of texts, headings first: mean, seeds, difference from the baseline, p-value, verdict."""
    if not rows:
        return []
    table = [[symbol, "mean ± 95% interval", "seeds"]]
    if compared:
        table[0] += ["difference, paired by seed", "p-value, Holm", ""]
    for label, scores in rows.items():
        cells = [label, str(seed_interval(list(scores.values()))), str(len(scores))]
        if label in compared:
            difference, adjusted = compared[label].difference, compared[label].adjusted
            interval = "" if difference.n == 1 else f" [{difference.low:+.2f}, {difference.high:+.2f}]"
            alone = difference.low > 0 or difference.high < 0
            mark = "*" if compared[label].decided else "only before correction" if alone else "not significant"
            cells += [f"{difference.mean:+.2f}{interval}", f"{adjusted:.3f}", mark]
        elif compared:
            cells += ["the chosen one" if label == baseline else "no seed in common", "", ""]
        table.append(cells)
    return table
