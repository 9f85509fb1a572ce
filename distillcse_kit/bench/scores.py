"""Do students trained the fast way score like those trained the plain way? Several seeds of both, on the user's data.

The plain way: float32, ``transformers``' own forward pass over padded batches, torch's dropout, both views in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distillcse_kit.evaluation.statistics import paired_difference, seed_interval, verdict
from distillcse_kit.laboratory import Laboratory


def compare_students(lab: Laboratory, say: Callable[[str], None]) -> dict[str, Any]:
    """Group-P students of teacher 0, one per seed, trained both ways with the same seeds and order of sentences.

    Args:
        lab: profile, corpus, pairs and store.
        say: called with a line for each result.

    Returns:
        {"fast", "plain": {task: score of each seed}, "difference": {task: {"mean", "low", "high"}} of fast - plain with
        its 95% interval over seeds}. Tasks are "dev" and the headline test set.
    """
    teacher = [lab.teacher(0)]
    plain: dict[str, Any] = {"fast": False, "precision": "float32"}
    found: dict[str, dict[str, list[float]]] = {}
    for way, settings in (("fast", {}), ("plain", plain)):
        runs = [lab.run(lab.recipe("group_p", seed, teachers=teacher, **settings)) for seed in range(lab.profile.seeds)]
        found[way] = {task: [lab.score(run, task) for run in runs] for task in ("dev", lab.headline)}
        for task, scores in found[way].items():
            say(f"{way:<6}{task:<8}{seed_interval(scores)}   ({', '.join(f'{score:.2f}' for score in scores)})")
    differences = {}
    for task, scores in found["fast"].items():
        interval = paired_difference(scores, found["plain"][task])
        differences[task] = {"mean": interval.mean, "low": interval.low, "high": interval.high}
        say(f"{task}: {verdict(interval, 'the fast way', 'the plain way')}")
    return {**found, "difference": differences}
