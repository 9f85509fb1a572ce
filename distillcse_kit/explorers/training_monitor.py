"""A training run while it runs: its loss, its dev score, a bound on shared information, and the time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from IPython.display import display
from matplotlib.axes import Axes

from distillcse_kit.duration import duration
from distillcse_kit.errors import KitError
from distillcse_kit.explorers import controls
from distillcse_kit.explorers.base import Explorer, Picture, between, is_headless
from distillcse_kit.explorers.sheet import Sheet
from distillcse_kit.plots.curve_plots import History
from distillcse_kit.plots.style import GREY, PALETTE
from distillcse_kit.training.loop import Progress, Watcher
from distillcse_kit.training.run import Run

LONGEST = 50


class TrainingMonitor(Explorer):
    """Watches one run: pass ``on_step`` to whatever trains, or let ``watch`` do it all.

    Left: the loss in nats. Middle: the dev score. Right: ln N - l_cl, in nats, where l_cl is the contrastive loss
    (Equation 1 of the paper). It is a lower bound of the mutual information of a sentence's two views, I(h; h+), and
    cannot exceed its ceiling ln N.

    Args:
        label: what is trained.
        batch_size: N, sentences per batch of the training.
        every: seconds between two pictures, so that the run is not slowed down. A dev score is shown at once.
        clock: returns the time in seconds.

    Raises:
        KitError: a batch of fewer than two sentences, or ``smoothing`` outside its range.
    """

    title = "Training, live"
    first = "watch the loss fall. Then move the smoothing."
    look = (
        "a dev score that still rises after the information bound (right) has reached its ceiling. From there on, the "
        "loss does not show how good the embeddings are."
    )

    smoothing = traitlets.Int(10, help="steps in the running mean of the losses, 1 to 50")

    def __init__(
        self, label: str, batch_size: int, every: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if batch_size < 2:
            raise KitError(f"batch_size is {batch_size}; a batch needs at least two sentences.")
        self.label, self.batch_size, self.every, self.clock = label, batch_size, every, clock
        self.steps: list[Progress] = []
        self.history: History = []
        self._began = self._painted = -math.inf
        self._sheet = Sheet(1, 3, height=3, left=0.065, right=0.985, bottom=0.17, top=0.89, wspace=0.27)
        super().__init__({"smoothing": controls.int_slider("smoothing (steps)", 1, LONGEST)})

    @traitlets.validate("smoothing")
    def _in_range(self, proposal: Any) -> Any:
        between("smoothing", proposal["value"], 1, LONGEST)
        return proposal["value"]

    def adjust(self) -> None:
        self.controls["smoothing"].disabled = not self.steps  # a run from the store has no single steps

    def on_step(self, progress: Progress) -> None:
        """Keep a step, and repaint if it is time."""
        now = self.clock()
        if not self.steps:
            self._began = now
            self.controls["smoothing"].disabled = False
        news = len(progress.history) > len(self.history)
        self.steps.append(progress)
        self.history = progress.history
        self._now = now
        if news or progress.step == progress.steps or now - self._painted >= self.every:
            self.repaint()
            self._painted = self.clock()

    def watch(
        self,
        train: Callable[[Watcher], Run],
        name: str,
        folder: str | Path = "",
        settings: Mapping[str, Any] | None = None,
    ) -> Run:
        """Show the monitor, train, and return the run.

        Args:
            train: called with ``on_step``. If it only loads a run, the stored history is shown.
            name, folder, settings: of the still figure of the finished run, as in ``show``.
        """
        if not is_headless():
            display(self.box)
        run = train(self.on_step)
        self.history = run.history
        self.repaint()
        self.show_static(name, folder, settings)
        return run

    @property
    def seconds_left(self) -> float:
        """Seconds left at the pace so far; nan before the second step."""
        if len(self.steps) < 2:
            return math.nan
        last = self.steps[-1]
        pace = (self._now - self._began) / (last.step - self.steps[0].step)
        return pace * (last.steps - last.step)

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of one loss: running means over steps, or, for a stored run, the means in its history."""
        if not self.steps:
            rows = [row for row in self.history if name in row]
            return np.array([row["step"] for row in rows]), np.array([row[name] for row in rows])
        taken = [step for step in self.steps if name in step.losses]
        values = np.array([step.losses[name] for step in taken])
        sums = np.concatenate([[0.0], np.cumsum(values)])
        ends = np.arange(1, len(values) + 1)
        begins = np.maximum(ends - self.smoothing, 0)
        return np.array([step.step for step in taken]), (sums[ends] - sums[begins]) / (ends - begins)

    def paint(self) -> Picture:
        loss_ax, dev_ax, bound_ax = self._sheet.wiped()
        ceiling = math.log(self.batch_size)
        steps, losses = self.curve("loss")
        at, contrastive = self.curve("contrastive")
        _line(loss_ax, "loss (nats)", steps, losses, PALETTE[0])
        dev_steps, devs = np.array([row["step"] for row in self.history]), [row["dev"] for row in self.history]
        _line(dev_ax, "dev: Spearman × 100", dev_steps, np.array(devs), PALETTE[1])
        _line(bound_ax, "bound: ln N - contrastive (nats)", at, ceiling - contrastive, PALETTE[2])
        bound_ax.axhline(ceiling, color=GREY, linestyle="--", linewidth=1.2)
        bound_ax.set_ylim(min(0.0, *(ceiling - contrastive)) if len(at) else 0.0, 1.12 * ceiling)
        bound_ax.text(
            0.02,
            ceiling,
            f"ceiling: ln {self.batch_size} (batch size)",
            transform=bound_ax.get_yaxis_transform(),
            va="bottom",
        )
        if self.steps:
            for ax in (loss_ax, dev_ax, bound_ax):
                ax.set_xlim(0, 1.02 * self.steps[-1].steps)
        return Picture(self._sheet.figure, "\n".join(self._lines(losses, contrastive)))

    def _lines(self, losses: np.ndarray, contrastive: np.ndarray) -> list[str]:
        if not len(losses) and not self.history:
            return [f"{self.label}: not started yet."]
        lines = [self._where()]
        now = [f"Loss {losses[-1]:.3f}{self._over()}"] if len(losses) else []
        if self.history:
            best = max(self.history, key=lambda row: row["dev"])
            now.append(f"dev {self.history[-1]['dev']:.2f} (best {best['dev']:.2f} at step {best['step']})")
        else:
            now.append("no dev score yet")
        lines.append(f"{', '.join(now)}.")
        ceiling = math.log(self.batch_size)
        if len(contrastive):
            lines.append(
                f"Information bound: the two views of a sentence share at least {ceiling - contrastive[-1]:.2f} nats; "
                f"a batch of {self.batch_size} can show at most {ceiling:.2f}."
            )
        else:
            lines.append("This run has no contrastive loss, so there is no information bound.")
        return lines

    def _over(self) -> str:
        """How many steps the last loss is a mean of, in words."""
        count = min(self.smoothing, len(self.steps))
        return f" over the last {count} steps" if count > 1 else ""

    def _where(self) -> str:
        if not self.steps:
            return f"{self.label}: loaded from the store. Shown is its stored history, not single steps."
        last = self.steps[-1]
        share = f"{self.label}: step {last.step} of {last.steps}"
        if last.step == last.steps:
            return f"{share}, finished."
        if math.isnan(self.seconds_left):
            return f"{share}."
        return f"{share}, about {duration(self.seconds_left)} left."


def _line(ax: Axes, title: str, steps: np.ndarray, values: np.ndarray, colour: str) -> None:
    ax.plot(steps, values, color=colour, marker="o" if len(steps) < 12 else "", markersize=4)
    ax.set_title(title)
    ax.set_xlabel("step")
