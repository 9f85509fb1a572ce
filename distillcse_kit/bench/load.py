"""What another busy program costs: the time of a piece of work beside it, as a ratio to the time without it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distillcse_kit.bench.measure import Spread, calls_for, seconds
from distillcse_kit.bench.ratios import mixed_text
from distillcse_kit.bench.workshop import Extent, Workshop
from distillcse_kit.method.losses import contrastive_loss, cosine_matrix, distillation_loss
from distillcse_kit.method.shuffling import group_mean, group_p_shuffle

Work = Callable[[], object]


@contextmanager
def busy_program() -> Iterator[subprocess.Popen[bytes]]:
    """Inside, another process keeps one core busy."""
    program = subprocess.Popen([sys.executable, "-c", "print(end='.', flush=True)\nwhile True: pass"], stdout=-1)
    try:
        assert program.stdout is not None
        program.stdout.read(1)  # it runs
        yield program
    finally:
        program.kill()
        program.communicate()


def small_works() -> dict[str, Work]:
    """{name: shuffling or losses of one batch}, on made-up embeddings of 192 values."""
    works: dict[str, Work] = {}
    for n in (64, 128, 256):
        generator = torch.Generator().manual_seed(n)
        view_a, view_b = (torch.randn(n, 192, generator=generator) for _ in range(2))
        cosines = cosine_matrix(view_a, view_b)
        works[f"Group-P, N = {n}"] = partial(group_p_shuffle, cosines, 0.1, generator=generator)
        works[f"group mean, N = {n}"] = partial(group_mean, cosines, 0.1)
        works[f"contrastive loss, N = {n}"] = partial(contrastive_loss, view_a, view_b)
        works[f"distillation loss, N = {n}"] = partial(distillation_loss, cosines, cosines.T)
    return works


def measure_load(extent: Extent, say: Callable[[str], None]) -> dict[str, Any]:
    """Time each work without and with a busy program beside it, in turns.

    Args:
        extent: how long to measure.
        say: called with a line for each work.

    Returns:
        {work: median, low, high and repeats of the ratio}: 1 costs nothing. With C cores, a program that takes one of
        them can cost work on all cores C / (C - 1), or 2 on two of them.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="distillcse-load-", ignore_cleanup_errors=True) as folder:
        shop, text = Workshop(Path(folder), extent), mixed_text(64)
        works = small_works() | {
            "a student's training step": shop.steps(shop.trainer(1)),
            "encode 64 sentences": partial(shop.encoder.encode, text, show_progress_bar=False),
        }
        for what, work in works.items():
            spread = slowdown(work, extent.slow_repeats)
            found[what] = {key: round(value, 4) for key, value in asdict(spread).items()}
            say(f"{what:<28}{spread} times as long beside a busy program")
    return found


def slowdown(work: Work, repeats: int) -> Spread:
    """How many times as long the work takes beside a busy program; each ratio is of two neighbours in time."""
    times = calls_for(work)
    ratios = []
    for _ in range(repeats):
        quiet = seconds(work, times)
        with busy_program():
            ratios.append(seconds(work, times) / quiet)
    return Spread.of(ratios)
