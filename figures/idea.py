"""Draw idea.png, the picture of the method at the top of the README: python figures/idea.py

A sketch: the cosines are made up, while averaging and Group-P are the kit's own functions.
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from distillcse_kit.method.shuffling import group_p_assignments, group_p_shuffle

SENTENCES, TEACHERS, P, NOISE = 25, 4, 0.2, 0.035
TEACHER_MARKS = [("o", "#222222"), ("s", "#56b4e9"), ("^", "#d55e00"), ("D", "#009e73")]
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"]


def made_up_teachers() -> torch.Tensor:
    """Cosines of one anchor (sentence 0) with all sentences: a common truth, and noise of each teacher's own [M, N]."""
    truth = torch.linspace(0.75, 0.25, SENTENCES - 1)
    noise = NOISE * torch.randn(TEACHERS, SENTENCES - 1, generator=torch.Generator().manual_seed(3))
    return torch.cat([torch.ones(TEACHERS, 1), truth + noise], dim=1)


def draw() -> Figure:
    """The three steps from left to right, over the same axes."""
    teachers = made_up_teachers()
    mean = teachers.mean(dim=0)
    square = torch.zeros(SENTENCES, SENTENCES)
    square[0] = mean
    groups = group_p_assignments(square, P)[0, 1:]
    shuffled = group_p_shuffle(square, P, generator=torch.Generator().manual_seed(187))[0, 1:]
    order = mean[1:].argsort(descending=True)
    places = range(1, SENTENCES)

    figure = Figure(figsize=(12, 3.9), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, sharey=True)
    axes[0].set_title(
        "1  Teachers that differ only in their seed\nagree on near and far, not on the order", fontsize=12
    )
    for number, (row, (shape, colour)) in enumerate(zip(teachers, TEACHER_MARKS, strict=True), start=1):
        axes[0].plot(places, row[1:][order], shape, color=colour, markersize=4.5, label=f"teacher {number}")
    axes[0].legend(frameon=False, loc="upper right", fontsize=10, ncols=2, handletextpad=0.1, columnspacing=1)
    axes[1].set_title("2  Average the teachers:\nmost of the noise cancels", fontsize=12)
    axes[1].bar(places, mean[1:][order], color="#9aa5b1", width=0.85)
    axes[2].set_title("3  Group-P: shuffle inside groups,\nanew at every step of training", fontsize=12)
    colours = [COLOURS[int(group) % len(COLOURS)] for group in groups[order]]
    axes[2].bar(places, mean[1:][order], color=colours, width=0.85, alpha=0.5)
    axes[2].plot(places, shuffled[order], "o", color="black", markersize=4, label="what the student is taught")
    axes[2].legend(frameon=False, loc="upper right", fontsize=10, title="one colour: one group", title_fontsize=10)
    axes[0].set_ylabel("cosine with one sentence", fontsize=11)
    for number, panel in enumerate(axes):
        panel.set(ylim=(0.15, 0.87), xticks=[])
        panel.set_xlabel("the other sentences of the batch", fontsize=11)
        panel.spines[["top", "right"]].set_visible(False)
        if number:
            panel.annotate("", (-0.01, 0.5), (-0.10, 0.5), "axes fraction", arrowprops={"arrowstyle": "-|>", "lw": 2})
    return figure


if __name__ == "__main__":
    draw().savefig(Path(__file__).parent / "idea.png", dpi=110)
