"""Group-P, step by step: the groups of one anchor's logits, its targets, and what a shuffle costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
import traitlets
from torch import Tensor

from distillcse_kit import plots
from distillcse_kit.analysis.cost_of_shuffling import RowGroups, ShuffleCost, row_groups, shuffle_cost
from distillcse_kit.explorers import controls
from distillcse_kit.explorers.base import Explorer, Picture, between, one_of, same_batch
from distillcse_kit.explorers.sheet import Sheet
from distillcse_kit.method.shuffling import group_p_shuffle

LAST_SEED = 9_999


class GroupPExplorer(Explorer):
    """Group-P shuffling (Equations 5 and 6 of the paper) of one anchor sentence i.

    Above: the teacher's cosines t_ij in their groups. Below: the targets q_j = softmax_{j != i}(t_ij / tau_t) before a
    shuffle, after it, and averaged over all shuffles. The words say what this shuffle costs a student, in nats.

    Args:
        cosines: the teacher's cosines on one batch, [N, N], N at least 4. sentences: the batch's N sentences.
        p: where the slider starts.
        teacher_temperature, student_temperature: tau_t of the targets, and tau_s of the student.

    Raises:
        KitError: there is not one sentence for each row of the cosines, or a trait is set outside its range.
    """

    title = "Group-P, step by step"
    first = "move p from 0.01 to 1. Then press Shuffle a few times."
    look = (
        "each coloured block is a group. A shuffle moves dots only inside their block. Black steps: the mean of all "
        "shuffles."
    )

    row = traitlets.Int(0, help="the anchor: its place in the batch, from 0")
    p = traitlets.Float(0.1, help="share of the probability in each group, 0.01 to 1")
    temperature = traitlets.Float(1.0, help="of the softmax that cuts the groups, one of ``temperatures``; paper: 1")
    batch_size = traitlets.Int(4, help="how many sentences, from the anchor on: 4 to N")
    rank = traitlets.Int(1, help="bar whose sentence is shown: 1 (largest logit) to batch_size - 1")
    seed = traitlets.Int(0, help="of the shuffle, 0 to 9,999")

    def __init__(
        self,
        cosines: Tensor | np.ndarray,
        sentences: Sequence[str],
        p: float = 0.1,
        teacher_temperature: float = 0.01,
        student_temperature: float = 0.02,
    ) -> None:
        self.cosines = torch.as_tensor(np.asarray(cosines)).float()
        self.sentences = list(sentences)
        same_batch(self.cosines.shape[-1], self.sentences)
        self.teacher_temperature, self.student_temperature = teacher_temperature, student_temperature
        n = len(self.sentences)
        self.temperatures = sorted({teacher_temperature, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0})
        self._sheet = Sheet(2, height=3.7, left=0.105, right=0.99, bottom=0.125, top=0.92, hspace=0.08)
        self.p, self.batch_size = p, n
        button = widgets.Button(description="Shuffle", icon="random", tooltip="Shuffle again, with the next seed")
        super().__init__(
            {
                "row": controls.dropdown("anchor sentence", controls.sentence_options(self.sentences), wide=True),
                "p": controls.float_slider("p", 0.01, 1, 0.01),
                "temperature": controls.choice_slider(
                    "grouping temperature", [(f"{value:g}", value) for value in self.temperatures]
                ),
                "batch_size": controls.int_slider("batch size", 4, n),
                "rank": controls.int_slider("bar to read", 1, n - 1),
                "seed": controls.number("seed of the shuffle", 0, LAST_SEED),
            },
            {"shuffle": button},
        )
        self.on_press("shuffle", self.shuffle)

    @traitlets.validate("row", "p", "batch_size", "rank", "seed", "temperature")
    def _in_range(self, proposal: Any) -> Any:
        n, last = len(self.sentences), self.batch_size - 1
        ranges = {"row": (0, n - 1), "p": (0.01, 1), "batch_size": (4, n), "rank": (1, last), "seed": (0, LAST_SEED)}
        name, value = proposal["trait"].name, proposal["value"]
        if name == "p":
            value = round(value, 6)  # a slider gives 0.11000000000000001
        if name in ranges:
            between(name, value, *ranges[name])
        else:
            one_of(name, value, self.temperatures)
        return value

    def adjust(self) -> None:
        self.controls["rank"].max = self.batch_size - 1

    def shuffle(self) -> None:
        """Take the next seed."""
        self.seed = (self.seed + 1) % (LAST_SEED + 1)

    @property
    def rows(self) -> np.ndarray:
        """The batch: places of the anchor and of the sentences after it; after the last one comes the first."""
        return (self.row + np.arange(self.batch_size)) % len(self.sentences)

    def paint(self) -> Picture:
        rows = self.rows
        batch = self.cosines[rows][:, rows]
        found = row_groups(batch, 0, self.p, self.temperature, self.teacher_temperature, self.seed)
        axes = self._sheet.wiped()
        plots.draw_groups(axes, found)
        for ax in axes:
            ax.axvspan(self.rank - 0.5, self.rank + 0.5, color="black", alpha=0.12, linewidth=0)
        axes[0].tick_params(labelbottom=False)
        axes[0].set_title(plots.plain(f"anchor: {self.sentences[self.row]}", 100))
        return Picture(self._sheet.figure, "\n".join(self._lines(rows, batch, found)))

    def _lines(self, rows: np.ndarray, batch: Tensor, found: RowGroups) -> list[str]:
        sizes = found.sizes
        shown = (
            ", ".join(map(str, sizes)) if len(sizes) <= 20 else " to ".join(map(str, sorted({min(sizes), max(sizes)})))
        )
        moved = 0.5 * float(np.abs(found.after - found.before).sum())
        now, before = self._cost(batch, shuffled=True), self._cost(batch, shuffled=False)
        bar = self.rank - 1
        lines = [
            f"{len(sizes)} group{'s' * (len(sizes) > 1)} of {shown} logits, cut by a softmax at temperature "
            f"{self.temperature:g} (targets: {self.teacher_temperature:g}).",
            f"This shuffle moves {moved:.0%} of the anchor's target probability to other sentences.",
            f"A student that copies the teacher's cosines would have these batch means, at its temperature "
            f"{self.student_temperature:g}: cross-entropy {now.cross_entropy:.2f} nats "
            f"({before.cross_entropy:.2f} unshuffled), KL {now.kl:.2f} ({before.kl:.2f}). "
            f"Rank correlation with the unshuffled logits: {now.rank_correlation:.2f}.",
            f"Bar {self.rank} (grey band): cosine {found.logits[bar]:.3f}, target {found.before[bar]:.2g} before, "
            f"{found.after[bar]:.2g} after, {found.mean[bar]:.2g} on average. Its sentence: "
            f"{self.sentences[rows[found.columns[bar]]]}",
        ]
        if max(sizes) == 1:
            lines.append("Each group has one logit, so nothing can be shuffled. Raise p.")
        elif len(sizes) == 1:
            lines.append("All logits are in one group: the teacher's whole order is lost.")
        return lines

    def _cost(self, batch: Tensor, shuffled: bool) -> ShuffleCost:
        """Of this very shuffle: its seed shuffles the whole batch."""

        def shuffle(cosines: Tensor, generator: torch.Generator) -> Tensor:
            return group_p_shuffle(cosines, self.p, self.temperature, generator) if shuffled else cosines

        return shuffle_cost(batch, shuffle, self.student_temperature, self.teacher_temperature, 1, self.seed)
