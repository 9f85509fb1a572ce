"""What ``distillcse bench`` measures: the kit against the plain way of the same work, as ratios within one run."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillcse_kit.bench.measure import Spread, compare, matrix_peak, ratio, seconds
from distillcse_kit.bench.memory import TASKS, peak_of_process
from distillcse_kit.bench.plain_way import group_p_loop
from distillcse_kit.bench.workshop import FULL, QUICK, TEACHERS, Extent, Workshop
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sts import load_sts
from distillcse_kit.encoder.devices import use_bfloat16
from distillcse_kit.encoder.loading import MICRO, quietly
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.evaluation.scoring import score_pairs
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.method.shuffling import group_p_shuffle
from distillcse_kit.versions import versions

BATCH_SIZES = (64, 256, 512)
SETTINGS_OF_AN_ABLATION = 8

# ---------------------------------------------------------------- measurements


def measure_group_p(extent: Extent, p: float = 0.1) -> dict[str, Spread]:
    """One call of Group-P against a loop over rows and groups."""
    found = {}
    for n in BATCH_SIZES:
        vectors = torch.nn.functional.normalize(torch.randn(n, 192, generator=torch.Generator().manual_seed(n)), dim=-1)
        cosines = 0.5 + 0.5 * vectors @ vectors.T
        loop, ours = partial(group_p_loop, cosines, p), partial(group_p_shuffle, cosines, p)
        found[str(n)] = ratio(loop, ours, extent.quick_repeats)
    return found


def measure_loss_share(shop: Workshop) -> Spread:
    """A stored teacher's cosines, shuffling and distillation loss with its gradient, as a share of a student's step."""
    return ratio(shop.loss_alone(1), shop.steps(shop.trainer(1)), shop.extent.slow_repeats)


def measure_steps(shop: Workshop) -> dict[str, dict[str, Spread]]:
    """A student's step by the number of its teachers, against a SimCSE step and against running the teachers."""
    simcse = shop.steps(shop.trainer())
    stored = {str(m): shop.steps(shop.trainer(m)) for m in TEACHERS}
    repeats = shop.extent.slow_repeats
    return {
        "step_vs_simcse": {m: ratio(step, simcse, repeats) for m, step in stored.items()},
        "every_step_vs_stored": {
            m: ratio(shop.plain_steps(int(m)), step, max(1, repeats // 3)) for m, step in stored.items()
        },
    }


def measure_jobs(shop: Workshop) -> dict[str, Spread]:
    """Whole jobs of one epoch with 16 teachers, from rates that are measured in turn.

    A job of S steps of N sentences costs S (stored step) + 16 S N (one embedding), and S (step that runs the teachers)
    in the plain way; S cancels. An ablation of 8 settings pays for the embeddings once.
    """
    most, size = max(TEACHERS), shop.training.batch_size
    ids = shop.text.rows(range(len(shop.text)), shop.training.max_tokens)

    def embed() -> None:
        shop.encoder.encode_tokens(ids, 128, True, False, "auto")

    plain, stored, embedding = compare(
        shop.plain_steps(most), shop.steps(shop.trainer(most)), embed, repeats=shop.extent.slow_repeats
    )
    once = [most * size * time / len(ids) for time in embedding]
    settings = SETTINGS_OF_AN_ABLATION
    return {
        "first_student_vs_every_step": Spread.of(
            [slow / (step + all_of_them) for slow, step, all_of_them in zip(plain, stored, once, strict=True)]
        ),
        "ablation8_vs_every_step": Spread.of(
            [
                settings * slow / (settings * step + all_of_them)
                for slow, step, all_of_them in zip(plain, stored, once, strict=True)
            ]
        ),
    }


def measure_training(shop: Workshop) -> dict[str, Any]:
    """Sentences a second of SimCSE training against the plain float32 loop, and tokens a second against the peak."""
    plain, ours = compare(shop.plain_steps(), shop.steps(shop.trainer()), repeats=max(shop.extent.slow_repeats, 5))
    step = float(np.median(ours))
    lengths = np.minimum(shop.text.lengths[np.concatenate(shop.batches)], shop.training.max_tokens)
    tokens = 2 * float(lengths.mean()) * shop.training.batch_size
    dtype = torch.bfloat16 if use_bfloat16("auto", torch.device("cpu")) else torch.float32
    # Forward and backward: 6 operations a weight and token.
    return {
        "train_vs_plain_loop": Spread.of([a / b for a, b in zip(plain, ours, strict=True)]),
        "tokens_per_second": round(tokens / step),
        "share_of_matrix_peak": round(6 * shop.weights * tokens / step / matrix_peak(dtype), 3),
    }


def measure_scoring(shop: Workshop) -> Spread:
    """Scoring the built-in dev pairs once, as a share of the training steps between two scores."""
    trainer, pairs = shop.trainer(), load_sts("builtin", None, "dev")
    score, step = compare(
        partial(score_pairs, trainer.dev_encoder, pairs), shop.steps(trainer), repeats=shop.extent.slow_repeats
    )
    between = shop.training.evaluate_every
    return Spread.of([once / (between * each) for once, each in zip(score, step, strict=True)])


def mixed_text(count: int) -> list[str]:
    """Sentences, pairs of them and paragraphs of six: what people embed has many lengths."""
    pairs = load_sts("kit")
    single = list(pairs.first) + list(pairs.second) + list(load_corpus("builtin", limit=count)["sentence"])
    draw = np.random.default_rng(0)
    lengths = draw.choice([1, 1, 1, 2, 2, 6], count)
    return [" ".join(draw.choice(single, length)) for length in lengths]


def measure_encoding(extent: Extent) -> dict[str, Any]:
    """``encode`` against ``sentence_transformers.encode`` with the same weights, and how well the embeddings agree."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return {}
    with quietly():
        theirs = SentenceTransformer(str(MICRO), device="cpu").float()
    ours = SentenceEncoder.load("micro", device="cpu")
    text = mixed_text((extent.sentences or 4_096) // 2)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "default": lambda: ours.encode(text, show_progress_bar=False),
        "float32": lambda: ours.encode(text, show_progress_bar=False, precision="float32"),
        "auto": lambda: ours.encode(text, show_progress_bar=False, precision="auto"),
    }

    def baseline() -> np.ndarray:
        return theirs.encode(text, show_progress_bar=False)

    expected = baseline()
    agreement = {}
    for name, way in ways.items():
        found = way()
        cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
        agreement[name] = round(float(cosines.min()), 6)
    return {
        "encode_vs_sentence_transformers": {
            name: ratio(baseline, way, extent.slow_repeats) for name, way in ways.items()
        },
        "lowest_cosine_with_sentence_transformers": agreement,
    }


def measure_store(shop: Workshop) -> dict[str, Any]:
    """The embedding store: bytes a sentence and teacher, and reading a random batch of 16 teachers."""
    files = shop.embeddings(max(TEACHERS))
    stored = TeacherEnsemble({str(number): array for number, array in enumerate(files)})
    read = [1_000 * seconds(lambda: stored.vectors(shop.batches[0]), 5) for _ in range(shop.extent.quick_repeats)]
    return {
        "store_bytes_per_sentence": files[0].nbytes / len(shop.corpus),
        "store_milliseconds_per_batch_of_16_teachers": Spread.of(read),
    }


def measure_memory(corpus: str) -> dict[str, float]:
    """Peak resident memory in MB of a process that does one of the tasks and nothing else."""
    return {task: peak_of_process(task, corpus) for task in TASKS}


# ---------------------------------------------------------------- all of them


def run_bench(quick: bool, corpus: str = "builtin", say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure everything; ``say`` gets each result as soon as there is one.

    Returns:
        Medians by name (numbers, or dictionaries of them), with "spread": the same names with median, quartiles and
        repeats, and "machine", "versions", "quick" and "corpus".
    """
    extent = QUICK if quick else FULL
    medians: dict[str, Any] = {}
    spreads: dict[str, Any] = {}

    def keep(found: dict[str, Any]) -> None:
        for name, value in found.items():
            medians[name] = _medians(value)
            if (spread := _spreads(value)) is not None:
                spreads[name] = spread
            say(f"{name:<46}{_shown(value)}")

    with tempfile.TemporaryDirectory(prefix="distillcse-bench-", ignore_cleanup_errors=True) as folder:
        keep({"group_p_vs_loop": measure_group_p(extent)})
        shop = Workshop(Path(folder), extent, corpus)
        keep({"shuffled_loss_share_of_step": measure_loss_share(shop)})
        keep(measure_steps(shop))
        keep(measure_jobs(shop))
        keep(measure_training(shop))
        keep({"scoring_share_of_training": measure_scoring(shop)})
        keep(measure_encoding(extent))
        keep(measure_store(shop))
        keep({"peak_memory_megabytes": measure_memory(corpus)})
    about = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    return medians | {
        "spread": spreads,
        "machine": about,
        "versions": versions(),
        "quick": quick,
        "corpus": {"source": corpus, "mean_tokens": round(float(shop.text.lengths.mean()), 1)},
    }


def _medians(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _medians(item) for name, item in value.items()}
    return round(value.median, 4) if isinstance(value, Spread) else value


def _spreads(value: Any) -> Any:
    if isinstance(value, dict):
        found = {name: spread for name, item in value.items() if (spread := _spreads(item)) is not None}
        return found or None
    return {key: round(item, 4) for key, item in asdict(value).items()} if isinstance(value, Spread) else None


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "   ".join(f"{name}: {_shown(item)}" for name, item in value.items())
    return str(value)
