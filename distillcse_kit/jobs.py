"""One training run as a value, how it is made, and many of them side by side.

A model as small as the micro encoder cannot keep several cores busy: its matrix products are done before the threads
have been woken. Two processes of one thread each finish two runs sooner than one process of two threads does, one run
after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm.auto import tqdm

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.pairs import SentencePairs
from distillcse_kit.store import Store
from distillcse_kit.teachers import TeacherEnsemble, embed_corpus, embeddings_path
from distillcse_kit.training import Corpus, Distillation, Run, Watcher, run_folder, tokenized, train

MOST_PROCESSES = 4  # each holds its own interpreter, model and optimiser: about a gigabyte


@dataclass(frozen=True)
class Job:
    """A SimCSE teacher, or a student of the teachers in these run folders.

    Attributes:
        training: seed included.
        label: shown beside the progress bar.
        distillation: None for a teacher.
        teachers: folders of the runs that teach, averaged.
    """

    training: TrainingSettings
    label: str
    distillation: DistillationSettings | None = None
    teachers: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Workplace:
    """What all jobs share: store, corpus, the pairs that choose checkpoints, and where teachers stop reading."""

    store: Store
    corpus: Corpus
    dev: SentencePairs
    max_tokens: int = TrainingSettings.max_tokens

    def embeddings(self, teacher: Path, progress: bool = True) -> np.ndarray:
        """The unit embeddings of the corpus by the encoder of a run folder, float16 [n, d], memory-mapped."""
        encoder = Run.load(teacher).encoder()
        text = tokenized(self.store, encoder, self.corpus)
        label = f"embed {teacher.name[:6]}" if progress else None
        return embed_corpus(self.store, encoder, text, self.corpus.fingerprint, label, self.max_tokens)

    def embed_all(self, teachers: Sequence[Path]) -> None:
        """Make the embeddings of all these run folders that the store lacks, side by side."""
        missing = [folder for folder in teachers if not self._embedded(folder).is_file()]
        side_by_side(self.embeddings, [(folder, False) for folder in missing], "embed the corpus")

    def _embedded(self, teacher: Path) -> Path:
        return embeddings_path(self.store, Run.load(teacher).encoder(), self.corpus.fingerprint, self.max_tokens)

    def lesson(self, job: Job, progress: bool = True) -> Distillation | None:
        """What a job's student learns; None for a teacher."""
        if job.distillation is None:
            return None
        embeddings = {folder.name: self.embeddings(folder, progress) for folder in job.teachers}
        return Distillation(job.distillation, TeacherEnsemble(embeddings))

    def is_done(self, job: Job) -> bool:
        """Whether the store has the job's run."""
        folder = run_folder(self.store, job.training, self.corpus, self.dev, self.lesson(job))
        return (folder / "run.json").is_file()

    def make(self, job: Job, progress: bool = True, on_step: Watcher | None = None) -> Run:
        """Train the job's run, or load it; ``on_step`` as in ``train``."""
        lesson, label = self.lesson(job, progress), job.label if progress else None
        return train(self.store, job.training, self.corpus, self.dev, lesson, label, on_step)

    def make_all(self, jobs: Sequence[Job], label: str, parallel: bool) -> list[Run]:
        """The runs of all jobs, in order. With ``parallel``, those that are missing are trained side by side."""
        if parallel:
            self.embed_all(sorted({folder for job in jobs for folder in job.teachers}))
            side_by_side(self.make, [(job, False) for job in jobs if not self.is_done(job)], label)
        return [self.make(job) for job in tqdm(jobs, desc=label, leave=False)]


def score_all(runs: Sequence[Run], sets: Sequence[SentencePairs]) -> None:
    """Score all runs on all sets of pairs side by side, as far as that has not been done."""
    missing = [run for run in runs if any(run.known_score(pairs) is None for pairs in sets)]
    side_by_side(_score_run, [(run, sets) for run in missing], "scores")


def _score_run(run: Run, sets: Sequence[SentencePairs]) -> None:
    for pairs in sets:
        run.score(pairs)


def processes_for(jobs: int) -> int:
    """How many processes share the cores: one a core, four at most; one if a GPU does the work."""
    return 1 if torch.cuda.is_available() else min(jobs, cpu_count(), MOST_PROCESSES)


def side_by_side(work: Callable[..., object], arguments: Sequence[tuple[Any, ...]], label: str) -> None:
    """Call ``work`` with each of the arguments, in processes that share the cores, behind one progress bar.

    Args:
        work: what it makes must land in a file, for its result stays in its process. With one call, or where one
            process is best, nothing is done: the caller does it.
        arguments: of one call each.
        label: shown beside the bar.

    Raises:
        Exception: what a call raised; the others are stopped.
    """
    count = processes_for(len(arguments))
    if count < 2:
        return
    with parallel_config("loky", inner_max_num_threads=max(1, cpu_count() // count)):
        finished = Parallel(n_jobs=count, return_as="generator_unordered")(delayed(work)(*each) for each in arguments)
        for _ in tqdm(finished, total=len(arguments), desc=f"{label}, {count} at once", leave=False):
            pass
