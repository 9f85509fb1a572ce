"""How long explorers take to repaint: every move of every control, on data of a real lesson's size.

Times the work in this process: the new state, its numbers, the figure and its PNG. Sending it is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from distillcse_kit.analysis.logits import batch_cosines
from distillcse_kit.bench.measure import seconds
from distillcse_kit.config import profile_named
from distillcse_kit.experiments.ablation import knobs, turned
from distillcse_kit.explorers import (
    AblationExplorer,
    EmbeddingExplorer,
    EnsembleExplorer,
    Explorer,
    GroupPExplorer,
    TeacherVarianceExplorer,
    TrainingMonitor,
)
from distillcse_kit.explorers.embedding_explorer import VIEWS as EMBEDDING_VIEWS
from distillcse_kit.explorers.teacher_variance_explorer import VIEWS
from distillcse_kit.training.loop import Progress
from distillcse_kit.training.named_recipes import group_p

WANTED = 0.1  # seconds, at the 95th percentile
TEACHERS, BATCHES, N, PAIRS, SAMPLE = 16, 4, 64, 1_500, 240

Move = tuple[str, Any]  # name of a trait, and its new value


def made_up() -> tuple[np.ndarray, list[list[str]]]:
    """Cosines of teachers that differ in their noise, [M, B, N, N], and sentences [B][N]."""
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(BATCHES, N, 48)) + 0.5 * draw.normal(size=(TEACHERS, BATCHES, N, 48)) + 1
    sentences = [[f"Sentence {place} of batch {batch}, of a usual length." for place in range(N)] for batch in range(4)]
    return batch_cosines(vectors), sentences


class _Random:
    """An encoder that embeds without a model: the time of embedding is measured elsewhere."""

    def encode(self, sentences: list[str], /) -> np.ndarray:
        return np.stack([np.random.default_rng(len(text)).normal(size=192) for text in sentences])


def _group_p() -> tuple[Explorer, list[Move]]:
    cosines, sentences = made_up()
    moves: list[Move] = [("p", round(0.02 * k, 2)) for k in range(1, 41)]
    moves += [("temperature", value) for value in (0.01, 0.1, 1.0)] + [("batch_size", n) for n in (8, 16, 32, 64)]
    moves += [("row", row) for row in range(0, N, 4)] + [("seed", seed) for seed in range(1, 20)]
    return GroupPExplorer(cosines[0, 0], sentences[0]), moves


def _teacher_variance() -> tuple[Explorer, list[Move]]:
    cosines, sentences = made_up()
    moves: list[Move] = []
    for view in VIEWS:
        moves += [("view", view), *(("batch", batch) for batch in (1, 2, 3, 0))]
        moves += [("teachers", tuple(range(count))) for count in (15, 8, 2, 16)]
        moves += [("averaged", m) for m in (1, 8)] + [("teacher_b", 5), ("sentence_a", 7), ("teacher_b", 6)]
    return TeacherVarianceExplorer(cosines, sentences), moves


def _ensemble() -> tuple[Explorer, list[Move]]:
    cosines, sentences = made_up()
    draw = np.random.default_rng(1)
    gold = draw.normal(size=PAIRS)
    pairs = gold + draw.normal(size=(TEACHERS, PAIRS)), gold.tolist()
    students = {m: draw.normal(65, 1, size=5).tolist() for m in (1, 2, 4, 8, 16)}
    moves: list[Move] = [("teachers", tuple(range(count))) for count in range(1, TEACHERS + 1)]
    moves += [("row", row) for row in range(0, N, 2)]
    return EnsembleExplorer(cosines[:, 0], sentences[0], pairs, students), moves


def _ablation() -> tuple[Explorer, list[Move]]:
    draw, usual = np.random.default_rng(0), group_p(profile_named("laptop"))
    wanted: dict[str, tuple[Any, ...]] = {
        "p": (0.0, 0.05, 0.08, 0.12, 0.15, 0.2),
        "weight": (0.1, 0.2, 0.5, 2.0),
        "teachers": (2, 4, 8, 16),
        "student_temperature": (0.01, 0.05),
    }
    others = [turned(usual, **{name: value}) for name, values in wanted.items() for value in values]
    results = {recipe: dict(enumerate(draw.normal(66, 0.4, size=5).tolist())) for recipe in (usual, *others)}
    moves: list[Move] = []
    for name, values in wanted.items():
        moves += [("along", name), *((name, value) for value in (*values, knobs(usual)[name]))]
    return AblationExplorer(results, usual, lambda *_: 0.0), moves  # with a trainer there is more to draw


def _embedding() -> tuple[Explorer, list[Move]]:
    sample = [f"Sentence number {place}{' and more' * (place % 7)}." for place in range(SAMPLE)]
    encoders = {name: _Random() for name in ("base", "teacher", "ensemble of 16", "student")}
    moves: list[Move] = []
    for view in EMBEDDING_VIEWS:
        moves += [("view", view), *(("focus", place) for place in (1, 2, 3, 0)), ("neighbours", 10), ("neighbours", 5)]
    return EmbeddingExplorer(encoders, sample, [f"topic {place % 6}" for place in range(SAMPLE)]), moves


def _training_monitor() -> tuple[Explorer, list[Move]]:
    monitor = TrainingMonitor("run", N, every=1e9)
    for step in range(1, 601):
        history = [{"step": 50 * k, "dev": 60.0 + k} for k in range(1, step // 50 + 1)]
        monitor.on_step(Progress(step, 1_000, {"loss": 3 / step + 1, "contrastive": 3 / step}, history))
    return monitor, [("smoothing", smoothing) for smoothing in range(1, 51)]


MAKERS: dict[str, Callable[[], tuple[Explorer, list[Move]]]] = {
    "Group-P": _group_p,
    "teacher variance": _teacher_variance,
    "ensembles": _ensemble,
    "ablations": _ablation,
    "embeddings": _embedding,
    "training monitor": _training_monitor,
}


def repaints(explorer: Explorer, moves: list[Move], most: int) -> Iterator[float]:
    """Seconds of each of ``most`` moves, over and over through the list; a move that changes nothing does not count."""
    counted = 0
    for name, value in itertools.cycle(moves):
        if counted == most:
            return
        if getattr(explorer, name) == value:
            continue
        taken = seconds(lambda name=name, value=value: setattr(explorer, name, value))  # type: ignore[misc]
        counted += 1
        yield taken


def measure_explorers(quick: bool, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Median, 95th percentile and longest repaint of each explorer, in milliseconds."""
    found = {}
    for name, make in MAKERS.items():
        explorer, moves = make()
        times = 1_000 * np.array(list(repaints(explorer, moves, 40 if quick else 200)))
        found[name] = {
            "median": float(np.median(times)),
            "p95": float(np.quantile(times, 0.95)),
            "longest": float(times.max()),
        }
        verdict = "" if found[name]["p95"] <= 1_000 * WANTED else f"   (goal: {1_000 * WANTED:.0f} ms)"
        say(
            f"{name:<18} median {found[name]['median']:5.0f} ms   95% {found[name]['p95']:5.0f} ms{verdict}   "
            f"longest {found[name]['longest']:5.0f} ms"
        )
    return found
