"""What shuffling does to the teacher's targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from distillcse_kit.analysis.cost_of_shuffling import MeanOfShuffles, RowGroups, ShuffleCost
from distillcse_kit.plots.style import GREY, PALETTE, styled

# Notebook 03: Group-P


@styled()
def draw_groups(axes: Sequence[Axes], row: RowGroups) -> None:
    """One row under Group-P: its sorted logits coloured by group, and the targets before, after and on average.

    Args:
        axes: two Axes, logits above targets; targets are on a log scale, since otherwise only the first few would show.
        row: of ``targets.row_groups``.
    """
    logits, targets = axes
    ranks = np.arange(1, len(row.logits) + 1)
    colours = [PALETTE[group % len(PALETTE)] for group in row.groups]
    # All cosines of a row may be high: bars start just below the smallest, so that differences show.
    least = float(row.logits.min())
    bottom = least - 0.1 * (float(row.logits.max()) - least) - 1e-6
    _draw_bars(logits, ranks, bottom, row.logits, colours)
    logits.plot(ranks, row.shuffled, "k.", markersize=5)
    logits.set_ylabel("teacher's cosine\n(dots: shuffled once)")
    targets.plot(ranks, row.before, "-", color=GREY, linewidth=1.5, label="before")
    targets.scatter(ranks, row.after, color=colours, s=18, label="after one shuffle", zorder=3)
    targets.step(ranks, row.mean, "k", where="mid", linewidth=1.5, label="group mean: average of all shuffles")
    if targets.get_yscale() != "log":
        targets.set_yscale("log")
        targets.minorticks_off()
    targets.set_ylim(max(float(row.before.min()) / 3, 1e-18), 3)
    targets.set_ylabel("target q (log scale)")
    targets.set_xlabel("rank of the logit before shuffling (1 = largest)")
    targets.legend(loc="upper right")
    for ax in axes:
        edges = np.flatnonzero(np.diff(row.groups)) + 1.5
        ax.vlines(edges, 0, 1, transform=ax.get_xaxis_transform(), color="#BBBBBB", linewidth=0.8, zorder=0)
        ax.set_xlim(0.3, len(ranks) + 0.7)
        ax.grid(axis="x", visible=False)


def _draw_bars(
    ax: Axes, x: np.ndarray, bottom: float, tops: np.ndarray, colours: Sequence[str], width: float = 0.85
) -> None:
    """Bars as one artist, since explorers redraw dozens of them at every move."""
    left, right, low = x - width / 2, x + width / 2, np.full(len(x), bottom)
    corners = np.stack(
        [np.stack(pair, axis=-1) for pair in ((left, low), (left, tops), (right, tops), (right, low))], 1
    )
    ax.add_collection(PolyCollection(list(corners), facecolors=colours, alpha=0.45))


def cost_frame(costs: Mapping[str, ShuffleCost]) -> pd.DataFrame:
    """What each shuffle costs: cross-entropy and its two parts in nats, and how much of the order it keeps."""
    rows = {
        name: {
            "cross-entropy": cost.cross_entropy,
            "entropy of the targets": cost.entropy,
            "KL": cost.kl,
            "rank correlation": cost.rank_correlation,
        }
        for name, cost in costs.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").round(3)


@styled()
def draw_group_sizes(ax: Axes, sizes: Mapping[str, np.ndarray]) -> None:
    """Mean number of logits in each group, side by side for several ways to form groups."""
    width = 0.8 / max(len(sizes), 1)
    for index, (label, values) in enumerate(sizes.items()):
        x = np.arange(1, len(values) + 1) + (index - (len(sizes) - 1) / 2) * width
        bars = ax.bar(
            x, values, width, color=PALETTE[index % len(PALETTE)], label=label, hatch=("", "//", "..")[index % 3]
        )
        ax.bar_label(
            bars, [f"{value:.0f}" if value >= 1 else f"{value:.1f}" for value in values], fontsize=8, padding=2
        )
    ax.grid(axis="x", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=20, integer=True))
    ax.set_xlabel("group (1 = largest logits)")
    ax.set_ylabel("logits in the group, mean over rows")
    ax.legend()


@styled()
def draw_mean_of_shuffles(ax: Axes, result: MeanOfShuffles) -> None:
    """Distance of the mean of n shuffles from the group mean, falling as 1 / sqrt(n)."""
    ax.loglog(result.draws, result.distance, "o", color=PALETTE[0], label="measured")
    guide = result.distance[0] / np.sqrt(result.draws)
    ax.loglog(result.draws, guide, "--", color=GREY, linewidth=1.2, label="1 / sqrt(shuffles)")
    ax.set_xticks(result.draws, [str(count) for count in result.draws])
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("shuffles averaged")
    ax.set_ylabel("distance to the group mean's targets")
    ax.legend()
