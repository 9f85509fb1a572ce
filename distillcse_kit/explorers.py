"""Turn a knob, see the idea: ipywidgets over the same compute and draw functions as the static figures.

An explorer's picture is a PNG in an Image widget. It is not drawn inside an Output widget, because that one swallows
exceptions, so that a broken explorer would pass for a working one.
"""

from __future__ import annotations

import html
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure
from torch import Tensor

from distillcse_kit import plots
from distillcse_kit.errors import KitError
from distillcse_kit.targets import row_groups
from distillcse_kit.variance import AveragingLaw, off_diagonal

HEADLESS = "DISTILLCSE_HEADLESS"
_WIDE = widgets.Layout(width="640px")
_LABEL = {"description_width": "170px"}


@dataclass(frozen=True)
class Picture:
    """What an explorer shows in one state: a figure, and one line or a few that put it into words (plain text)."""

    figure: Figure
    text: str


class Explorer:
    """Controls, a picture and a few words, redrawn whenever a control moves.

    Args:
        title: what the explorer is about. hint: what to try first, and what to look for.
        controls: {name: widget with a ``value``}, in the order shown.
        paint: pure; called with the controls' values by name, gives the ``Picture``.

    Raises:
        Whatever ``paint`` raises: on construction, and on setting a control's value from Python. When a reader moves a
        control, the exception's text is shown in place of the words as well.
    """

    def __init__(
        self, title: str, hint: str, controls: Mapping[str, widgets.ValueWidget], paint: Callable[..., Picture]
    ) -> None:
        self.title, self.hint = title, hint
        self.controls = dict(controls)
        self.paint = paint
        self.image = widgets.Image(format="png")
        self.words = widgets.HTML()
        self.repaint()
        for control in self.controls.values():
            control.observe(self._moved, names="value")

    @property
    def state(self) -> dict[str, Any]:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def repaint(self) -> None:
        """Draw the present state."""
        picture = self.paint(**self.state)
        self.image.width = str(int(picture.figure.get_figwidth() * 105))
        self.image.value = plots.png_bytes(picture.figure, self.state, title=self.title)
        self.words.value = _as_html(picture.text)

    def _moved(self, change: object) -> None:
        try:
            self.repaint()
        except Exception:
            # A front end writes exceptions of callbacks into a log that nobody reads, so they are shown here too.
            self.image.value = b""
            self.words.value = f"<pre style='color:#B00020'>{html.escape(traceback.format_exc())}</pre>"
            raise

    @property
    def box(self) -> widgets.VBox:
        """The whole explorer as one widget."""
        heading = widgets.HTML(f"<b>{html.escape(self.title)}</b><br>{html.escape(self.hint)}")
        return widgets.VBox([heading, *self.controls.values(), self.image, self.words])

    def show(self, name: str, folder: str | Path = "", settings: Mapping[str, Any] | None = None) -> None:
        """Display the explorer; without a front end (DISTILLCSE_HEADLESS is set), the figure of its present state.

        Args:
            name, folder: the present state's figure is saved as folder/name.png if a folder is given.
            settings: as in ``plots.show``; the controls' values are added.
        """
        headless = bool(os.environ.get(HEADLESS))
        if headless or folder:
            picture = self.paint(**self.state)
            traced = {**(settings or {}), "controls": self.state}
            plots.show(picture.figure, name, folder, traced, displayed=headless)
            if headless:
                print(picture.text)
        if not headless:
            display(self.box)


def _as_html(text: str) -> str:
    return "<br>".join(html.escape(line) for line in text.splitlines())


def slider(label: str, value: int, least: int, most: int) -> widgets.IntSlider:
    """An integer slider that redraws when it is let go."""
    return widgets.IntSlider(
        value,
        least,
        most,
        description=label,
        continuous_update=False,
        style=_LABEL,
        layout=_WIDE,
        disabled=least == most,
    )


def sentence_choice(sentences: Sequence[str]) -> widgets.Dropdown:
    """A dropdown of the batch's sentences; its value is the row."""
    options = [(f"{row}: {sentence[:80]}", row) for row, sentence in enumerate(sentences)]
    return widgets.Dropdown(options=options, value=0, description="anchor sentence", style=_LABEL, layout=_WIDE)


