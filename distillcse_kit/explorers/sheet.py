"""A figure that is drawn over and over: making axes and ticks anew would cost more than all that is drawn into them."""

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

DPI = 100  # one dot a CSS pixel at the width of a notebook's column


class Sheet:
    """One Figure with its axes, wiped before each drawing.

    Args:
        rows, columns: of the axes.
        width, height: in inches of 100 pixels. A notebook's column on a screen of 1280 pixels is about 900 wide.
        margins: left, right, bottom, top, wspace, hspace and width_ratios, as for matplotlib's GridSpec: fixed, since
            laying out anew takes longer than drawing.
    """

    @styled()
    def __init__(self, rows: int = 1, columns: int = 1, width: float = 9, height: float = 4, **margins: Any) -> None:
        self.figure = StyledFigure(figsize=(width, height), dpi=DPI)
        FigureCanvasAgg(self.figure)
        self._axes: np.ndarray = self.figure.subplots(
            rows, columns, squeeze=False, gridspec_kw=margins, subplot_kw={"axes_class": StyledAxes}
        )
        for ax in self._axes.flat:
            ax.locator_params(nbins=6)  # tick labels are half of what drawing costs

    @styled()
    def wiped(self) -> list[Axes]:
        """The axes, row by row, without what was drawn before; their ticks are kept, to be moved."""
        axes: list[Axes] = self._axes.ravel().tolist()
        for ax in axes:
            wipe(ax)
        return axes


@styled()
def wipe(ax: Axes) -> None:
    """Remove all that was drawn into the axes, and let their limits follow the data again."""
    for artist in (*ax.lines, *ax.collections, *ax.patches, *ax.texts, *ax.images):
        artist.remove()
    ax.containers.clear()
    if (legend := ax.get_legend()) is not None:
        legend.remove()
    ax.set_title("")
    ax.set_prop_cycle(None)
    ax.relim()
    ax.autoscale(True)


@styled()
def png_of(figure: Figure, settings: Mapping[str, Any], title: str) -> bytes:
    """The figure as PNG at its own dots per inch, packed fast rather than small; traceable as ``png_bytes``."""
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
