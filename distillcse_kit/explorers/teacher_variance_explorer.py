"""Where teachers that differ in their seed disagree: in a batch, in a row, in one pair, and after averaging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets
from matplotlib.ticker import MaxNLocator

from distillcse_kit import analysis, plots
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import spearman
from distillcse_kit.explorers import controls
from distillcse_kit.explorers.base import Explorer, Picture, between, one_of, same_batch
from distillcse_kit.explorers.sheet import Sheet

HEAT, RANK, TWO, PAIR, AVERAGING = "heat maps", "by rank", "two teachers", "one pair", "averaging"

VIEWS = (HEAT, RANK, TWO, PAIR, AVERAGING)

TOP = 12

SUBSETS = 50  # of each size, in the curve of averages: enough for a curve that is drawn at every move


class TeacherVarianceExplorer(Explorer):
    """Cosines of M teachers on B batches, looked at in five ways.

    Args:
        cosines: [M, B, N, N]. sentences: those of each batch, [B][N].
        teacher_temperature: tau_t, the unit in which noise counts.

    Raises:
        KitError: fewer than two teachers, sentences that do not belong to the cosines, or a trait outside its range.
    """

    title = "Teacher variance: what another seed would have said"
    first = "look at one view after the other; then untick teachers until two are left."
    look = "bright stripes: sentences on which seeds disagree. Below each picture stands what it says."

    view = traitlets.Unicode(HEAT, help="one of VIEWS")
    batch = traitlets.Int(0, help="place of the batch")
    teachers = traitlets.Tuple(help="the chosen teachers, places from 0")
    teacher_a = traitlets.Int(0, help="on the horizontal axis of 'two teachers'")
    teacher_b = traitlets.Int(1, help="on the vertical axis of 'two teachers'")
    sentence_a = traitlets.Int(0, help="first sentence of 'one pair', place in the batch")
    sentence_b = traitlets.Int(1, help="second sentence of 'one pair'")
    averaged = traitlets.Int(1, help="M, how many of the chosen teachers 'averaging' takes")

    def __init__(
        self, cosines: np.ndarray, sentences: Sequence[Sequence[str]], teacher_temperature: float = 0.01
    ) -> None:
        self.cosines = np.asarray(cosines, dtype=np.float64)
        self.sentences = [list(batch) for batch in sentences]
        if self.cosines.ndim != 4 or len(self.cosines) < 2:
            raise KitError("The cosines must be [teachers, batches, N, N] of at least two teachers; train more.")
        if self.cosines.shape[1] != len(self.sentences):
            raise KitError(f"There are {len(self.sentences)} batches of sentences, {self.cosines.shape[1]} of cosines.")
        for batch in self.sentences:
            same_batch(self.cosines.shape[-1], batch)
        self.teacher_temperature = teacher_temperature
        self._sheets: dict[str, Sheet] = {}
        self._painters: dict[str, Callable[[], Picture]] = {
            HEAT: self._heat_maps,
            RANK: self._by_rank,
            TWO: self._two_teachers,
            PAIR: self._one_pair,
            AVERAGING: self._averaging,
        }
        self._options_of = -1  # the batch whose sentences the dropdowns offer
        everyone = range(len(self.cosines))
        self.teachers, self.averaged = tuple(everyone), min(4, len(self.cosines))
        by_seed = [(f"seed {teacher}", teacher) for teacher in everyone]
        offered = controls.sentence_options(self.sentences[0])
        super().__init__(
            {
                "view": controls.toggles("view", VIEWS),
                "teachers": controls.Checkboxes("teachers, by seed", {teacher: str(teacher) for teacher in everyone}),
                "batch": controls.int_slider("batch", 0, len(self.sentences) - 1),
                "averaged": controls.int_slider("M, averaged", 1, len(self.cosines)),
                "teacher_a": controls.choice_slider("teacher across", by_seed),
                "teacher_b": controls.choice_slider("teacher upwards", by_seed),
                "sentence_a": controls.dropdown("pair: sentence", offered),
                "sentence_b": controls.dropdown("pair: other sentence", offered),
            }
        )

    @traitlets.validate("view", "batch", "teachers", "teacher_a", "teacher_b", "sentence_a", "sentence_b", "averaged")
    def _in_range(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        last_teacher, last_sentence = len(self.cosines) - 1, self.cosines.shape[-1] - 1
        if name == "view":
            one_of(name, value, VIEWS)
        elif name == "teachers":
            for teacher in value:
                between("A teacher", teacher, 0, last_teacher)
            return tuple(sorted(set(value)))
        elif name == "averaged":
            between(name, value, 1, last_teacher + 1)
        elif name == "batch":
            between(name, value, 0, len(self.sentences) - 1)
        else:
            between(name, value, 0, last_teacher if name.startswith("teacher") else last_sentence)
        return value

    def adjust(self) -> None:
        if self._options_of != self.batch:
            for name in ("sentence_a", "sentence_b"):
                kept = getattr(self, name)
                self.controls[name].options = controls.sentence_options(self.sentences[self.batch])
                setattr(self, name, kept)
            self._options_of = self.batch
        belongs = {
            "teachers": self.view != TWO,
            "averaged": self.view == AVERAGING and len(self.teachers) > 1,
            "teacher_a": self.view == TWO,
            "teacher_b": self.view == TWO,
            "sentence_a": self.view == PAIR,
            "sentence_b": self.view == PAIR,
        }
        for name, useful in belongs.items():
            self.controls[name].disabled = not useful
        self.controls["averaged"].max = max(2, len(self.teachers))

    def paint(self) -> Picture:
        least = {TWO: 0, PAIR: 1}.get(self.view, 2)
        if len(self.teachers) < least:
            sheet = self._sheet("nothing", left=0, right=1, bottom=0, top=1, height=1)
            [ax] = sheet.wiped()
            ax.set_axis_off()
            needed = "one teacher" if least == 1 else "two teachers"
            ax.text(0.5, 0.5, f"{self.view}: tick at least {needed}", transform=ax.transAxes, ha="center", fontsize=12)
            return Picture(sheet.figure, f"This view needs at least {needed}: tick more of them.")
        return self._painters[self.view]()

    def _sheet(self, name: str, rows: int = 1, columns: int = 1, **settings: Any) -> Sheet:
        """The sheet of that name, made when it is first needed."""
        if name not in self._sheets:
            margins = {"left": 0.09, "right": 0.98, "bottom": 0.145, "top": 0.9}
            self._sheets[name] = Sheet(rows, columns, **{"height": 3.5, **margins, **settings})
        return self._sheets[name]

    @property
    def chosen(self) -> np.ndarray:
        """Cosines of the chosen teachers on the batch, [chosen, N, N]."""
        return self.cosines[list(self.teachers), self.batch]

    def _named(self, place: int) -> str:
        return f"{place}: {self.sentences[self.batch][place]}"

    def _heat_maps(self) -> Picture:
        sheet = self._sheet(HEAT, 1, 5, left=0.06, right=0.94, width_ratios=[1, 0.045, 0.36, 1, 0.045], wspace=0.06)
        mean_ax, mean_bar, between_them, spread_ax, spread_bar = sheet.wiped()
        between_them.set_axis_off()
        mean, spread = self.chosen.mean(axis=0), self.chosen.std(axis=0, ddof=1)
        plots.draw_heatmap(mean_ax, mean, "mean cosine over the teachers", "viridis", mean_bar)
        plots.draw_heatmap(spread_ax, spread, "standard deviation over the teachers", "magma", spread_bar)
        pairs = np.triu_indices(len(mean), 1)
        worst = int(np.argmax(spread[pairs]))
        i, j = int(pairs[0][worst]), int(pairs[1][worst])
        by_sentence = spread.sum(axis=1) / (len(spread) - 1)
        stripe = int(np.argmax(by_sentence))
        noise = float(np.sqrt((spread[pairs] ** 2).mean()))
        lines = [
            f"{len(self.teachers)} teachers on {len(mean)} sentences: mean cosine {mean[pairs].mean():.3f}, standard "
            f"deviation over pairs {mean[pairs].std(ddof=1):.3f}, over teachers {noise:.3f} "
            f"({noise / self.teacher_temperature:.1f} tau_t: a factor of "
            f"{np.exp(min(noise / self.teacher_temperature, 700)):.3g} in a target).",
            f"Brightest stripe, mean standard deviation {by_sentence[stripe]:.3f}: sentence {self._named(stripe)}",
            f"Most disputed pair, standard deviation {spread[i, j]:.3f}: sentences {self._named(i)} | {self._named(j)}",
        ]
        return Picture(sheet.figure, "\n".join(lines))

    def _by_rank(self) -> Picture:
        sheet = self._sheet(RANK)
        [ax] = sheet.wiped()
        found = analysis.spread_by_rank(self.chosen[:, None])
        plots.draw_spread_by_rank(ax, found)
        ax.set_title(f"the rows of batch {self.batch}, {len(self.teachers)} teachers")
        text = (
            f"Noise exceeds the gap to the next logit at {found.unsettled:.0%} of the ranks. At rank 1: noise "
            f"{found.noise[0]:.3f}, gap {found.gap[0]:.3f}. Over all ranks the noise is {found.noise.mean():.3f} "
            f"on average.\nWhere noise is above the gap, another seed would order those sentences otherwise."
        )
        return Picture(sheet.figure, text)

    def _two_teachers(self) -> Picture:
        sheet = self._sheet(TWO, left=0.25, right=0.75)
        [ax] = sheet.wiped()
        both = self.cosines[[self.teacher_a, self.teacher_b], self.batch]
        across, upwards = analysis.different_pairs(both)
        ax.plot(across, upwards, ".", color=plots.PALETTE[0], alpha=0.35, markersize=5, markeredgewidth=0)
        ends = [min(across.min(), upwards.min()), max(across.max(), upwards.max())]
        ax.plot(ends, ends, "--", color=plots.GREY, linewidth=1.2)
        ax.set_xlabel(f"cosine, teacher of seed {self.teacher_a}")
        ax.set_ylabel(f"cosine, teacher of seed {self.teacher_b}")
        ax.set_title(f"every pair of batch {self.batch}; dashed: both agree")
        if self.teacher_a == self.teacher_b:
            return Picture(sheet.figure, "A teacher agrees with itself everywhere; choose another one to compare with.")
        top = min(TOP, both.shape[-1] - 1)
        agreed = analysis.top_agreement(both[:, None], top)
        text = (
            f"{len(across)} pairs: Pearson {np.corrcoef(across, upwards)[0, 1]:.3f}, Spearman × 100 "
            f"{spearman(across, upwards):.1f}; on the {top} largest logits of a row only {agreed.mean:.1f}.\n"
            f"Seed {self.teacher_b}'s cosines lie {np.mean(upwards - across):+.3f} above seed {self.teacher_a}'s on "
            "average, which a softmax over a row does not see."
        )
        return Picture(sheet.figure, text)

    def _one_pair(self) -> Picture:
        sheet = self._sheet(PAIR)
        [ax] = sheet.wiped()
        i, j = self.sentence_a, self.sentence_b
        values = self.cosines[:, self.batch, i, j]
        used = np.isin(np.arange(len(values)), self.teachers)
        ax.plot(np.flatnonzero(~used), values[~used], "x", color=plots.GREY, label="left out")
        ax.plot(np.flatnonzero(used), values[used], "o", color=plots.PALETTE[0], label="chosen")
        mean, spread = values[used].mean(), values[used].std(ddof=1) if used.sum() > 1 else 0.0
        ax.axhline(mean, color=plots.PALETTE[1], label="mean of the chosen, ± 1 standard deviation")
        ax.axhspan(mean - spread, mean + spread, color=plots.PALETTE[1], alpha=0.15, linewidth=0)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=16, integer=True))
        ax.set(xlim=(-0.5, len(values) - 0.5), xlabel="teacher, by seed", ylabel="cosine of the pair")
        ax.margins(y=0.3)
        ax.legend(loc="upper right", ncols=3)
        pair = f"Sentences {self._named(i)} | {self._named(j)}"
        if i == j:
            return Picture(
                sheet.figure, f"{pair}\nA sentence with itself has cosine 1 for every teacher; choose another."
            )
        text = (
            f"{pair}\nMean {mean:.3f}, standard deviation over {used.sum()} teachers {spread:.3f}, "
            f"{values[used].min():.3f} to {values[used].max():.3f}. At temperature {self.teacher_temperature:g} one "
            f"standard deviation changes the pair's weight in a target by a factor of "
            f"{np.exp(min(spread / self.teacher_temperature, 700)):.3g}."
        )
        return Picture(sheet.figure, text)

    def _averaging(self) -> Picture:
        sheet = self._sheet(AVERAGING, left=0.12)
        [ax] = sheet.wiped()
        law = analysis.averaging_law(self.chosen[:, None], SUBSETS)
        m = min(self.averaged, len(self.teachers))
        plots.draw_averaging_law(ax, law, marked=m)
        ax.set_title(f"batch {self.batch}: variance of the mean of M of the {len(self.teachers)} teachers")
        text = (
            f"Mean of {m}: {law.noise_share(m):.1%} of the variance of a row's logits is noise of seeds "
            f"(one teacher: {law.noise_share(1):.1%}; all {len(self.teachers)}: "
            f"{law.noise_share(len(self.teachers)):.1%}).\nFloor {law.floor:.3g}, which all teachers share and no "
            f"averaging removes; noise {law.noise:.3g}, divided by M."
        )
        return Picture(sheet.figure, text)
