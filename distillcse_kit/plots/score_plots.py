"""Scores and their intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import spearman
from distillcse_kit.evaluation.statistics import seed_interval
from distillcse_kit.plots.style import GREY, LINES, PALETTE, styled


def t_interval(scores: Sequence[float] | pd.Series) -> tuple[float, float]:
    """Ends of the 95% t interval of ``seed_interval``, for seaborn's ``errorbar``."""
    interval = seed_interval(np.asarray(scores).tolist())
    return interval.low, interval.high


@styled()
def draw_score_table(ax: Axes, table: Mapping[str, Sequence[float]], baseline: str | None = None) -> None:
    """Scores of several methods: a small dot for each seed, the mean with its 95% t interval, the numbers at the right.

    Args:
        ax: to draw into; about 0.4 inches of height a row are enough.
        table: {label: scores over seeds}, drawn from top to bottom.
        baseline: a label whose mean is drawn as a line through all rows.

    Raises:
        KitError: an unknown baseline, or a row without finite scores.
    """
    if baseline is not None and baseline not in table:
        raise KitError(f"Unknown baseline {baseline!r}; choose one of {', '.join(table)}.")
    intervals = [seed_interval(scores) for scores in table.values()]
    points = [(row, score, label == baseline) for row, (label, scores) in enumerate(table.items()) for score in scores]
    frame = pd.DataFrame(points, columns=["row", "score", "baseline"])
    several = frame[frame.groupby("row")["score"].transform("size") > 1]
    look: dict[str, Any] = {"x": "score", "y": "row", "hue": "baseline", "palette": {True: GREY, False: PALETTE[0]}}
    look |= {"orient": "h", "native_scale": True, "legend": False, "ax": ax}
    below = several["row"] + 0.22  # dots do not hide the interval
    sns.stripplot(several.assign(row=below), jitter=False, size=4, alpha=0.55, **look)
    sns.pointplot(
        frame,
        errorbar=t_interval,
        err_kws={"linewidth": 2.5, "solid_capstyle": "butt"},
        linestyle="none",
        markers="D",
        markersize=7,
        markeredgewidth=1,
        **look,
    )
    for row, interval in enumerate(intervals):
        ax.annotate(
            str(interval),
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    if baseline is not None:
        ax.axvline(float(np.mean(table[baseline])), color=GREY, linestyle="--", linewidth=1.2, zorder=0)
    ax.set_yticks(range(len(table)), ["\n".join(textwrap.wrap(label, 34)) for label in table])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("Spearman × 100   (diamond and bar: mean, 95% interval; dots: seeds)")
    ax.set_ylabel("")


@styled()
def draw_pair_scatter(
    ax: Axes, predicted: Sequence[float] | np.ndarray, gold: Sequence[float] | np.ndarray, label: str
) -> None:
    """Cosine against gold similarity, a dot for each pair, with the Spearman correlation in the title."""
    sns.scatterplot(x=gold, y=predicted, color=PALETTE[0], alpha=0.3, s=16, linewidth=0, ax=ax)
    ax.set_xlabel("gold similarity")
    ax.set_ylabel("cosine")
    ax.set_title(f"{label}: Spearman × 100 = {spearman(predicted, gold):.1f}, {len(gold)} pairs")


def score_frame(table: Mapping[str, Mapping[str, Sequence[float]]]) -> pd.DataFrame:
    """{method: {task: scores over seeds}} as a table of "mean ± half width of the 95% interval", a row a method."""
    rows = {
        method: {task: str(seed_interval(scores)) for task, scores in tasks.items()} for method, tasks in table.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


@styled()
def draw_scores_by_number(ax: Axes, curves: Mapping[str, Mapping[int, Sequence[float]]], xlabel: str) -> None:
    """Scores against a positive number such as M, on a log scale: {label: {number: scores over seeds}}.

    Means with 95% t intervals; a number with one score has no interval.
    """
    for index, (label, points) in enumerate(curves.items()):
        sns.lineplot(
            # A little apart, so that intervals at the same number do not hide each other.
            x=[number * 1.03**index for number, scores in points.items() for _ in scores],
            y=[score for scores in points.values() for score in scores],
            errorbar=t_interval,
            err_style="bars",
            err_kws={"capsize": 3},
            color=PALETTE[index % len(PALETTE)],
            linestyle=LINES[index % len(LINES)],
            marker="o",
            markersize=7,
            markeredgewidth=0,
            solid_capstyle="butt",  # of the bars too: with another one, they are drawn longer than the intervals
            label=label,
            ax=ax,
        )
    numbers = sorted({number for points in curves.values() for number in points})
    ax.set_xscale("log")
    ax.set_xticks(numbers, [f"{number:g}" for number in numbers])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(xlabel)
    ax.set_ylabel("Spearman × 100 (bar: 95% interval)")
    ax.legend()
