"""One training run as a value, how it is made, and many of them side by side.

A model as small as the micro encoder cannot keep several cores busy: its matrix products are done before the threads
have been woken. Two processes of one thread each finish two runs sooner than one process of two threads does, one run
after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.store import Store
from distillcse_kit.training.corpus import Corpus, tokenized
from distillcse_kit.training.loop import Watcher, train
from distillcse_kit.training.objective import Distillation
from distillcse_kit.training.parallel import side_by_side
from distillcse_kit.training.run import Run, run_folder
from distillcse_kit.training.teacher_embeddings import embed_corpus, embeddings_path


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
