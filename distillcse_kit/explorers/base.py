"""What all explorers share: traits hold the state, controls set them, and a picture with words shows it."""

from __future__ import annotations

import html
import os
import re
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as widgets
import traitlets
from IPython.display import display
from matplotlib.figure import Figure

from distillcse_kit import plots
from distillcse_kit.errors import KitError
from distillcse_kit.explorers.sheet import png_of

HEADLESS = "DISTILLCSE_HEADLESS"  # environment variable, set where no front end can show widgets
_INSIDE = "calc(100% - 6px)"  # of the column; a CSS width counts neither frame nor margin
_FRAME = "1px solid #9E9E9E"  # pictures are white even on a dark page, so each gets a frame


@dataclass(frozen=True)
class Picture:
    """What an explorer shows in one state.

    Attributes:
        figure: the picture; the next state may be drawn into the same figure.
        text: one or a few lines of plain text that say what the picture shows.
        table: rows of plain text, shown below the text. The first row holds the headings; empty means no table.
    """

    figure: Figure
    text: str
    table: Sequence[Sequence[str]] = ()


class Explorer(traitlets.HasTraits):
    """Controls, a picture and words about it. Both are redrawn when a trait changes, by its control or from Python.

    A subclass declares its traits, ``title``, ``first`` and ``look``, and defines ``paint``. Its constructor keeps its
    data, sets its traits, and then calls this constructor.

    Args:
        controls: {name of a trait: its control, a widget with a ``value``}, in the order shown.
        buttons: {name: button}, shown after the controls.

    Attributes:
        title: what the explorer is about. first: what to try first. look: what to look for.
        box: the whole explorer as one widget. image, words: the two widgets that hold the picture and its words.
        controls, buttons: as given.

    Raises:
        Exception: whatever ``paint`` raises. If a trait was changed, the exception is also shown on the page.
    """

    title: ClassVar[str] = ""
    first: ClassVar[str] = ""
    look: ClassVar[str] = ""

    def __init__(
        self, controls: Mapping[str, widgets.DOMWidget], buttons: Mapping[str, widgets.Button] | None = None
    ) -> None:
        super().__init__()
        self.controls, self.buttons = dict(controls), dict(buttons or {})
        # Not an Output widget: that one swallows exceptions, so that a broken explorer would look like a working one.
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width=_INSIDE, border=_FRAME))
        self.words = widgets.HTML()
        self._drawing = threading.RLock()  # a reader may move a control while a worker thread reports progress
        self._adjusting = False
        self.box = self._assembled()
        for name, control in self.controls.items():
            traitlets.link((self, name), (control, "value"))
        self.adjust()
        self.repaint()
        self.observe(self._moved, names=list(self.controls))

    def paint(self) -> Picture:
        """Draw the current state; the result depends on the traits and the data alone."""
        raise NotImplementedError

    def adjust(self) -> None:
        """Called before ``paint``: set what follows from the state, such as the limits of controls."""

    @property
    def state(self) -> dict[str, Any]:
        """{name: value} of the traits."""
        return {name: getattr(self, name) for name in self.controls}

    def repaint(self) -> None:
        """Draw the current state and show it."""
        with self._drawing, plots.styled():
            picture = self.paint()
            self.image.width = str(int(picture.figure.get_figwidth() * 100))
            self.image.value = png_of(picture.figure, self.state, self.title)
            self.words.value = _as_html(picture)

    def _moved(self, change: object) -> None:
        if self._adjusting:
            return
        try:
            self._adjusting = True
            try:
                self.adjust()
            finally:
                self._adjusting = False
            self.repaint()
        except Exception as error:
            self.show_error(error)
            raise

    def on_press(self, button: str, action: Callable[[], None]) -> None:
        """Call ``action`` when the button is pressed; an exception is shown on the page, and raised."""

        def pressed(_: object) -> None:
            try:
                action()
            except Exception as error:
                self.show_error(error)
                raise

        self.buttons[button].on_click(pressed)

    def show_error(self, error: BaseException) -> None:
        """Show an exception in place of picture and words. A front end would only log it, where nobody looks.

        A KitError, which the user can put right, is shown as its sentence; any other comes with its traceback.
        """
        text = str(error) if isinstance(error, KitError) else "".join(traceback.format_exception(error))
        self.image.value = b""
        self.words.value = (
            f"<pre style='white-space:pre-wrap;color:var(--jp-error-color1,#C62828)'>{html.escape(text)}</pre>"
        )

    def show(self, name: str, folder: str | Path = "", settings: Mapping[str, Any] | None = None) -> None:
        """Display the explorer. Without a front end (DISTILLCSE_HEADLESS is set), display a figure of its state.

        Args:
            name, folder: where the figure is saved: folder/name.png. Without a folder, nothing is saved.
            settings: written into the PNG together with the traits' values, as by ``plots.show``.
        """
        self.show_static(name, folder, settings)
        if not is_headless():
            display(self.box)

    def show_static(self, name: str, folder: str | Path = "", settings: Mapping[str, Any] | None = None) -> None:
        """Only the figure: saved if a folder is given, and displayed with its words if there is no front end."""
        headless = is_headless()
        if headless or folder:
            with self._drawing, plots.styled():
                picture = self.paint()
                traced = {**(settings or {}), "controls": self.state}
                plots.show(picture.figure, name, folder, traced, displayed=headless)
            if headless:
                print("\n".join([picture.text, *_as_lines(picture.table)]).strip())

    def _assembled(self) -> widgets.VBox:
        heading = widgets.HTML(
            f"<div style='line-height:1.5'><b style='font-size:1.2em'>{html.escape(self.title)}</b><br>"
            f"<b>Try first:</b> {html.escape(self.first)}<br><b>Look for:</b> {html.escape(self.look)}</div>"
        )
        moving = widgets.HBox(
            [*self.controls.values(), *self.buttons.values()],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center"),
        )
        box = widgets.VBox([heading, moving, self.image, self.words], layout=widgets.Layout(max_width="920px"))
        for name, control in self.controls.items():
            control.add_class("dk-control")
            control.add_class(f"dk-control-{name.replace('_', '-')}")
        for name, button in self.buttons.items():
            button.add_class(f"dk-button-{name}")
        self.image.add_class("dk-image")
        self.words.add_class("dk-words")
        box.add_class("dk-explorer")
        box.add_class(f"dk-{kebab(type(self).__name__)}")
        return box


