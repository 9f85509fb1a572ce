"""Stored students along one knob, with intervals and marks; what is not stored is trained in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from distillcse_kit.duration import duration
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import Comparison, compare_by_seed, seed_interval
from distillcse_kit.experiments.ablation import CHOICES, SYMBOLS, Knobs, Results, shown
from distillcse_kit.explorers import controls
from distillcse_kit.explorers.background import Worker
from distillcse_kit.explorers.base import Explorer, Picture, one_of
from distillcse_kit.explorers.sheet import Sheet
from distillcse_kit.plots.style import GREY, LINES, PALETTE
from distillcse_kit.training.loop import Cancelled, Progress, Watcher

REPAINT_SECONDS = 0.5  # between two pictures of a training, so that it is not kept from its work

Trainer = Callable[[Knobs, int, Watcher], float]


class AblationExplorer(Explorer):
    """A table of stored results that is turned along any of its six knobs, around a chosen setting.

    Args:
        results: {setting: {seed: score}}, as ``ablation.Ablation.stored`` gives it.
        start: the setting chosen at first; None takes the first of the results.
        trainer: trains one seed of a setting and returns its score, as ``ablation.Ablation.train`` does, calling what
            watches it after every step; None: there are no buttons.
        seeds: of a complete setting; None takes those that occur in the results.
        choices: {knob: values that can be chosen}; those of the results are added. None takes ``ablation.CHOICES``
            if there is a trainer, and else no others.
        scored_on: name of the pairs.

    Raises:
        KitError: neither results nor a start were given, or a trait is set to what is no choice.
    """

    title = "Ablations: what does one knob change?"
    first = "choose along which knob to look, then move that knob: the other rows are compared with the chosen one."
    look = (
        "a difference whose 95% interval leaves out 0; a star if it is still significant after Holm's correction for "
        "all rows."
    )

    along = traitlets.Unicode("p", help="the knob whose values are the rows, a name of ``ablation.SYMBOLS``")
    p = traitlets.Float(help="of Group-P, 0: not shuffled")
    student_temperature = traitlets.Float(help="tau_s")
    teacher_temperature = traitlets.Float(help="tau_t")
    weight = traitlets.Float(help="lambda")
    teachers = traitlets.Int(help="M")
    pooling = traitlets.Unicode(help="of the student")

    def __init__(
        self,
        results: Results,
        start: Knobs | None = None,
        trainer: Trainer | None = None,
        seeds: Sequence[int] | None = None,
        choices: Mapping[str, Sequence[Any]] | None = None,
        scored_on: str = "dev",
    ) -> None:
        self.results = {knobs: dict(scores) for knobs, scores in results.items() if scores}
        if start is None and not self.results:
            raise KitError("There are no results; give a start, or train a student first.")
        start = start or next(iter(self.results))
        self.trainer, self.scored_on = trainer, scored_on
        self.seeds = sorted(seeds if seeds is not None else {seed for of in self.results.values() for seed in of})
        more = choices or (CHOICES if trainer else {})
        self.choices = {name: self._offered(name, start, more) for name in SYMBOLS}
        self.worker = Worker()
        self.message = ""
        self._training: Knobs | None = None
        self._last: tuple[str, Progress] | None = None  # the seed in training, and how far it is
        self._curves: dict[int, list[dict[str, float]]] = {}
        self._repainted = self._began = 0.0
        self._sheet = Sheet(
            1, 2 if trainer else 1, height=3.2, left=0.13, right=0.985, bottom=0.165, top=0.89, wspace=0.22
        )
        for name in SYMBOLS:
            setattr(self, name, getattr(start, name))
        super().__init__(
            {
                "along": controls.toggles("look along", [(symbol, name) for name, symbol in SYMBOLS.items()]),
                **{name: self._control(name) for name in SYMBOLS},
            },
            {
                "train": widgets.Button(description="Train this setting now", icon="play", layout={"width": "200px"}),
                "cancel": widgets.Button(description="Cancel", icon="stop"),
            },
        )
        self.on_press("train", self.train)
        self.on_press("cancel", self.cancel)
        if trainer is None:
            for button in self.buttons.values():
                button.layout.display = "none"
        self.progress = widgets.IntProgress(0, 0, 1, description="training", layout={"width": controls.WIDTH})
        self.progress.layout.display = "none"
        self.progress.add_class("dk-progress")
        heading, moving, *rest = self.box.children
        self.box.children = (heading, moving, self.progress, *rest)

    def _offered(self, name: str, start: Knobs, choices: Mapping[str, Sequence[Any]]) -> list[Any]:
        known = [*choices.get(name, ()), *(getattr(knobs, name) for knobs in (start, *self.results))]
        return list(dict.fromkeys(known)) if name == "pooling" else sorted(set(known))

    def _control(self, name: str) -> widgets.DOMWidget:
        options = [(shown(name, value), value) for value in self.choices[name]]
        return controls.choice_slider(SYMBOLS[name], options)

    @traitlets.validate("along", *SYMBOLS)
    def _known(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        one_of(name, value, list(SYMBOLS) if name == "along" else self.choices[name])
        return value

    @property
    def chosen(self) -> Knobs:
        """The setting that the controls say."""
        return Knobs(**{name: getattr(self, name) for name in SYMBOLS})

    @property
    def missing(self) -> list[int]:
        """Seeds of the chosen setting that are not stored."""
        return [seed for seed in self.seeds if seed not in self.results.get(self.chosen, {})]

    def rows(self) -> dict[Any, dict[int, float]]:
        """{value of the knob looked along: {seed: score}} of what is stored and else agrees with the chosen setting."""
        others = [name for name in SYMBOLS if name != self.along]
        found = {
            getattr(knobs, self.along): scores
            for knobs, scores in self.results.items()
            if all(getattr(knobs, name) == getattr(self.chosen, name) for name in others)
        }
        return {value: found[value] for value in self.choices[self.along] if value in found}

    def adjust(self) -> None:
        busy = self._training is not None
        self.buttons["train"].disabled = busy or self.trainer is None or not self.missing
        self.buttons["cancel"].disabled = not busy or self.worker.cancelling

    def paint(self) -> Picture:
        left, *right = self._sheet.wiped()  # without a trainer there are no curves
        rows = {shown(self.along, value): scores for value, scores in self.rows().items()}
        baseline = shown(self.along, getattr(self.chosen, self.along))
        compared = compare_by_seed(rows, baseline) if baseline in rows else {}
        self._draw_rows(left, rows, baseline, compared)
        for ax in right:
            self._draw_curves(ax)
        return Picture(self._sheet.figure, "\n".join(self._lines(compared)), self._table(rows, baseline, compared))

    def _draw_rows(
        self, ax: Axes, rows: Mapping[str, Mapping[int, float]], baseline: str, compared: Mapping[str, Comparison]
    ) -> None:
        against = rows.get(baseline)
        than = "no result for the chosen one" if against is None else "minus the chosen one"
        ax.set_title(f"{self.scored_on} along {SYMBOLS[self.along]}; {than}")
        ax.set_axis_on()
        if not rows:
            ax.set_axis_off()
            ax.text(0.5, 0.5, "nothing is stored here", transform=ax.transAxes, ha="center")
            return
        decided = {label for label, comparison in compared.items() if comparison.decided}
        for place, (label, scores) in enumerate(rows.items()):
            # What is tested is the difference of the same seed: bars of the scores may overlap where it is plain.
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
        places = range(len(rows))
        ax.set_yticks(places, [f"{label} *" if label in decided else label for label in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.grid(axis="y", visible=False)
        unit = "Spearman × 100" if against is None else "difference, paired by seed"
        ax.set_xlabel(f"{unit} (bar: 95% interval; dots: seeds)")

    def _draw_curves(self, ax: Axes) -> None:
        ax.set_title("dev score in training")
        for number, (seed, history) in enumerate(self._curves.items()):
            colour, line = PALETTE[number % len(PALETTE)], LINES[number % len(LINES)]
            steps, scores = [row["step"] for row in history], [row["dev"] for row in history]
            ax.plot(steps, scores, line, marker="o", markersize=4, color=colour, label=f"seed {seed}")
        ax.set_axis_on()
        if any(self._curves.values()) and self._last:
            ax.set_xlim(0, 1.02 * self._last[1].steps)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            ax.set(xlabel="step", ylabel="Spearman × 100")
            ax.legend(loc="lower right", ncols=2)
            return
        ax.set_axis_off()
        waiting = "the first dev score is still to come" if self._training else "what is trained here appears here"
        ax.text(0.5, 0.5, waiting, transform=ax.transAxes, ha="center")

    def _lines(self, compared: Mapping[str, Comparison]) -> list[str]:
        scores = self.results.get(self.chosen, {})
        lines = [f"Chosen: {self.chosen}."]
        if scores:
            lines.append(f"Stored: {seed_interval(list(scores.values()))} on {self.scored_on}, {len(scores)} seeds.")
        if self.missing:
            how = "; choose another value" if self.trainer is None else "" if self._training else "; press Train"
            lines.append(f"No result is stored for {len(self.missing)} of its {len(self.seeds)} seeds{how}.")
        if compared:
            stars = sum(comparison.decided for comparison in compared.values())
            lines.append(
                f"{stars} of {len(compared)} other rows {'differs' if stars == 1 else 'differ'} significantly from the "
                "chosen one (*: p-value below 0.05 after Holm's correction)."
            )
        return [*lines, *self._news()]

    def _news(self) -> list[str]:
        if self._training is None:
            return [self.message] if self.message else []
        if self._last is None:
            return [f"Training {self._training}: getting ready."]
        where, progress = self._last
        dev = f", dev {progress.history[-1]['dev']:.2f}" if progress.history else ""
        return [
            f"Training {self._training}: {where}, step {progress.step} of {progress.steps}, "
            f"loss {progress.losses['loss']:.3f}{dev}; in all about {duration(self.seconds_left)} left."
        ]

    @property
    def seconds_left(self) -> float:
        """Of all seeds in training, at the pace so far."""
        done, total = self.progress.value, self.progress.max
        return (time.monotonic() - self._began) / max(done, 1) * (total - done)

    def _table(
        self, rows: Mapping[str, Mapping[int, float]], baseline: str, compared: Mapping[str, Comparison]
    ) -> list[list[str]]:
        if not rows:
            return []
        table = [[SYMBOLS[self.along], "mean ± 95% interval", "seeds"]]
        if compared:
            table[0] += ["difference, paired by seed", "p-value, Holm", ""]
        for label, scores in rows.items():
            cells = [label, str(seed_interval(list(scores.values()))), str(len(scores))]
            if label in compared:
                difference, adjusted = compared[label].difference, compared[label].adjusted
                interval = "" if difference.n == 1 else f" [{difference.low:+.2f}, {difference.high:+.2f}]"
                alone = difference.low > 0 or difference.high < 0
                mark = "*" if compared[label].decided else "alone, but not after Holm" if alone else "not significant"
                cells += [f"{difference.mean:+.2f}{interval}", f"{adjusted:.3f}", mark]
            elif compared:
                cells += ["the chosen one" if label == baseline else "no common seed", "", ""]
            table.append(cells)
        return table

    # Training in the background

    def train(self) -> None:
        """Begin to train what is missing of the chosen setting; the page goes on answering.

        Raises:
            KitError: there is nothing to train with, nothing missing, or a training already.
        """
        if self.trainer is None:
            raise KitError("No laboratory was given that could train; pass Ablation(lab, teachers).train as trainer.")
        if not self.missing:
            raise KitError("This setting is stored with all its seeds; choose another one.")
        if self._training is not None:
            raise KitError("Something is being trained already; wait for it, or cancel it.")
        self.worker.wait()  # the last one has said its last word, and is about to end
        self._training, self._last, self._curves, self.message = self.chosen, None, {}, ""
        self.progress.value, self.progress.layout.display, self._began = 0, "", time.monotonic()
        self._refresh()
        self.worker.start(partial(self._work, self.chosen, self.missing, self.trainer))

    def cancel(self) -> None:
        """Ask the training to stop after its present step; seeds that are finished stay."""
        self.worker.cancel()
        self._refresh()

    def _work(self, knobs: Knobs, missing: Sequence[int], trainer: Trainer) -> None:
        """In the worker's thread: whatever happens here must be seen."""
        failure: Exception | None = None
        try:
            for number, seed in enumerate(missing):
                self.worker.check()
                self._refresh()
                score = trainer(knobs, seed, partial(self._stepped, seed, number, len(missing)))
                self.results.setdefault(knobs, {})[seed] = score
            self.message = f"Trained: {knobs}."
        except Cancelled:
            self.message = f"Cancelled: {knobs}. Seeds that were finished are stored."
        except Exception as error:
            failure = error
            self.message = f"The last training failed: {error}"
        self._training = None
        self.progress.layout.display = "none"
        self._refresh()
        if failure is not None:
            self.show_error(failure)

    def _stepped(self, seed: int, number: int, seeds: int, progress: Progress) -> None:
        self.worker.check()
        self._last = f"seed {seed} ({number + 1} of {seeds})", progress
        self.progress.max = progress.steps * seeds
        self.progress.value = progress.steps * number + progress.step
        news = len(progress.history) > len(self._curves.get(seed, []))
        self._curves[seed] = progress.history
        if news or time.monotonic() - self._repainted > REPAINT_SECONDS:
            self._refresh()

    def _refresh(self) -> None:
        with self._drawing:
            self.adjust()
            self.repaint()
        self._repainted = time.monotonic()
