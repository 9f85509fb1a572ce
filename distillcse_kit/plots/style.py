"""The kit's look, new figures, and how a figure is shown and saved."""

from __future__ import annotations

import inspect
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from cycler import cycler
from IPython.display import Image, display
from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distillcse_kit.whole_files import new_file

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#4D4D4D")

GREY = "#767676"

LINES = ("-", "--", "-.", ":")

DPI = 150

STYLE: dict[str, Any] = {
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlepad": 9,
    "axes.titley": 1.0,  # without it, matplotlib measures all tick labels to place a title
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "figure.facecolor": "white",
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2,
}


_lock = threading.RLock()  # settings are global: two threads must not save and restore them at the same time
_drawing: int | None = None  # the thread that holds the lock and already draws in the kit's style


@contextmanager
def styled() -> Iterator[None]:
    """matplotlib's defaults and ``STYLE`` inside ``with styled():`` or ``@styled()``; the reader's settings after it.

    matplotlib reads its settings both when something is added to a picture and when the picture is rendered.
    """
    global _drawing
    with _lock:
        if _drawing is not None:  # entering again would cost a millisecond and change nothing
            yield
            return
        _drawing = threading.get_ident()
        try:
            with style.context(["default", STYLE]):
                yield
        finally:
            _drawing = None


def _in_style(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, run in the kit's style. Drawing calls thousands of them, so inside the style nothing is entered."""

    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        if _drawing == threading.get_ident():
            return method(*arguments, **options)
        with styled():
            return method(*arguments, **options)

    return call


class StyledAxes(Axes):
    """Axes whose public methods, such as ``set_title`` and ``legend``, run in the kit's style wherever they are called.

    ``twinx`` and ``inset_axes`` give plain Axes.
    """


class StyledFigure(Figure):
    """A Figure whose public methods, such as ``suptitle`` and ``savefig``, run in the kit's style."""


for _kind in (StyledAxes, StyledFigure):
    for _name in {*dir(_kind)} - {*dir(Artist)} | {"draw"}:
        if not _name.startswith("_") and inspect.isfunction(_method := getattr(_kind, _name)):
            setattr(_kind, _name, _in_style(_method))


@styled()
def new_axes(rows: int = 1, columns: int = 1, width: float = 7, height: float = 4) -> tuple[Figure, Any]:
    """A figure of ``width`` x ``height`` inches in the kit's style; one Axes, or an array as in plt.subplots.

    The reader's matplotlib settings neither change nor have an effect on it.
    """
    return plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        layout="constrained",
        FigureClass=StyledFigure,
        subplot_kw={"axes_class": StyledAxes},
    )


@styled()
def png_bytes(figure: Figure, settings: Mapping[str, Any] | None = None, title: str = "") -> bytes:
    """The figure as a PNG of 150 dpi; ``settings`` go into its text metadata as JSON. Closes the figure."""
    metadata = {"Title": title, "Settings": json.dumps(settings or {}, sort_keys=True, default=str)}
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format="png", dpi=DPI, metadata=metadata)
    finally:
        plt.close(figure)
    return buffer.getvalue()


def show(
    figure: Figure,
    name: str,
    folder: str | Path = "",
    settings: Mapping[str, Any] | None = None,
    displayed: bool = True,
) -> None:
    """Display a figure in the notebook, save it if a folder is given, and close it.

    Args:
        figure: made by ``new_axes``.
        name: of the file, without ".png".
        folder: where to save; "" saves nothing.
        settings: what the figure was made from, written into the PNG ("Settings"), so that it can be traced.
        displayed: False only saves.
    """
    content = png_bytes(figure, settings, title=name)
    if folder:
        with new_file(Path(folder) / f"{name}.png") as path:
            path.write_bytes(content)
    if displayed:
        # More dots than CSS pixels: sharp on dense screens, and never wider than a notebook's column.
        display(Image(data=content, format="png", width=int(figure.get_figwidth() * 105), alt=name.replace("_", " ")))


def plain(text: str, width: int = 0) -> str:
    """Text for a figure: dollar signs stay dollar signs, and ``width`` > 0 shortens it to that many characters."""
    short = text if not width or len(text) <= width else text[: width - 1].rstrip() + "…"
    return short.replace("$", r"\$")
