"""Average any of the teachers: what are the targets, how soft are they, do the teachers agree, what is the score?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from distillcse_kit.analysis.cost_of_shuffling import row_targets
from distillcse_kit.analysis.softness import Softness, rank_agreement
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import spearman
from distillcse_kit.evaluation.statistics import seed_interval
from distillcse_kit.explorers import controls
from distillcse_kit.explorers.base import Explorer, Picture, between, chosen_teachers, same_batch
from distillcse_kit.explorers.sheet import Sheet, say_instead
from distillcse_kit.plots.style import GREY, PALETTE

TOP = 12  # ranks in the picture
LISTED = 5  # sentences in the table


class EnsembleExplorer(Explorer):
    """The mean of the chosen teachers' cosines (Equation 7 of the paper), beside each teacher alone.

    Left: the targets of one anchor sentence i, softmax_{j != i}(mean_m t^m_ij / tau_t). Right: scores of the averaged
    teachers, and of students that learn from such means.

    Args:
        cosines: of M teachers on one batch, [M, N, N]. sentences: the batch's N sentences.
        pairs: cosines of n graded pairs, [M, n], and their gold scores, [n]; None: no scores are shown.
        students: {m: scores over seeds of students of the first m teachers}, on the same pairs.
        teacher_temperature: tau_t of the targets.
        scored_on: name of the pairs.

    Raises:
        KitError: sentences or pairs do not fit the cosines, or a trait is set outside its range.
    """

    title = "Ensembles: average any of the teachers"
    first = "untick teachers until few are left. Then tick them again, one by one."
    look = "left: how far the dots scatter, and how little the bars move. Right: how the score grows with M."

    teachers = traitlets.Tuple(help="the chosen teachers, numbered from 0")
    row = traitlets.Int(0, help="the anchor: its place in the batch, from 0")

    def __init__(
        self,
        cosines: np.ndarray,
        sentences: Sequence[str],
        pairs: tuple[np.ndarray, Sequence[float]] | None = None,
        students: Mapping[int, Sequence[float]] | None = None,
        teacher_temperature: float = 0.01,
        scored_on: str = "dev",
    ) -> None:
        self.cosines, self.sentences = np.asarray(cosines, dtype=np.float64), list(sentences)
        same_batch(self.cosines.shape[-1], self.sentences)
        self.pairs = pairs
        self.students = {m: seed_interval(scores) for m, scores in sorted((students or {}).items())}
        if pairs is not None and np.shape(pairs[0]) != (len(self.cosines), len(pairs[1])):
            raise KitError("pairs needs the cosines of all its pairs under every teacher: [teachers, pairs].")
        self.teacher_temperature, self.scored_on = teacher_temperature, scored_on
        everyone = range(len(self.cosines))
        self.targets = np.stack([self._targets(own) for own in self.cosines])
        self.softness = Softness(self.cosines, teacher_temperature)
        self.agreement = rank_agreement(self.cosines)
        self.nested = [self.score(range(m + 1)) for m in everyone]
        self.alone = [self.score([teacher]) for teacher in everyone]
        self._sheet = Sheet(1, 2, height=3.3, left=0.07, right=0.99, bottom=0.15, top=0.9, wspace=0.2)
        self.teachers = tuple(everyone)
        super().__init__(
            {
                "teachers": controls.teacher_boxes(len(everyone)),
                "row": controls.dropdown("anchor sentence", controls.sentence_options(self.sentences), wide=True),
            }
        )

    @traitlets.validate("teachers", "row")
    def _in_range(self, proposal: Any) -> Any:
        if proposal["trait"].name == "row":
            between("row", proposal["value"], 0, len(self.sentences) - 1)
            return proposal["value"]
        return chosen_teachers(proposal["value"], len(self.cosines))

    def _targets(self, cosines: np.ndarray) -> np.ndarray:
        return row_targets(torch.from_numpy(cosines), self.teacher_temperature).numpy()

    def score(self, teachers: Sequence[int] | range) -> float:
        """Spearman x 100 between the mean cosines of these teachers and the gold scores; nan without pairs."""
        if self.pairs is None:
            return float("nan")
        return spearman(self.pairs[0][list(teachers)].mean(axis=0), self.pairs[1])

    def paint(self) -> Picture:
        left, right = self._sheet.wiped()
        chosen = list(self.teachers)
        score = self.score(chosen) if chosen else float("nan")
        self._draw_scores(right, chosen, score)
        if not chosen:
            say_instead(left, "no teacher is chosen")
            return Picture(
                self._sheet.figure, "No teacher is chosen, so there is nothing to average. Tick at least one."
            )
        left.set_axis_on()
        mean = self.cosines[chosen].mean(axis=0)
        target = self._targets(mean)[self.row]
        order = np.argsort(-target)[:TOP]
        self._draw_targets(left, target[order], self.targets[chosen, self.row][:, order])
        return Picture(self._sheet.figure, "\n".join(self._lines(chosen, score)), self._table(chosen, target, order))

    def _draw_targets(self, ax: Axes, mean: np.ndarray, single: np.ndarray) -> None:
        ranks = np.arange(1, len(mean) + 1)
        ax.vlines(ranks, 0, mean, color=PALETTE[0], alpha=0.4, linewidth=16)
        across = np.broadcast_to(ranks, single.shape)
        ax.plot(across.ravel(), single.ravel(), ".", color=PALETTE[1], markersize=6)
        ax.set(xlim=(0.3, TOP + 0.7), ylim=(0, 1.02), xlabel="rank under the mean (1 = largest)")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        ax.set_ylabel("target q")
        ax.set_title("targets: mean (bars), single teachers (dots)")  # a legend takes long to draw
        ax.grid(axis="x", visible=False)

    def _draw_scores(self, ax: Axes, chosen: Sequence[int], score: float) -> None:
        ax.set_title(f"scores on {self.scored_on}")
        if self.pairs is None:
            say_instead(ax, "no graded pairs were given")
            return
        count = len(self.cosines)
        ax.plot(np.ones(count), self.alone, ".", color=GREY, markersize=5, label="one teacher")
        ax.plot(range(1, count + 1), self.nested, "-", color=GREY, linewidth=1.5, label="mean of the first M")
        if self.students:
            sizes, means = np.array(list(self.students)), [interval.mean for interval in self.students.values()]
            half = np.nan_to_num(
                [interval.half_width for interval in self.students.values()]
            )  # one seed has no interval
            ax.errorbar(
                sizes + 0.08,
                means,
                half,
                fmt="s",
                color=PALETTE[2],
                capsize=3,
                markersize=5,
                label="student of the first M",
            )
        if chosen:
            ax.plot(len(chosen), score, "D", color=PALETTE[1], markersize=8, label="mean of the chosen")
        ax.set(xlim=(0.5, count + 0.5), xlabel="M, number of teachers averaged", ylabel="Spearman × 100")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        low, high = ax.get_ylim()
        ax.set_ylim(
            low - 0.25 * (high - low), high
        )  # room for the legend; matplotlib's search for a free place takes too long
        ax.legend(loc="lower right", ncols=2, fontsize=8)

    def _lines(self, chosen: list[int], score: float) -> list[str]:
        count = len(self.cosines)
        lines = [f"Mean of {len(chosen)} of {count} teachers: seeds {', '.join(map(str, chosen))}."]
        if len(chosen) > 1:
            soft = self.softness.effective_temperature(chosen)
            inside = self.agreement[np.ix_(chosen, chosen)][np.triu_indices(len(chosen), 1)].mean()
            lines += [
                "A bar is not the mean of its dots: cosines are averaged before the softmax. Effective temperature: "
                f"{soft:.4f}; at it, one teacher's targets are as soft as the mean's at {self.teacher_temperature:g}.",
                f"Agreement between two of the chosen teachers on the order of a row, Spearman × 100: {inside:.1f}.",
            ]
        else:
            lines.append("With one teacher, nothing is averaged and no agreement can be measured. Tick another one.")
        if self.pairs is not None:
            alone = [self.alone[teacher] for teacher in chosen]
            lines.append(
                f"The averaged teachers score {score:.2f} on {self.scored_on}. Each of them alone: "
                f"{np.mean(alone):.2f} on average, {min(alone):.2f} to {max(alone):.2f}."
            )
        if self.students:
            stored = "; ".join(f"M = {m}: {interval}" for m, interval in self.students.items())
            lines.append(f"Students distilled from the first M teachers (mean ± 95% interval over seeds): {stored}.")
        return lines

    def _table(self, chosen: list[int], target: np.ndarray, order: np.ndarray) -> list[list[str]]:
        others = np.delete(np.arange(len(self.sentences)), self.row)
        single = self.targets[chosen, self.row]
        rows = [["target", "single teachers", "nearest sentences under the mean"]]
        for place in order[:LISTED]:
            span = f"{single[:, place].min():.2f} to {single[:, place].max():.2f}"
            rows.append([f"{target[place]:.2f}", span, self.sentences[others[place]]])
        return rows
