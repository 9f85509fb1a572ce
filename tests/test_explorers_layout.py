"""No text in an explorer's picture is cut off or overlaps another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from distillcse_kit.bench.repaints import MAKERS
from distillcse_kit.experiments.ablation import SYMBOLS
from distillcse_kit.explorers import embedding_explorer as embedding
from distillcse_kit.explorers import teacher_variance_explorer as teacher_variance

VIEWS = {
    "teacher variance": [("view", view) for view in teacher_variance.VIEWS],
    "embeddings": [("view", view) for view in embedding.VIEWS],
    "ablations": [("along", name) for name in SYMBOLS],
}


def texts(ax: Axes) -> Iterator[Text]:
    """Titles and labels. Axes that are switched off only draw their title."""
    yield from (child for child in ax.get_children() if isinstance(child, Text) and child not in ax.texts)  # titles
    if ax.axison:
        yield from (ax.xaxis.label, ax.yaxis.label)
        # Ticks outside the limits exist, but are not drawn.
        for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            for tick in axis.get_major_ticks():
                if min(low, high) <= tick.get_loc() <= max(low, high):
                    yield tick.label1


def boxes(figure: Figure) -> dict[str, tuple[float, float, float, float]]:
    """{text and its place: left, bottom, right, top in pixels} of every text that is drawn and not empty."""
    figure.canvas.draw()
    found = {}
    for place, ax in enumerate(figure.axes):
        for number, text in enumerate(texts(ax)):
            if text.get_visible() and text.get_text():
                found[f"{text.get_text()!r} ({place}.{number})"] = text.get_window_extent().extents
    return found


@pytest.mark.parametrize(
    ("name", "state"), [(name, state) for name in MAKERS for state in VIEWS.get(name, [None])], ids=str
)
def test_texts_are_whole_and_apart(name: str, state: tuple[str, str] | None) -> None:
    explorer, _ = MAKERS[name]()
    if state is not None:
        setattr(explorer, *state)
    figure = explorer.paint().figure
    found = boxes(figure)
    width, height = figure.bbox.width, figure.bbox.height
    assert len(found) > 3
    for text, (left, bottom, right, top) in found.items():
        assert left >= 0 and bottom >= 0 and right <= width and top <= height, f"{text} is cut off"
    for (one, a), (other, b) in combinations(found.items(), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{one} runs into {other}"
