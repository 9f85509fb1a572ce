"""A figure that is drawn again and again. New axes and ticks would take longer than everything drawn into them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from distillcse_kit.plots.style import StyledAxes, StyledFigure, styled

DPI = 100  # one dot per CSS pixel at the width of a notebook's column


class Sheet:
    """One Figure whose axes are wiped before each drawing.

    Args:
        rows, columns: how many axes.
        width, height: in inches of 100 pixels. A notebook's column on a screen of 1280 pixels is about 900 wide.
        margins: left, right, bottom, top, wspace, hspace and width_ratios, as for matplotlib's GridSpec. They stay
            fixed, because a new layout takes longer than the drawing.
    """

    @styled()
    def __init__(self, rows: int = 1, columns: int = 1, width: float = 9, height: float = 4, **margins: Any) -> None:
        self.figure = StyledFigure(figsize=(width, height), dpi=DPI)
        FigureCanvasAgg(self.figure)
        self._axes: np.ndarray = self.figure.subplots(
            rows, columns, squeeze=False, gridspec_kw=margins, subplot_kw={"axes_class": StyledAxes}
        )
        for ax in self._axes.flat:
            ax.locator_params(nbins=6)  # tick labels take half of the drawing time

    @styled()
    def wiped(self) -> list[Axes]:
        """The axes, row by row, empty again. Their ticks are kept: moving them is faster than making new ones."""
        axes: list[Axes] = self._axes.ravel().tolist()
        for ax in axes:
            wipe(ax)
        return axes


@styled()
def wipe(ax: Axes) -> None:
    """Remove everything drawn into the axes, and let their limits follow the data again."""
    for artist in (*ax.lines, *ax.collections, *ax.patches, *ax.texts, *ax.images):
        artist.remove()
    ax.containers.clear()
    if (legend := ax.get_legend()) is not None:
        legend.remove()
    ax.set_title("")
    ax.set_prop_cycle(None)
    ax.relim()
    ax.autoscale(True)


def say_instead(ax: Axes, text: str, **font: Any) -> None:
    """Where there is nothing to draw: switch the axes off and put one text into their middle."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", **font)


@styled()
def png_of(figure: Figure, settings: Mapping[str, Any], title: str) -> bytes:
    """The figure as a PNG at its own resolution, packed fast rather than small; metadata as in ``plots.png_bytes``."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    about = PngInfo()
    about.add_itxt("Title", title)
    about.add_itxt("Settings", json.dumps(dict(settings), sort_keys=True, default=str))
    buffer = io.BytesIO()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "png", compress_level=1, pnginfo=about)
    return buffer.getvalue()
