"""Small data for each explorer. The notebook in the browser and the tests both compute with it.

The file is copied beside the notebook, so it imports nothing from the tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from distillcse_kit.analysis import batch_cosines, unit
from distillcse_kit.config import DistillationSettings, Profile, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.experiments.ablation import Ablation
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.training.loop import Progress
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.training_text import Corpus

HOSTILE = "<img src=x onerror=alert(1)>"
WHO = ["The cook", "A nurse", "The farmer", "My neighbour", "A pilot", "The judge"]
DOES = ["washes", "paints", "buys", "hides"]
WHAT = ["a red bowl", "two letters", "the garden gate", "her bicycle"]
SENTENCES = [HOSTILE, *(f"{who} {does} {what}." for who in WHO for does in DOES for what in WHAT)]
TOPICS = ["hostile", *(what for _ in WHO for _ in DOES for what in WHAT)]
TEACHERS, N, STEPS, HELD = 4, 16, 8, 4
STUDENTS = {1: [60.0, 61.0], 4: [63.0, 63.5]}


def cosines() -> np.ndarray:
    """Cosines of four teachers on two batches of 16 sentences, [4, 2, 16, 16]."""
    draw = np.random.default_rng(0)
    shared, own = draw.normal(size=(1, 2, N, 12)), draw.normal(size=(TEACHERS, 2, N, 12))
    return batch_cosines(unit(shared + 0.6 * own + 0.4))


def batches() -> list[list[str]]:
    """The sentences of the two batches."""
    return [SENTENCES[:N], SENTENCES[N : 2 * N]]


def graded_pairs() -> tuple[np.ndarray, list[float]]:
    """The teachers' cosines of 40 graded pairs, [4, 40], and the gold scores."""
    draw = np.random.default_rng(1)
    gold = draw.normal(size=40)
    return gold + draw.normal(size=(TEACHERS, 40)), gold.tolist()


def laboratory(folder: Path) -> Laboratory:
    """A small laboratory with its store in ``folder``: two seeds, few steps, few sentences, 1 to 2 seconds a run."""
    training = TrainingSettings(steps=STEPS, evaluate_every=HELD, batch_size=8, precision="float32")
    profile = Profile("test", training, DistillationSettings(), teachers=2, seeds=2)
    lab = Laboratory(profile, store=folder / "small-store")
    first, second = SENTENCES[1:41], SENTENCES[4:44]
    shared = [float(len(set(a.split()) & set(b.split()))) for a, b in zip(first, second, strict=True)]
    lab.corpus = Corpus(SENTENCES[1:], "browser-tests")
    lab.dev = SentencePairs("dev", first, second, shared)
    return lab


def held_trainer(ablation: Ablation, gate: Path) -> Callable[[Recipe, int, Callable[[Progress], None]], float]:
    """Like ``Ablation.train``, but each run stops halfway and waits until the file ``gate`` exists."""

    def train(recipe: Recipe, seed: int, watch: Callable[[Progress], None]) -> float:
        def step(progress: Progress) -> None:
            watch(progress)
            while progress.step == HELD and not gate.exists():
                time.sleep(0.02)

        return ablation.train(recipe, seed, step)

    return train
