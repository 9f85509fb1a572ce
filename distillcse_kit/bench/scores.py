"""Do the fast path's students score as those of plain float32 training do? Several seeds of both, on the user's data.

The plain way: float32, ``transformers``' own forward pass over padded batches, torch's dropout, both views in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from distillcse_kit.config import with_changes
from distillcse_kit.evaluation.statistics import paired_difference, seed_interval, verdict
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.store import Store
from distillcse_kit.training.loop import train
from distillcse_kit.training.objective import Distillation


@contextmanager
def plain_way() -> Iterator[None]:
    """Inside, no encoder is known to be like BERT, so that nothing of it is done in our own way."""
    with (
        patch("distillcse_kit.encoder.sentence_encoder.is_like_bert", lambda model: False),
        patch("distillcse_kit.training.loop.is_like_bert", lambda model: False),
    ):
        yield


def compare_students(lab: Laboratory, say: Callable[[str], None]) -> dict[str, Any]:
    """Group-P students of one teacher, one a seed, trained both ways with the same seeds and order of sentences.

    Args:
        lab: profile, corpus, pairs and store; the plain students go into a folder "plain" of the store.
        say: takes each result as a line.

    Returns:
        {"fast", "plain": {task: score of each seed}, "difference": {task: {"mean", "low", "high"}} of fast - plain with
        its 95% interval over seeds}. Tasks are "dev" and the headline test set.
    """
    teacher = lab.teacher(0)
    lesson = Distillation(with_changes(lab.profile.distillation, shuffle="group_p"), lab.ensemble([teacher]))
    plain = Store(lab.store.root / "plain")
    found: dict[str, dict[str, list[float]]] = {}
    for way, store in (("fast", lab.store), ("plain", plain)):
        runs = []
        with plain_way() if way == "plain" else nullcontext():
            for seed in range(lab.profile.seeds):
                settings = with_changes(lab.profile.training, seed=seed)
                if way == "plain":
                    settings = with_changes(settings, precision="float32", compile="off")
                runs.append(train(store, settings, lab.corpus, lab.dev, lesson, f"{way} {seed}"))
        found[way] = {task: [lab.score(run, task) for run in runs] for task in ("dev", lab.headline)}
        for task, scores in found[way].items():
            say(f"{way:<6}{task:<8}{seed_interval(scores)}   ({', '.join(f'{score:.2f}' for score in scores)})")
    differences = {}
    for task, scores in found["fast"].items():
        interval = paired_difference(scores, found["plain"][task])
        differences[task] = {"mean": interval.mean, "low": interval.low, "high": interval.high}
        say(f"{task}: {verdict(interval, 'the fast way', 'the plain way')}")
    return {**found, "difference": differences}
