"""How fast a GPU trains at the paper's scale: BERT-base's shape with random weights, which train as fast as any others.

Speed is in tokens a second, and as a share of the same device's measured peak in bfloat16 matrix products.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel

from distillcse_kit.bench.measure import matrix_peak, seconds, waited
from distillcse_kit.bench.workshop import Extent, Workshop
from distillcse_kit.config import PAPER_TRAINING
from distillcse_kit.encoder.devices import chosen_device, name_of
from distillcse_kit.encoder.loading import MICRO
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.fast.switches import Switches
from distillcse_kit.training.teacher_embeddings import embedder

TEACHERS = 16
SENTENCES = 1_000_000  # the paper's corpus
ROUNDS = 2
SEEDS = 5


def measure_gpu(
    say: Callable[[str], None], shape: BertConfig | None = None, device: str = "auto", steps: int = 50
) -> dict[str, Any]:
    """Time steps of SimCSE and of a 16-teacher student, and embedding, each with its share of the device's peak.

    Args:
        say: called with a line for each result.
        shape: of the encoder; None is BERT-base.
        device: as in ``encoder.devices.chosen_device``; "cpu" is for trying the command out.
        steps: number of steps to time, after as many to warm up.

    Raises:
        KitError: there is no GPU, and the device is not "cpu".
    """
    place = chosen_device(device)
    if device == "auto" and place.type == "cpu":
        raise KitError("torch finds no GPU here; run this on a machine with a GPU, with a build of torch for it.")
    with tempfile.TemporaryDirectory(prefix="distillcse-gpu-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        encoder = SentenceEncoder.load(MICRO, device="cpu")
        torch.manual_seed(0)
        encoder.model = BertModel(shape or BertConfig(), add_pooling_layer=False)
        base = encoder.save(folder / "base")
        shop = Workshop(folder, Extent(1, 1, 4_096), device=place, base=str(base))
        peak = matrix_peak(torch.bfloat16, place, 1_024 if place.type == "cpu" else 8_192)
        lengths = np.minimum(shop.text.lengths[np.concatenate(shop.batches)], shop.training.max_tokens)
        tokens = float(lengths.mean()) * shop.training.batch_size
        found: dict[str, Any] = {"device": name_of(place), "matrix_peak_teraflops": float(f"{peak / 1e12:.3g}")}

        def keep(what: str, tokens_per_second: float, operations: int) -> None:
            share = operations * shop.weights * tokens_per_second / peak
            found[what] = {"tokens_per_second": round(tokens_per_second), "share_of_peak": float(f"{share:.3g}")}
            say(f"{what:<32}{tokens_per_second:>12,.0f} tokens/s   {share:.1%} of the peak in matrix products")

        for what, teachers, fast in (
            ("SimCSE", 0, True),
            ("SimCSE, the plain way", 0, False),
            (f"student of {TEACHERS}", TEACHERS, True),
        ):
            step = shop.steps(shop.trainer(teachers, Switches.of(fast)))
            # Forward and backward of both views: 6 operations a weight and token.
            keep(what, 2 * tokens / _seconds(step, steps, place), 6)
        every, longest = range(len(shop.text)), shop.training.max_tokens
        embed = embedder(shop.store, shop.encoder, shop.corpus, longest)
        keep("embedding", np.minimum(shop.text.lengths, longest).sum() / _seconds(lambda: embed(every), 1, place), 2)
        found["estimate"] = estimate(found, float(lengths.mean()))
        say(found["estimate"]["arithmetic"])
        return found


def estimate(found: dict[str, Any], tokens_a_sentence: float) -> dict[str, Any]:
    """Hours of the paper's BERT-base experiment at the measured speeds, without scoring, and how they add up."""
    preset = PAPER_TRAINING
    read = preset.steps * preset.batch_size * 2 * tokens_a_sentence / 3_600
    teach = read / found["SimCSE"]["tokens_per_second"]
    student = read / found[f"student of {TEACHERS}"]["tokens_per_second"]
    embed = SENTENCES * tokens_a_sentence / found["embedding"]["tokens_per_second"] / 3_600
    first = TEACHERS * (teach + embed) + SEEDS * student
    later = (ROUNDS - 1) * SEEDS * (embed + student)
    arithmetic = (
        f"One run reads {preset.steps:,} x {preset.batch_size} sentences x 2 views x {tokens_a_sentence:.1f} tokens: "
        f"a teacher {teach:.2f} h, a student {student:.2f} h; embedding {SENTENCES:,} sentences {embed:.3f} h. "
        f"{TEACHERS} x (teacher + embedding) + {SEEDS} students = {first:.1f} h; each later round, {SEEDS} x "
        f"(embedding + student); {ROUNDS} rounds: {first + later:.1f} h."
    )
    return {"hours": round(first + later, 2), "arithmetic": arithmetic}


def _seconds(work: Callable[[], object], times: int, device: torch.device) -> float:
    """Mean seconds of a call after a warm-up; the last call is over when the device has finished."""
    calls = waited(lambda: [work() for _ in range(times)], device)
    calls()
    return seconds(calls) / times
