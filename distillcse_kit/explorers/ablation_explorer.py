"""Stored students along one knob, with intervals and marks; missing ones can be trained in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets
import traitlets

from distillcse_kit.duration import duration
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import Comparison, compare_by_seed, seed_interval
from distillcse_kit.experiments.ablation import CHOICES, SYMBOLS, Results, as_text, knobs, shown, turned
from distillcse_kit.explorers import controls
from distillcse_kit.explorers.ablation_picture import comparison_table, draw_dev_scores, draw_differences
from distillcse_kit.explorers.background import Worker
from distillcse_kit.explorers.base import Explorer, Picture, one_of
from distillcse_kit.explorers.sheet import Sheet
from distillcse_kit.training.loop import Cancelled, Progress, Watcher
from distillcse_kit.training.recipe import Recipe

REPAINT_SECONDS = 0.5  # between two pictures, so that drawing does not hold up training

Trainer = Callable[[Recipe, int, Watcher], float]


class AblationExplorer(Explorer):
    """Stored results along any one of six knobs, compared with a chosen setting.

    Args:
        results: {recipe: {seed: score}}, as ``ablation.Ablation.stored`` gives it.
        start: the recipe chosen at first; None takes the first of the results.
        trainer: trains one seed of a recipe and returns its score, as ``ablation.Ablation.train`` does; it calls
            its watcher after every step. None shows no buttons.
        seeds: of a complete setting; None takes those that occur in the results.
        choices: {knob: values that can be chosen}; those of the results are added. None takes ``ablation.CHOICES``
            if there is a trainer, and otherwise adds none.
        scored_on: name of the pairs.

    Raises:
        KitError: neither results nor a start were given, or a trait is set to a value that is not a choice.
    """

    title = "Ablations: what does one knob change?"
    first = "choose the knob to look along, then move it: the other rows are compared with the chosen one."
    look = (
        "a difference whose 95% interval leaves out 0; a star means that it is still significant after Holm's "
        "correction for all rows."
    )

    along = traitlets.Unicode("p", help="the knob whose values are the rows, a name of ``ablation.SYMBOLS``")
    p = traitlets.Float(help="p of Group-P; 0 does not shuffle")
    student_temperature = traitlets.Float(help="tau_s")
    teacher_temperature = traitlets.Float(help="tau_t")
    weight = traitlets.Float(help="lambda")
    teachers = traitlets.Int(help="M")
    pooling = traitlets.Unicode(help="of the student")

    def __init__(
        self,
        results: Results,
        start: Recipe | None = None,
        trainer: Trainer | None = None,
        seeds: Sequence[int] | None = None,
        choices: Mapping[str, Sequence[Any]] | None = None,
        scored_on: str = "dev",
    ) -> None:
        self.results = {recipe: dict(scores) for recipe, scores in results.items() if scores}
        if start is None and not self.results:
            raise KitError("There are no results; give a start, or train a student first.")
        self._start = start or next(iter(self.results))
        self.trainer, self.scored_on = trainer, scored_on
        self.seeds = sorted(seeds if seeds is not None else {seed for of in self.results.values() for seed in of})
        more = choices or (CHOICES if trainer else {})
        self.choices = {name: self._offered(name, self._start, more) for name in SYMBOLS}
        self.worker = Worker()
        self.message = ""
        self._training: Recipe | None = None
        self._last: tuple[str, Progress] | None = None  # the seed in training, and its progress
        self._curves: dict[int, list[dict[str, float]]] = {}
        self._repainted = self._began = 0.0
        self._sheet = Sheet(
            1, 2 if trainer else 1, height=3.2, left=0.13, right=0.985, bottom=0.165, top=0.89, wspace=0.22
        )
        for name, value in knobs(self._start).items():
            setattr(self, name, value)
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

    def _offered(self, name: str, start: Recipe, choices: Mapping[str, Sequence[Any]]) -> list[Any]:
        known = [*choices.get(name, ()), *(knobs(recipe)[name] for recipe in (start, *self.results))]
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
    def chosen(self) -> Recipe:
        """The recipe that the controls describe: one of the results, or a new one."""
        values = {name: getattr(self, name) for name in SYMBOLS}
        stored = (recipe for recipe in self.results if knobs(recipe) == values)
        return next(stored, None) or turned(self._start, **values)

    @property
    def missing(self) -> list[int]:
        """Seeds of the chosen setting without a stored result."""
        return [seed for seed in self.seeds if seed not in self.results.get(self.chosen, {})]

    def rows(self) -> dict[Any, dict[int, float]]:
        """{value of the knob looked along: {seed: score}} of the results that have all other knobs as chosen."""
        fixed = {name: getattr(self, name) for name in SYMBOLS if name != self.along}
        found = {
            knobs(recipe)[self.along]: scores
            for recipe, scores in self.results.items()
            if fixed.items() <= knobs(recipe).items()
        }
        return {value: found[value] for value in self.choices[self.along] if value in found}

    def adjust(self) -> None:
        busy = self._training is not None
        self.buttons["train"].disabled = busy or self.trainer is None or not self.missing
        self.buttons["cancel"].disabled = not busy or self.worker.cancelling

    def paint(self) -> Picture:
        left, *right = self._sheet.wiped()  # without a trainer there are no curves
        rows = {shown(self.along, value): scores for value, scores in self.rows().items()}
        baseline = shown(self.along, knobs(self.chosen)[self.along])
        compared = compare_by_seed(rows, baseline) if baseline in rows else {}
        than = "; no result for the chosen one" if baseline not in rows else ", minus the chosen one"
        left.set_title(f"{self.scored_on} along {SYMBOLS[self.along]}{than}")
        draw_differences(left, rows, baseline, compared)
        waiting = "no dev score yet" if self._training else "training started here appears here"
        for ax in right:
            draw_dev_scores(ax, self._curves, self._last[1].steps if self._last else 0, waiting)
        table = comparison_table(SYMBOLS[self.along], rows, baseline, compared)
        return Picture(self._sheet.figure, "\n".join(self._lines(compared)), table)

    def _lines(self, compared: Mapping[str, Comparison]) -> list[str]:
        scores = self.results.get(self.chosen, {})
        lines = [f"Chosen: {as_text(self.chosen)}."]
        if scores:
            count = f"{len(scores)} seed{'s' * (len(scores) > 1)}"
            lines.append(f"Stored: {seed_interval(list(scores.values()))} on {self.scored_on}, {count}.")
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
            return [f"Training {as_text(self._training)}: getting ready."]
        where, progress = self._last
        dev = f", dev {progress.history[-1]['dev']:.2f}" if progress.history else ""
        return [
            f"Training {as_text(self._training)}: {where}, step {progress.step} of {progress.steps}, "
            f"loss {progress.losses['loss']:.3f}{dev}; about {duration(self.seconds_left)} left in all."
        ]

    @property
    def seconds_left(self) -> float:
        """For all seeds in training, at the pace so far."""
        done, total = self.progress.value, self.progress.max
        return (time.monotonic() - self._began) / max(done, 1) * (total - done)

    # Training in the background

    def train(self) -> None:
        """Start training the missing seeds of the chosen setting. The page still answers meanwhile.

        Raises:
            KitError: there is no trainer, no seed is missing, or something is being trained already.
        """
        if self.trainer is None:
            raise KitError("There is no trainer; pass Ablation(lab, teachers).train as trainer.")
        if not self.missing:
            raise KitError("All seeds of this setting are stored already; choose another one.")
        if self._training is not None:
            raise KitError("Something is being trained already; wait for it, or cancel it.")
        self.worker.wait()  # the last training is done, and its thread is about to end
        self._training, self._last, self._curves, self.message = self.chosen, None, {}, ""
        self.progress.value, self.progress.layout.display, self._began = 0, "", time.monotonic()
        self._refresh()
        self.worker.start(partial(self._work, self.chosen, self.missing, self.trainer))

    def cancel(self) -> None:
        """Ask the training to stop after its present step; finished seeds are kept."""
        self.worker.cancel()
        self._refresh()

    def _work(self, recipe: Recipe, missing: Sequence[int], trainer: Trainer) -> None:
        """Runs in the worker's thread, so every error must be shown."""
        failure: Exception | None = None
        try:
            for number, seed in enumerate(missing):
                self.worker.check()
                self._refresh()
                score = trainer(recipe, seed, partial(self._stepped, seed, number, len(missing)))
                self.results.setdefault(recipe, {})[seed] = score
            self.message = f"Trained: {as_text(recipe)}."
        except Cancelled:
            self.message = f"Cancelled: {as_text(recipe)}. Finished seeds are stored."
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
