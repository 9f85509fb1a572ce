"""Tables 5, 8 and 9 of the paper, from the runs of the main table: {row: {column: values over seeds}}."""

from __future__ import annotations

import numpy as np
import torch

from distillcse_kit.analysis.agreement import agreements, remaining_loss
from distillcse_kit.evaluation.scoring import spearman
from distillcse_kit.experiments.sweep_design import Table
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.training.loop import rows_read
from distillcse_kit.training.named_recipes import METHODS
from distillcse_kit.training.recipe import Own
from distillcse_kit.training.run import Run

RAW = "raw teacher ensemble"
# {field of ``analysis.agreement.Remaining``: its name in Table 9}
_NAMES = {"cross_entropy": "cross-entropy", "shuffled": "shuffled cross-entropy", "kl": "KL"}


def table_5(lab: Laboratory) -> Table:
    """Is an ensemble as good as its student? The raw ensemble is the teachers' mean cosine of each pair.

    There is one raw ensemble and so one score; students have one score per seed. Columns are dev and the test tasks.
    """
    teachers = lab.teachers()
    tasks = {"dev": lab.dev, **lab.tests}
    mean = {task: np.mean([lab.pair_cosines(run, task) for run in teachers], axis=0) for task in tasks}
    return {
        METHODS["vanilla"]: lab.scores(lab.students("vanilla")),
        METHODS["components"]: lab.scores(lab.students("components")),
        RAW: {task: [spearman(mean[task], pairs.score)] for task, pairs in tasks.items()},
        "single teachers": lab.scores(teachers),
    }


def table_8(lab: Laboratory) -> Table:
    """Whom does a student agree with on the dev pairs? Spearman x 100; columns as in the paper, values as in
    ``Agreement``."""
    teachers = lab.teachers()[: lab.profile.seeds]
    taught_by = np.stack([lab.pair_cosines(run, "dev") for run in teachers])
    found = {}
    for row, method in (("not shuffled", "vanilla"), ("shuffled", "group_p")):
        cosines = np.stack([lab.pair_cosines(run, "dev") for run in lab.students(method)])
        agree = agreements(cosines, taught_by, np.array(lab.dev.score))
        found[row] = {name.replace("_", " "): values for name, values in vars(agree).items()}
    return found


def table_9(lab: Laboratory, batches: int = 4) -> Table:
    """What is left of the distillation loss after training, in nats, without dropout, on three kinds of sentences.

    "read": the corpus's sentences that the run was trained on. "unread": the corpus's other sentences (no column if the
    run read all). "dev": sentences of the dev pairs, which are of another kind. Each has the cross-entropy against the
    teacher's own targets, the one against shuffled targets, and the KL, which can be compared between teachers.
    """
    teachers = lab.teachers()
    found: Table = {}
    for method in ("vanilla", "group_p", "distillcse"):
        recipe = lab.recipe(method)
        assert recipe.distillation is not None
        row: dict[str, list[float]] = {}
        for seed, student in enumerate(lab.students(method)):
            taught_by = [teachers[seed]] if isinstance(recipe.teachers, Own) else teachers
            for where, sentences in _sentences(lab, student, batches).items():
                size = lab.profile.training.batch_size
                targets = torch.stack([lab.batch_cosines(run, sentences, size) for run in taught_by]).mean(dim=0)
                left = remaining_loss(lab.batch_cosines(student, sentences, size), targets, recipe.distillation, seed)
                for name, value in vars(left).items():
                    row.setdefault(f"{where}, {_NAMES[name]}", []).append(value)
        found[METHODS[method]] = row
    return found


def _sentences(lab: Laboratory, run: Run, batches: int) -> dict[str, list[str]]:
    """Sentences of each kind for at most ``batches`` batches; the run's own order of data says which it has read."""
    settings, draw = lab.profile.training, np.random.default_rng(run.seed)
    wanted, n = batches * settings.batch_size, len(lab.corpus)
    read = np.unique(rows_read(n, settings, run.seed))
    unread = np.setdiff1d(np.arange(n), read)
    kinds = {"read": draw.permutation(read)[:wanted]}
    if len(unread) >= settings.batch_size:
        kinds["unread"] = draw.permutation(unread)[:wanted]
    dev = sorted(set(lab.dev.first) | set(lab.dev.second))
    return {where: [lab.corpus.sentences[int(row)] for row in rows] for where, rows in kinds.items()} | {
        "dev": draw.permutation(dev)[:wanted].tolist()
    }
