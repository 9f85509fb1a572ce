"""Runs over their training: losses, dev scores, the information bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from distillcse_kit.errors import KitError
from distillcse_kit.plots.style import GREY, LINES, PALETTE, styled

History = Sequence[Mapping[str, float]]

AXIS_LABELS = {
    "dev": "dev score: Spearman × 100",
    "loss": "training loss (nats)",
    "contrastive": "contrastive loss (nats)",
    "distillation": "distillation loss (nats)",
}


@styled()
def draw_history(ax: Axes, histories: Mapping[str, Sequence[History]], value: str = "dev") -> None:
    """One value over training: a line of means for each label, and a band from the lowest to the highest seed.

    Args:
        ax: to draw into.
        histories: {label: ``Run.history`` of each seed}. Labels whose runs never logged the value are left out.
        value: a column of the history: dev, loss, contrastive or distillation.
    """
    _draw_seeds(ax, histories, value)
    _say(ax, AXIS_LABELS.get(value, value))


@styled()
def draw_information_bound(ax: Axes, histories: Mapping[str, Sequence[History]], batch_size: int) -> None:
    """The InfoNCE bound ln N - l_cl over training, in nats, under its ceiling ln N.

    I(h; h+) >= ln N - l_cl: the contrastive loss read as information. A batch of N can show at most ln N.

    Raises:
        KitError: a batch size below 1.
    """
    if batch_size < 1:
        raise KitError(f"batch_size is {batch_size}; it must be at least 1.")
    ceiling = float(np.log(batch_size))
    _draw_seeds(ax, histories, "contrastive", lambda loss: ceiling - loss)
    ax.axhline(ceiling, color=GREY, linestyle="--", linewidth=1.2, label=f"ceiling ln {batch_size} = {ceiling:.2f}")
    _say(ax, "ln N - contrastive loss (nats)")


def _draw_seeds(
    ax: Axes,
    histories: Mapping[str, Sequence[History]],
    value: str,
    shown: Callable[[float], float] = float,
) -> None:
    """Mean and range over seeds at each step at which any run has ``value``; ``shown`` of each value is drawn."""
    for number, (label, runs) in enumerate(histories.items()):
        points = [(row["step"], shown(row[value])) for history in runs for row in history if value in row]
        if not points:
            continue
        frame = pd.DataFrame(points, columns=["step", value])
        sns.lineplot(
            frame,
            x="step",
            y=value,
            errorbar=("pi", 100),  # percentiles 0 to 100
            err_kws={"alpha": 0.15, "linewidth": 0},
            color=PALETTE[number % len(PALETTE)],
            linestyle=LINES[number % len(LINES)],
            marker="o" if frame["step"].nunique() < 12 else "",
            markersize=5,
            markeredgewidth=0,
            label=label,
            legend=False,
            ax=ax,
        )


def _say(ax: Axes, ylabel: str) -> None:
    """Axis labels, and a legend below the axes if there is anything to name."""
    ax.set_xlabel("step   (line: mean of the seeds; band: lowest to highest)")
    ax.set_ylabel(ylabel)
    if ax.lines:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)
