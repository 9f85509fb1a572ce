"""How time and memory grow with the batch, the number of teachers and the number of sentences."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distillcse_kit import plots
from distillcse_kit.bench.measure import calls_for, seconds
from distillcse_kit.bench.memory import peak_of_process
from distillcse_kit.bench.workshop import Extent, Workshop

BATCH_SIZES = (64, 128, 256, 512, 1_024)
TEACHERS = (1, 2, 4, 8, 16, 32)
SENTENCES = (10_000, 100_000, 1_000_000)
REPEATS = 5


@dataclass(frozen=True)
class Curve:
    """One quantity at several sizes.

    Attributes:
        name: of the quantity. unit: "ms" or "MB".
        sizes: what grows. values: median over repeats for times; one process each for memory.
    """

    name: str
    unit: str
    sizes: tuple[int, ...]
    values: tuple[float, ...]


def milliseconds(work: Callable[[], object]) -> float:
    """Median time of a call."""
    times = calls_for(work)
    return 1_000 * float(np.median([seconds(work, times) for _ in range(REPEATS)]))


def with_batch(folder: Path, corpus: str, sizes: Sequence[int] = BATCH_SIZES) -> list[Curve]:
    """A student's step and its distillation loss against N."""
    step, loss, memory = [], [], []
    for size in sizes:
        shop = Workshop(folder / f"batch_{size}", Extent(1, 1, max(2_048, size)), corpus, batch_size=size)
        step.append(milliseconds(shop.steps(shop.trainer(1))))
        loss.append(milliseconds(shop.loss_alone(1)))
        memory.append(peak_of_process("student step", corpus, batch_size=size))
    return _curves(sizes, step, loss, memory)


def with_teachers(folder: Path, corpus: str, sizes: Sequence[int] = TEACHERS) -> list[Curve]:
    """The same against M, with stored teachers."""
    shop = Workshop(folder / "teachers", Extent(1, 1, 2_048), corpus)
    step = [milliseconds(shop.steps(shop.trainer(size))) for size in sizes]
    loss = [milliseconds(shop.loss_alone(size)) for size in sizes]
    memory = [peak_of_process("student step", corpus, teachers=size) for size in sizes]
    return _curves(sizes, step, loss, memory)


def _curves(sizes: Sequence[int], step: Sequence[float], loss: Sequence[float], memory: Sequence[float]) -> list[Curve]:
    wide = tuple(sizes)
    return [
        Curve("a student's step", "ms", wide, tuple(step)),
        Curve("its distillation loss, cosines and shuffling included", "ms", wide, tuple(loss)),
        Curve("peak memory of the process", "MB", wide, tuple(memory)),
    ]


def with_sentences(folder: Path, corpus: str, sizes: Sequence[int] = SENTENCES) -> list[Curve]:
    """Time to read a batch of 16 teachers, and peak memory of tokenising all and one step, against the corpus's size.

    The corpus is repeated as often as needed, each sentence with its number. The teachers' files are as long as the
    corpus and empty, because only their size matters.
    """
    small = Workshop(folder / "sentences", Extent(1, 1, 2_048), corpus)
    read, memory = [], []
    for size in sizes:
        path = folder / f"{size}.txt"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{small.corpus.sentences[row % len(small.corpus)]} {row}\n" for row in range(size))
        rows = np.random.default_rng(0).choice(size, 64, replace=False)
        stored = [_empty(folder / f"{size}_{number}.npy", size, small.encoder.width) for number in range(16)]
        read.append(milliseconds(partial(_read, stored, rows)))
        memory.append(peak_of_process("simcse step", str(path)))
    wide = tuple(sizes)
    return [
        Curve("reading a batch of 16 teachers", "ms", wide, tuple(read)),
        Curve("peak memory of tokenising all, and one step", "MB", wide, tuple(memory)),
    ]


def _empty(path: Path, n: int, width: int) -> np.ndarray:
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, width)).flush()
    return np.load(path, mmap_mode="r")


def _read(stored: Sequence[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(array[rows], dtype=np.float32) for array in stored]


AXES: dict[str, Callable[[Path, str], list[Curve]]] = {
    "sentences a batch, N": with_batch,
    "stored teachers, M": with_teachers,
    "sentences of the corpus": with_sentences,
}


def measure_growth(corpus: str, say: Callable[[str], None]) -> dict[str, list[Curve]]:
    """{what grows: curves}; ``say`` gets each curve as soon as it is measured."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="distillcse-growth-", ignore_cleanup_errors=True) as folder:
        for name, measure in AXES.items():
            found[name] = measure(Path(folder), corpus)
            for curve in found[name]:
                pairs = "   ".join(
                    f"{size:,}: {value:.3g}" for size, value in zip(curve.sizes, curve.values, strict=True)
                )
                say(f"{name}: {curve.name} ({curve.unit})   {pairs}")
    return found


def draw(axes: Axes, what: str, curves: Sequence[Curve]) -> None:
    """Draw curves of one unit, and a dotted line of growth in proportion to the size, through the first one's end.

    Times have a logarithmic axis because they lie far apart; memory starts from zero.
    """
    for number, curve in enumerate(curves):
        axes.plot(curve.sizes, curve.values, plots.LINES[number], marker="o", label=curve.name)
    first, times = curves[0], curves[0].unit == "ms"
    ends, last = first.sizes, first.values[-1]
    axes.plot(ends, [last * size / ends[-1] for size in ends], ":", color=plots.GREY, linewidth=1, label="proportional")
    axes.set(xscale="log", xlabel=what, ylabel="milliseconds" if times else "MB")
    axes.minorticks_off()
    axes.set_xticks(ends, [f"{size:,}" for size in ends])
    if times:
        axes.set_yscale("log")
        axes.minorticks_off()
    low, high = axes.get_ylim()
    axes.set_ylim((low, high * 12) if times else (0, 1.35 * high))  # room for the legend
    grown = first.values[-1] / first.values[0]
    axes.set_title(f"{ends[-1] / ends[0]:,.0f} times as many: {grown:.1f} times the {'time' if times else 'memory'}")
    axes.legend(loc="upper left")


def figure(found: dict[str, list[Curve]]) -> Figure:
    """Times above, memory below; a column for each thing that grows."""
    made, axes = plots.new_axes(2, len(found), width=5 * len(found), height=8)
    for column, (what, curves) in enumerate(found.items()):
        draw(axes[0, column], what, [curve for curve in curves if curve.unit == "ms"])
        draw(axes[1, column], what, [curve for curve in curves if curve.unit == "MB"])
    return made


def as_json(found: dict[str, list[Curve]]) -> dict[str, list[dict[str, Any]]]:
    """The curves as plain lists."""
    return {what: [asdict(curve) for curve in curves] for what, curves in found.items()}
