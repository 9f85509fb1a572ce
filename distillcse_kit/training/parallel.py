"""Many runs side by side, in processes that share the cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config

from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.devices import chosen_device
from distillcse_kit.progress import counted
from distillcse_kit.training.run import Run

MOST_PROCESSES = 4  # each holds its own interpreter, model and optimiser: about a gigabyte


def score_all(runs: Sequence[Run], sets: Sequence[SentencePairs], device: str | torch.device = "auto") -> None:
    """Score all runs on all sets of pairs, side by side; runs that have all scores already are left out."""
    missing = [run for run in runs if any(run.known_score(pairs) is None for pairs in sets)]
    side_by_side(_score_run, [(run, sets, device) for run in missing], "scores", device)


def _score_run(run: Run, sets: Sequence[SentencePairs], device: str | torch.device) -> None:
    for pairs in sets:
        run.score(pairs, device)


def processes_for(jobs: int, device: str | torch.device = "auto") -> int:
    """How many processes share the cores: one per core, at most four; only one where a GPU does the work."""
    return min(jobs, cpu_count(), MOST_PROCESSES) if chosen_device(device).type == "cpu" else 1


def side_by_side(
    work: Callable[..., object],
    arguments: Sequence[tuple[Any, ...]],
    label: str,
    device: str | torch.device = "auto",
) -> None:
    """Call ``work`` with each of the arguments, in processes that share the cores, behind one progress bar.

    Args:
        work: it must write its result to a file, since what it returns is lost. With one call, or where one process
            is best, it is not called at all: the caller does the work.
        arguments: one tuple per call.
        label: shown beside the bar.
        device: where the calls compute.

    Raises:
        Exception: what a call raised; the others are stopped.
    """
    count = processes_for(len(arguments), device)
    if count < 2:
        return
    with parallel_config("loky", inner_max_num_threads=max(1, cpu_count() // count)):
        finished = Parallel(n_jobs=count, return_as="generator_unordered")(delayed(work)(*each) for each in arguments)
        for _ in counted(finished, len(arguments), f"{label}, {count} at once"):
            pass
