"""Sentences that you type, under several encoders side by side: their cosines, neighbours and places on a map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import traitlets
from matplotlib.axes import Axes

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import Encodes
from distillcse_kit.explorers import controls
from distillcse_kit.explorers.base import Explorer, Picture, between, one_of
from distillcse_kit.explorers.sheet import Sheet
from distillcse_kit.plots.style import PALETTE, plain

SIMILARITY, PROJECTION = "similarity of the typed sentences", "map of the sample"
VIEWS = (SIMILARITY, PROJECTION)

MOST_TYPED = 5
MOST_ENCODERS = 4
MOST_TOPICS = 7
SHOWN = 160  # letters of a sentence in the words
MARKS = "os^vDP*"  # one for each topic

EXAMPLES = """\
A woman is peeling potatoes in the kitchen.
Someone prepares vegetables at home.
A woman is painting the kitchen.
The train to the coast was late again."""


@dataclass(frozen=True)
class Projection:
    """The plane that shows most of a sample's variance: its first two principal components.

    Attributes:
        centre: [d], mean of the sample. axes: [2, d], each of length 1.
        share: share of the variance that lies in the plane, 0 to 1.
    """

    centre: np.ndarray
    axes: np.ndarray
    share: float

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Coordinates of vectors in the plane: [n, d] -> [n, 2]."""
        return (vectors - self.centre) @ self.axes.T


def principal_plane(vectors: np.ndarray) -> Projection:
    """The plane of the first two principal components of vectors [n, d]; n and d are at least 2."""
    centre = vectors.mean(axis=0)
    _, lengths, axes = np.linalg.svd(vectors - centre, full_matrices=False)
    variance = lengths**2
    return Projection(centre, axes[:2], float(variance[:2].sum() / max(variance.sum(), 1e-12)))


