"""Times as ratios: two ways of the same work, run in turns in one process, so that a noisy machine disturbs both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from distillcse_kit.encoder.devices import wait_for

PROCESSOR = torch.device("cpu")
SHORTEST = 0.3  # seconds of one timing: several calls in a row, as in a run, so that caches and threads are warm


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements.

    Attributes:
        median: of all repeats.
        low, high: lower and upper quartile.
        repeats: number of measurements.
    """

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high), len(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """Wall time of one call, as the mean of ``times`` calls."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def calls_for(work: Callable[[], object]) -> int:
    """How many calls make a timing of ``SHORTEST`` seconds; the first call warms up and does not count."""
    work()
    return max(1, round(SHORTEST / max(seconds(work), 1e-9)))


def compare(*works: Callable[[], object], repeats: int) -> list[list[float]]:
    """Seconds of each work, measured in turns: [number of works][repeats]."""
    calls = [calls_for(work) for work in works]
    found: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for times, work, into in zip(calls, works, found, strict=True):
            into.append(seconds(work, times))
    return found


def ratio(slower: Callable[[], object], faster: Callable[[], object], repeats: int) -> Spread:
    """How many times as long ``slower`` takes as ``faster``; each ratio is of two neighbours in time."""
    first, second = compare(slower, faster, repeats=repeats)
    return Spread.of([a / b for a, b in zip(first, second, strict=True)])


def waited(work: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """The work, and then a wait for the device: calls on a GPU return before their work is done."""

    def done() -> None:
        work()
        wait_for(device)

    return done


def matrix_peak(dtype: torch.dtype, device: torch.device = PROCESSOR, n: int = 2_048) -> float:
    """Operations a second of a matrix product [n, n] x [n, n], the best of five."""
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    product = waited(lambda: a @ b, device)
    product()
    return 2 * n**3 / min(seconds(product) for _ in range(5))
