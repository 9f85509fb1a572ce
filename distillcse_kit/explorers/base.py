"""What all explorers share: traits that are the state, controls linked to them, a picture and words of it."""

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

HEADLESS = "DISTILLCSE_HEADLESS"
_INSIDE = "calc(100% - 6px)"  # of the column, without the frame and the margin, which a width does not count
_FRAME = "1px solid #9E9E9E"  # pictures are white, also on a dark page: a frame makes a deliberate sheet of them


@dataclass(frozen=True)
class Picture:
    """What an explorer shows in one state.

    Attributes:
        figure: drawn for this state; the next state may be drawn into the same figure.
        text: one line or a few that put it into words, plain text.
        table: rows of plain text below the words, the first one being the heads; none if empty.
    """

    figure: Figure
    text: str
    table: Sequence[Sequence[str]] = ()


class Explorer(traitlets.HasTraits):
    """Controls, a picture and its words, redrawn whenever a trait changes, by its control or from Python.

    A subclass declares its traits, its ``title``, ``first`` and ``look``, and ``paint``. It keeps its data, sets its
    traits, and then calls this constructor.

    Args:
        controls: {name of a trait: its control, a widget with a ``value``}, in the order shown.
        buttons: {name: button}, shown after the controls.

    Attributes:
        title: what the explorer is about. first: what to try first. look: what to look for.
        box: the whole explorer as one widget. image, words: of the picture.
        controls, buttons: as given.

    Raises:
        Exception: whatever ``paint`` raises: on construction, and on setting a trait from Python. When a reader moves a
            control, the exception is shown in place of the words as well.
    """

    title: ClassVar[str] = ""
    first: ClassVar[str] = ""
    look: ClassVar[str] = ""

    def __init__(
        self, controls: Mapping[str, widgets.DOMWidget], buttons: Mapping[str, widgets.Button] | None = None
    ) -> None:
        super().__init__()
        self.controls, self.buttons = dict(controls), dict(buttons or {})
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width=_INSIDE, border=_FRAME))
        self.words = widgets.HTML()
        self._drawing = threading.RLock()  # readers move controls while a worker thread reports its progress
        self._adjusting = False
        self.box = self._assembled()
        for name, control in self.controls.items():
            traitlets.link((self, name), (control, "value"))
        self.adjust()
        self.repaint()
        self.observe(self._moved, names=list(self.controls))

    def paint(self) -> Picture:
        """The picture of the present state; depends on the traits and on the data alone."""
        raise NotImplementedError

    def adjust(self) -> None:
        """Before painting: set what follows from the state, such as limits of controls and which are disabled."""

    @property
    def state(self) -> dict[str, Any]:
        """The traits' values by name."""
        return {name: getattr(self, name) for name in self.controls}

    def repaint(self) -> None:
        """Draw the present state."""
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
        """Call ``action`` when the button is pressed; what it raises is shown."""

        def pressed(_: object) -> None:
            try:
                action()
            except Exception as error:
                self.show_error(error)
                raise

        self.buttons[button].on_click(pressed)

    def show_error(self, error: BaseException) -> None:
        """Put an exception in place of picture and words: a front end logs those of callbacks where nobody reads.

        A mistake of the user (KitError) is one sentence, anything else comes with its traceback.
        """
        text = str(error) if isinstance(error, KitError) else "".join(traceback.format_exception(error))
        self.image.value = b""
        self.words.value = (
            f"<pre style='white-space:pre-wrap;color:var(--jp-error-color1,#C62828)'>{html.escape(text)}</pre>"
        )

    def show(self, name: str, folder: str | Path = "", settings: Mapping[str, Any] | None = None) -> None:
        """Display the explorer; without a front end (DISTILLCSE_HEADLESS is set), the figure of its present state.

        Args:
            name, folder: the present state's figure is saved as folder/name.png if a folder is given.
            settings: as in ``plots.show``; the traits' values are added.
        """
        self.show_static(name, folder, settings)
        if not is_headless():
            display(self.box)

    def show_static(self, name: str, folder: str | Path = "", settings: Mapping[str, Any] | None = None) -> None:
        """The static figure alone: saved if a folder is given, displayed with its words if there is no front end."""
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
    """Whether notebooks run without a front end that could show widgets."""
    return bool(os.environ.get(HEADLESS))


def kebab(name: str) -> str:
    """A class's name as its DOM class has it: GroupPExplorer -> group-p."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removesuffix("Explorer")).lower()


def between(name: str, value: float, least: float, most: float) -> None:
    """Raise KitError unless least <= value <= most."""
    if not least <= value <= most:
        raise KitError(f"{name} is {value}; it must lie between {least} and {most}.")


def one_of(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise KitError unless ``value`` is one of the choices."""
    if value not in choices:
        raise KitError(f"{name} is {value}; choose one of {', '.join(map(str, choices))}.")


def same_batch(n: int, sentences: Sequence[str]) -> None:
    """Raise KitError unless there are n sentences."""
    if n != len(sentences):
        raise KitError(f"There are {len(sentences)} sentences and cosines of {n}; give both of the same batch.")


def _as_html(picture: Picture) -> str:
    """Everything escaped: sentences are text, whatever is in them. No colours: the page's theme has them."""
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
    """The table as lines of text, columns padded to one width each."""
    if not table:
        return []
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