class EmbeddingExplorer(Explorer):
    """Type sentences, and see under each encoder their cosines, their nearest neighbours in a sample, and a map of it.

    Args:
        encoders: {label: encoder}, one to four, such as base, teacher, ensemble and student.
        sample: sentences to find neighbours in, at least 3; each is embedded once, when the explorer is made.
        topics: one for each sentence of the sample; None leaves the map without colours.
        text: the sentences that the field holds at first.

    Raises:
        KitError: no encoder or too many, too small a sample, topics that do not fit it, or a trait outside its range.
    """

    title = "Embeddings: type sentences, compare encoders"
    first = (
        "compare pair 1, 2 (same scene, other words) with pair 1, 3 (shared words). Then type your own, and press Tab."
    )
    look = "which encoder goes by meaning, which by words, and which finds everything alike."

    text = traitlets.Unicode("", help="sentences, one per line; the first five count")
    focus = traitlets.Int(0, help="the typed sentence whose neighbours are listed, counted from 0")
    neighbours = traitlets.Int(5, help="how many neighbours are listed, 1 to 10")
    view = traitlets.Unicode(SIMILARITY, help="one of VIEWS")

    def __init__(
        self,
        encoders: Mapping[str, Encodes],
        sample: Sequence[str],
        topics: Sequence[str] | None = None,
        text: str = EXAMPLES,
    ) -> None:
        if not 1 <= len(encoders) <= MOST_ENCODERS:
            raise KitError(f"There are {len(encoders)} encoders; give 1 to {MOST_ENCODERS}.")
        if len(sample) < 3:
            raise KitError(f"The sample has {len(sample)} sentences; give at least 3.")
        if topics is not None and len(topics) != len(sample):
            raise KitError(f"There are {len(topics)} topics for {len(sample)} sentences; give one for each.")
        self.encoders, self.sample, self.topics = dict(encoders), list(sample), topics
        self.vectors = {label: _unit(encoder.encode(self.sample)) for label, encoder in self.encoders.items()}
        self.planes = {label: principal_plane(vectors) for label, vectors in self.vectors.items()}
        self.points = {label: self.planes[label](vectors) for label, vectors in self.vectors.items()}
        self._known: dict[str, dict[str, np.ndarray]] = {label: {} for label in self.encoders}
        self._offered: list[str] | None = None
        count = len(self.encoders)
        margins = {"left": 0.035, "right": 0.995, "top": 0.89, "wspace": 0.12}
        self._sheets = {
            SIMILARITY: Sheet(1, count, height=2.6, bottom=0.1, **margins),
            PROJECTION: Sheet(1, count, height=3.3, bottom=0.26, **margins),
        }
        self.text = text
        super().__init__(
            {
                "text": controls.text_area("one sentence per line", 5),
                "focus": controls.dropdown("neighbours of", [("", 0)], wide=True),
                "neighbours": controls.int_slider("how many neighbours", 1, min(10, len(self.sample))),
                "view": controls.toggles("view", VIEWS),
            }
        )

    @traitlets.validate("focus", "neighbours", "view")
    def _in_range(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "view":
            one_of(name, value, VIEWS)
        else:
            most = min(10, len(self.sample)) if name == "neighbours" else max(len(self.typed) - 1, 0)
            between(name, value, int(name == "neighbours"), most)
        return value

    @property
    def typed(self) -> list[str]:
        """The sentences that count: the first five lines that are not blank."""
        lines = (" ".join(line.split()) for line in self.text.splitlines())
        return [line for line in lines if line][:MOST_TYPED]

    def adjust(self) -> None:
        typed = self.typed
        if typed != self._offered:
            kept = min(self.focus, max(len(typed) - 1, 0))
            self.controls["focus"].options = controls.sentence_options(typed, first=1) or [("nothing typed", 0)]
            self.controls["focus"].disabled = len(typed) < 2
            self._offered, self.focus = typed, kept

    def embed(self, label: str, sentences: Sequence[str]) -> np.ndarray:
        """Unit vectors of the sentences under one encoder, [n, d]. No sentence is embedded twice."""
        known = self._known[label]
        if new := [sentence for sentence in dict.fromkeys(sentences) if sentence not in known]:
            known.update(zip(new, _unit(self.encoders[label].encode(new)), strict=True))
        return np.stack([known[sentence] for sentence in sentences])

    def paint(self) -> Picture:
        sheet, typed = self._sheets[self.view], self.typed
        axes = sheet.wiped()
        if not typed:
            for ax in axes:
                ax.set_axis_off()
            return Picture(sheet.figure, "Nothing is typed. Write at least one sentence into the field above.")
        found = {label: self.embed(label, typed) for label in self.encoders}
        for ax, (label, vectors) in zip(axes, found.items(), strict=True):
            ax.set_axis_on()
            if self.view == SIMILARITY:
                _draw_similarity(ax, vectors @ vectors.T, label)
            else:
                self._draw_map(ax, label, vectors)
        if self.view == PROJECTION and self.topics is not None:
            axes[0].legend(loc="upper left", bbox_to_anchor=(-0.1, -0.1), ncols=4, fontsize=8, markerscale=2)
        return Picture(sheet.figure, "\n".join(self._lines(found)), self._table(found))

    def _draw_map(self, ax: Axes, label: str, typed: np.ndarray) -> None:
        points = self.points[label]
        for name, rows, colour, mark in self._groups():
            ax.plot(*points[rows].T, mark, color=colour, markersize=3, alpha=0.6, markeredgewidth=0, label=name)
        for place, (x, y) in enumerate(self.planes[label](typed)):
            ax.text(
                x,
                y,
                str(place + 1),
                ha="center",
                va="center",
                fontsize=9,
                fontweight="bold",
                bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "black"},
            )
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"shows {self.planes[label].share:.0%} of the variance", fontsize=9)
        ax.set_title(plain(label, 32))

    def _groups(self) -> list[tuple[str, np.ndarray, str, str]]:
        """(name, rows, colour, mark) of the most common topics, and of all others together."""
        if self.topics is None:
            return [("sample", np.arange(len(self.sample)), PALETTE[0], "o")]
        topics = np.asarray(self.topics)
        common = [name for name, _ in Counter(self.topics).most_common(MOST_TOPICS)]
        groups = [
            (plain(name, 22), np.flatnonzero(topics == name), PALETTE[number], MARKS[number])
            for number, name in enumerate(common)
        ]
        others = np.flatnonzero(~np.isin(topics, common))
        return [("others", others, "#BBBBBB", "."), *groups] if len(others) else groups

    def _lines(self, found: Mapping[str, np.ndarray]) -> list[str]:
        typed = self.typed
        near = f"Nearest to sentence {self.focus + 1} among the {len(self.sample)} of the sample, with cosines:"
        lines = [f"{place}: {controls.shortened(line, SHOWN)}" for place, line in enumerate(typed, start=1)]
        if len([line for line in self.text.splitlines() if line.strip()]) > MOST_TYPED:
            lines.append(f"Only the first {MOST_TYPED} lines count.")
        if len(typed) < 2:
            return [*lines, "Type a second sentence to compare the two.", near]
        pairs = np.triu_indices(len(typed), 1)
        said = []
        for label, vectors in found.items():
            cosines = (vectors @ vectors.T)[pairs]
            best = int(np.argmax(cosines))
            said.append(f"{label}: {pairs[0][best] + 1} and {pairs[1][best] + 1} ({cosines[best]:.2f})")
        return [*lines, f"Most similar pair under {'; under '.join(said)}.", near]

    def _table(self, found: Mapping[str, np.ndarray]) -> list[list[str]]:
        """Neighbours of the sentence in focus, one column per encoder."""
        columns = []
        for label, vectors in found.items():
            cosines = self.vectors[label] @ vectors[self.focus]
            nearest = np.argsort(-cosines, kind="stable")[: self.neighbours]
            columns.append(
                [label, *(f"{cosines[row]:.2f} {controls.shortened(self.sample[row], SHOWN)}" for row in nearest)]
            )
        return [list(row) for row in zip(*columns, strict=True)]


def _draw_similarity(ax: Axes, cosines: np.ndarray, label: str) -> None:
    ax.imshow(cosines, cmap="cividis", vmin=0, vmax=1)
    for i, j in combinations(range(len(cosines)), 2):  # below the diagonal are the same numbers
        colour = "black" if cosines[i, j] > 0.5 else "white"
        ax.text(j, i, f"{cosines[i, j]:.2f}", ha="center", va="center", fontsize=8, color=colour)
    places = range(len(cosines))
    names = [str(place + 1) for place in places]
    ax.set_xticks(places, names)
    ax.set_yticks(places, names)
    ax.grid(visible=False)
    ax.set_title(plain(label, 32))


def _unit(vectors: np.ndarray) -> np.ndarray:
    wide = np.asarray(vectors, dtype=np.float32)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(min=1e-12)