def group_p_explorer(
    cosines: Tensor, sentences: Sequence[str], p: float = 0.1, teacher_temperature: float = 0.01
) -> Explorer:
    """Group-P step by step on one batch.

    Args:
        cosines: the teacher's, [N, N]. sentences: the batch's N sentences.
        p: where the slider starts. teacher_temperature: tau_t of the targets.

    Raises:
        KitError: cosines and sentences do not belong to one batch, or p is outside (0, 1].
    """
    _same_batch(cosines.shape[-1], sentences)

    def paint(row: int, p: float, temperature: float, shuffle: int) -> Picture:
        found = row_groups(cosines, row, p, temperature, teacher_temperature, seed=shuffle)
        figure, axes = plots.new_axes(2, 1, width=8, height=6)
        plots.draw_groups(axes, found)
        axes[0].set_title(plots.plain(f"anchor: {sentences[row]}", 90))
        nearest = [
            f"{found.logits[rank]:.2f}  {sentences[found.columns[rank]]}" for rank in range(min(3, len(found.columns)))
        ]
        moved = 0.5 * float(np.abs(found.after - found.before).sum())
        lines = [
            f"{len(found.sizes)} groups of {', '.join(map(str, found.sizes))} logits. "
            f"This shuffle moves {moved:.0%} of the target's probability to other sentences.",
            "Nearest for the teacher:",
            *nearest,
        ]
        return Picture(figure, "\n".join(lines))

    controls = {
        "row": sentence_choice(sentences),
        "p": widgets.FloatSlider(
            p, min=0.01, max=1, step=0.01, description="p", continuous_update=False, style=_LABEL, layout=_WIDE
        ),
        "temperature": widgets.ToggleButtons(
            options=[("1 (the paper's)", 1.0), (f"{teacher_temperature} (teacher's)", teacher_temperature)],
            description="temperature of the cut",
            style=_LABEL,
        ),
        "shuffle": slider("shuffle number", 0, 0, 50),
    }
    return Explorer(
        "Group-P, step by step",
        "Move p from 0.01 to 1, then the shuffle number: colours are groups, and no dot leaves its colour's band.",
        controls,
        paint,
    )


def ensemble_explorer(cosines: np.ndarray, sentences: Sequence[str], law: AveragingLaw) -> Explorer:
    """What the mean of M teachers does to one row of one batch.

    Args:
        cosines: of the M teachers on the batch, [M, N, N]. sentences: the batch's N sentences.
        law: of the same teachers, from ``variance.averaging_law``.

    Raises:
        KitError: cosines and sentences do not belong to one batch.
    """
    _same_batch(cosines.shape[-1], sentences)
    logits = off_diagonal(cosines)

    def paint(row: int, teachers: int) -> Picture:
        figure, axes = plots.new_axes(1, 2, width=11, height=4.2)
        plots.draw_teacher_rows(axes[0], logits[:, row], teachers)
        axes[0].set_title(plots.plain(f"anchor: {sentences[row]}", 60))
        plots.draw_averaging_law(axes[1], law, marked=teachers)
        axes[1].set_title("what averaging removes, over many batches")
        left = law.noise_share(teachers)
        return Picture(figure, f"Mean of {teachers}: {left:.1%} of the variance of a row's logits is noise of seeds.")

    controls = {
        "row": sentence_choice(sentences),
        "teachers": slider("M, teachers averaged", min(4, max(1, len(cosines) - 1)), 1, len(cosines)),
    }
    return Explorer(
        "Averaging teachers",
        "Move M up: the mean settles towards that of all teachers, and the orange share shrinks as 1 / M.",
        controls,
        paint,
    )


def as_tensor(cosines: np.ndarray) -> Tensor:
    """A batch's cosines as the float32 tensor that shuffling and losses take."""
    return torch.from_numpy(np.ascontiguousarray(cosines)).float()


def _same_batch(n: int, sentences: Sequence[str]) -> None:
    if n != len(sentences):
        raise KitError(f"There are {len(sentences)} sentences and cosines of {n}; give both of the same batch.")
