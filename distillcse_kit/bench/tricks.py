"""What each trick of ``fast`` is worth alone, as ratios of the time without it to the time with it.

A trick that needs another one is measured with that one on both sides: dropout masks with packing, and threads with
packing and dropout masks. So each figure is for one trick alone, and those of a step multiply to about that of all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distillcse_kit.bench.measure import Spread, ratio
from distillcse_kit.bench.ratios import BATCH_SIZES, mixed_text
from distillcse_kit.bench.workshop import Extent, Workshop
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.fast.switches import Switches
from distillcse_kit.method.losses import cosine_matrix
from distillcse_kit.method.shuffling import group_p_shuffle

# {trick: (without it, with it)}, of a student's step; the last line is all of them together.
STEPS = {
    "packing": (Switches(packing=False), Switches(dropout=False)),
    "dropout": (Switches(dropout=False), Switches(threads=False)),
    "threads": (Switches(threads=False), Switches()),
    "sorting": (Switches(sorting=False), Switches()),
    "all": (Switches.of(False), Switches.of(True)),
}


def measure_tricks(extent: Extent, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every trick in this process, on the processor, in turn with the same work without it.

    Args:
        extent: how long to measure.
        say: called with a line for each result.

    Returns:
        {"step": {trick: spread}, "group_p": {N: spread}, "encode": spread}, each spread as median, low, high, repeats;
        above 1 the trick saves time.
    """
    found: dict[str, Any] = {"step": {}, "group_p": {}}

    def keep(what: str, into: dict[str, Any], name: str, spread: Spread) -> None:
        into[name] = {key: round(value, 4) for key, value in asdict(spread).items()}
        say(f"{what:<46}{spread}")

    for n in BATCH_SIZES:
        keep(f"Group-P, N = {n}: plain / packed sort", found["group_p"], str(n), group_p_ratio(n, extent.quick_repeats))
    keep("encode: transformers / packed, in threads", found, "encode", encode_ratio(extent))
    with tempfile.TemporaryDirectory(prefix="distillcse-tricks-", ignore_cleanup_errors=True) as folder:
        shop = Workshop(Path(folder), extent)
        for trick, (without, those) in STEPS.items():
            slower, faster = (shop.steps(shop.trainer(1, switches=way)) for way in (without, those))
            keep(f"a step: without / with {trick}", found["step"], trick, ratio(slower, faster, extent.slow_repeats))
    return found


def group_p_ratio(n: int, repeats: int, p: float = 0.1) -> Spread:
    """Group-P of a batch of n: the plain sort against the packed one."""
    generator = torch.Generator().manual_seed(n)
    vectors = torch.randn(n, 192, generator=generator)
    shuffle = partial(group_p_shuffle, 0.5 + 0.5 * cosine_matrix(vectors, vectors), p, generator=generator)
    return ratio(partial(shuffle, fast=False), partial(shuffle, fast=True), repeats)


def encode_ratio(extent: Extent) -> Spread:
    """``encode`` of sentences of many lengths: the plain way against the fast one."""
    text = mixed_text((extent.sentences or 4_096) // 2)
    plain, fast = (SentenceEncoder.load("micro", fast=way, device="cpu") for way in (False, True))
    works = [partial(encoder.encode, text, show_progress_bar=False) for encoder in (plain, fast)]
    return ratio(works[0], works[1], extent.slow_repeats)