def is_headless() -> bool:
    """Whether notebooks run without a front end to show widgets."""
    return bool(os.environ.get(HEADLESS))


def kebab(name: str) -> str:
    """The name of an explorer's class as CSS classes spell it: GroupPExplorer -> group-p."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removesuffix("Explorer")).lower()


def between(name: str, value: float, least: float, most: float) -> None:
    """Raise KitError unless least <= value <= most."""
    if not least <= value <= most:
        raise KitError(f"{name} is {value}; it must be between {least} and {most}.")


def one_of(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise KitError unless ``value`` is one of the choices."""
    if value not in choices:
        raise KitError(f"{name} is {value}; choose one of {', '.join(map(str, choices))}.")


def chosen_teachers(chosen: Sequence[int], teachers: int) -> tuple[int, ...]:
    """The chosen teachers once each, in order; raise KitError unless each is at least 0 and below ``teachers``."""
    for teacher in chosen:
        between("A teacher", teacher, 0, teachers - 1)
    return tuple(sorted(set(chosen)))


def same_batch(n: int, sentences: Sequence[str]) -> None:
    """Raise KitError unless there are n sentences."""
    if n != len(sentences):
        raise KitError(f"There are {len(sentences)} sentences, but cosines of {n}; give both for the same batch.")


def _as_html(picture: Picture) -> str:
    """All text is escaped, whatever a sentence holds. It has no colours, because the page's theme sets them."""
    lines = "<br>".join(html.escape(line) for line in picture.text.splitlines())
    if not picture.table:
        return f"<div style='line-height:1.5'>{lines}</div>"
    style = "style='padding:1px 14px 1px 0;text-align:left;vertical-align:top'"
    head, *rows = picture.table
    body = [_row("th", head, style), *(_row("td", row, style) for row in rows)]
    return f"<div style='line-height:1.5'>{lines}</div><table style='line-height:1.4'>{''.join(body)}</table>"


def _row(tag: str, cells: Sequence[str], style: str) -> str:
    return "<tr>" + "".join(f"<{tag} {style}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _as_lines(table: Sequence[Sequence[str]]) -> list[str]:
    """The table as lines of text, in aligned columns."""
    if not table:
        return []
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
