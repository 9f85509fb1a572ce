"""Runs over their training: losses, dev scores, the information bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from distillcse_kit.errors import KitError
from distillcse_kit.plots.style import GREY, LINES, PALETTE, styled

History = Sequence[Mapping[str, float]]


def _by_step(runs: Sequence[History], value: str) -> tuple[np.ndarray, list[list[float]]]:
    """The steps at which any run has ``value``, and all runs' values at each."""
    found: dict[float, list[float]] = {}
    for history in runs:
        for row in history:
            if value in row:
                found.setdefault(row["step"], []).append(row[value])
    steps = sorted(found)
    return np.asarray(steps, dtype=float), [found[step] for step in steps]


AXIS_LABELS = {
    "dev": "dev score: Spearman × 100",
    "loss": "training loss (nats)",
    "contrastive": "contrastive loss (nats)",
    "distillation": "distillation loss (nats)",
}


@styled()
def draw_history(ax: Axes, histories: Mapping[str, Sequence[History]], value: str = "dev") -> None:
    """One value over training: a line of means for each label, and the band from the lowest to the highest seed.

    Args:
        ax: to draw into.
        histories: {label: ``Run.history`` of each seed}; labels whose runs never logged the value are left out.
        value: a column of the history: dev, loss, contrastive or distillation.
    """
    for number, (label, runs) in enumerate(histories.items()):
        steps, values = _by_step(runs, value)
        if not len(steps):
            continue
        colour, line = PALETTE[number % len(PALETTE)], LINES[number % len(LINES)]
        mark = "o" if len(steps) < 12 else ""
        ax.plot(steps, [np.mean(row) for row in values], line, color=colour, marker=mark, markersize=4, label=label)
        lowest, highest = [min(row) for row in values], [max(row) for row in values]
        ax.fill_between(steps, lowest, highest, color=colour, alpha=0.15, linewidth=0)
    ax.set_xlabel("step   (line: mean of the seeds; band: lowest to highest)")
    ax.set_ylabel(AXIS_LABELS.get(value, value))
    if ax.lines:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)


@styled()
def draw_information_bound(ax: Axes, histories: Mapping[str, Sequence[History]], batch_size: int) -> None:
    """The InfoNCE bound ln N - l_cl over training, in nats, under its ceiling ln N.

    I(h; h+) >= ln N - l_cl: the contrastive loss read as information; no batch of N can prove more than ln N.
    """
    if batch_size < 1:
        raise KitError(f"batch_size is {batch_size}; it must be at least 1.")
    ceiling = float(np.log(batch_size))
    for number, (label, runs) in enumerate(histories.items()):
        steps, losses = _by_step(runs, "contrastive")
        if not len(steps):
            continue
        colour, line = PALETTE[number % len(PALETTE)], LINES[number % len(LINES)]
        mark = "o" if len(steps) < 12 else ""
        ax.plot(
            steps,
            [ceiling - np.mean(row) for row in losses],
            line,
            color=colour,
            marker=mark,
            markersize=4,
            label=label,
        )
        lowest, highest = [ceiling - max(row) for row in losses], [ceiling - min(row) for row in losses]
        ax.fill_between(steps, lowest, highest, color=colour, alpha=0.15, linewidth=0)
    ax.axhline(ceiling, color=GREY, linestyle="--", linewidth=1.2, label=f"ceiling ln {batch_size} = {ceiling:.2f}")
    ax.set_xlabel("step   (line: mean of the seeds; band: lowest to highest)")
    ax.set_ylabel("ln N - contrastive loss (nats)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)
