"""The laboratory bench of notebooks and command: a profile, data and a store, and everything that is made from them.

Whatever is asked for is loaded if the store has it, and made otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillcse_kit.config import DistillationSettings, Profile, profile_named, with_changes
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.sts import available_tasks, load_sts
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import PAPER_TASKS, first_pairs, pair_cosines, pairs_fingerprint, score_pairs
from distillcse_kit.evaluation.word_overlap import tfidf_score
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.store import Store, save_array
from distillcse_kit.training.corpus import Corpus
from distillcse_kit.training.loop import Watcher
from distillcse_kit.training.parallel import score_all
from distillcse_kit.training.run import Run
from distillcse_kit.training.workplace import Job, Workplace


@dataclass(frozen=True)
class Method:
    """One row of the main table: what a student gets beside plain distillation.

    Attributes:
        name: as the tables show it.
        shuffle: of the teacher's logits.
        many_teachers: the mean of all teachers' logits, or one teacher: the student of seed s learns from teacher s.
    """

    name: str
    shuffle: str
    many_teachers: bool


METHODS: dict[str, Method] = {
    "vanilla": Method("vanilla distillation", "none", False),
    "group_p": Method("+ Group-P", "group_p", False),
    "group_mean": Method("+ group mean", "group_mean", False),
    "components": Method("+ teacher components", "none", True),
    "distillcse": Method("DistillCSE", "group_p", True),
}


class Laboratory:
    """Trains, loads and scores what the lessons speak of.

    Args:
        profile: "smoke", "laptop", "paper", or a Profile.
        data_dir: folder with STS sets (and perhaps a corpus); None works on the built-in sentences and pairs.
        corpus: "builtin", a file, or a hub name; None takes the folder's corpus, or the built-in one.
        base: another encoder to start from than the profile's.
        store: folder of everything computed.

    Attributes:
        profile, store: as given. real: whether the pairs are real STS sets rather than the built-in ones.
    """

    def __init__(
        self,
        profile: str | Profile = "laptop",
        data_dir: str | Path | None = None,
        corpus: str | Path | None = None,
        base: str | None = None,
        store: str | Path | None = None,
    ) -> None:
        self.profile = profile_named(profile) if isinstance(profile, str) else profile
        if base:
            self.profile = with_changes(self.profile, training=with_changes(self.profile.training, base=base))
        self.data_dir = Path(data_dir) if data_dir else None
        self.corpus_source = corpus or None
        self.store = Store(store)
        self.real = self.data_dir is not None or self.profile.name == "paper"

    @cached_property
    def corpus(self) -> Corpus:
        """The training sentences, as many as the profile takes."""
        source: str | Path | None = self.corpus_source
        if source is None and self.data_dir is not None:
            source = self.data_dir
        if source is None:
            source = "sentence-transformers/wiki1m-for-simcse" if self.profile.name == "paper" else "builtin"
        return Corpus.of(load_corpus(source, limit=self.profile.sentences, store=self.store))

    @cached_property
    def dev(self) -> SentencePairs:
        """The pairs that choose checkpoints: STS-B dev on real data, else the built-in dev pairs."""
        task = "stsb" if self.real else "builtin"
        return first_pairs(load_sts(task, self.data_dir, "dev"), self.profile.dev_pairs)

    @cached_property
    def tests(self) -> dict[str, SentencePairs]:
        """The pairs that are reported, by task: those of the paper's seven sets that are there, or the built-in ones.

        The kit pairs, written by hand, are among them always.
        """
        if not self.real:
            tasks: Sequence[str] = ["builtin", "kit"]
        elif self.data_dir is not None:
            tasks = [*available_tasks(self.data_dir), "kit"]
        else:
            tasks = [*PAPER_TASKS, "kit"]
        return {task: first_pairs(load_sts(task, self.data_dir), self.profile.test_pairs) for task in tasks}

    @property
    def headline(self) -> str:
        """The test set that the figures show: STS-B test on real data, else the built-in test pairs."""
        return "stsb" if "stsb" in self.tests else next(iter(self.tests))

    @cached_property
    def base(self) -> SentenceEncoder:
        """The encoder that every training starts from, untrained."""
        return SentenceEncoder.load(self.profile.training.base, self.profile.training.pooling)

    @property
    def _workplace(self) -> Workplace:
        return Workplace(self.store, self.corpus, self.dev, self.profile.training.max_tokens)

    def _teacher(self, seed: int, **training: Any) -> Job:
        return Job(with_changes(self.profile.training, seed=seed, **training), f"teacher {seed}")

    def student_job(
        self, teachers: Sequence[Run], seed: int, training: dict[str, Any] | None = None, **distillation: Any
    ) -> Job:
        """The job of ``student``, for ``make_all``."""
        settings = with_changes(self.profile.training, seed=seed, **(training or {}))
        wanted = with_changes(with_changes(self.profile.distillation, shuffle="none"), **distillation)
        return Job(settings, f"student {seed} {wanted.shuffle}", wanted, tuple(run.folder for run in teachers))

    def teacher(self, seed: int, on_step: Watcher | None = None, **training: Any) -> Run:
        """A SimCSE teacher; ``training`` changes the profile's settings, ``on_step`` is as in ``training.train``."""
        return self._workplace.make(self._teacher(seed, **training), on_step=on_step)

    def make(self, job: Job, progress: bool = True, on_step: Watcher | None = None) -> Run:
        """The run of one job, with a progress bar or without; ``on_step`` as in ``training.train``."""
        return self._workplace.make(job, progress, on_step)

    def teachers(self, count: int | None = None) -> list[Run]:
        """The first ``count`` teachers, seeds 0, 1, ...; None takes the profile's M."""
        seeds = range(self.profile.teachers if count is None else count)
        return self.make_all([self._teacher(seed) for seed in seeds], "teachers")

    def embeddings(self, teacher: Run) -> np.ndarray:
        """The teacher's unit embeddings of the corpus, float16 [n, d], memory-mapped."""
        return self._workplace.embeddings(teacher.folder)

    def all_embeddings(self, teachers: Sequence[Run]) -> list[np.ndarray]:
        """``embeddings`` of each teacher; with the profile's ``parallel``, missing ones are made side by side."""
        if self.profile.parallel:
            self._workplace.embed_all([teacher.folder for teacher in teachers])
        return [self.embeddings(teacher) for teacher in teachers]

    def ensemble(self, teachers: Sequence[Run], weights: Sequence[float] | None = None) -> TeacherEnsemble:
        """The teachers' stored embeddings as one ensemble; weights in the teachers' order."""
        named = None if weights is None else {run.key: weight for run, weight in zip(teachers, weights, strict=True)}
        keys = [run.key for run in teachers]
        return TeacherEnsemble(dict(zip(keys, self.all_embeddings(teachers), strict=True)), named)

    def student(
        self, teachers: Sequence[Run], seed: int, training: dict[str, Any] | None = None, **distillation: Any
    ) -> Run:
        """A student of the teachers.

        Args:
            teachers: one or several; several are averaged.
            seed: of the student.
            training: changes of the profile's training settings.
            distillation: changes of the profile's distillation, such as shuffle="group_p", p=0.1.
        """
        return self._workplace.make(self.student_job(teachers, seed, training, **distillation))

    def make_all(self, jobs: Sequence[Job], label: str) -> list[Run]:
        """The runs of all jobs, in order; with the profile's ``parallel``, missing ones are trained side by side."""
        return self._workplace.make_all(jobs, label, self.profile.parallel)

    def students(self, method: str, teachers: Sequence[Run] | None = None, **distillation: Any) -> list[Run]:
        """The profile's number of students of one method, seeds 0, 1, ...; with one teacher each, seed s has teacher s.

        Raises:
            KitError: unknown method, or fewer teachers than seeds where each student has its own.
        """
        if method not in METHODS:
            raise KitError(f"Unknown method {method!r}; choose one of {', '.join(METHODS)}.")
        wanted, pool = METHODS[method], list(teachers if teachers is not None else self.teachers())
        if not wanted.many_teachers and len(pool) < self.profile.seeds:
            raise KitError(f"{wanted.name} needs a teacher a seed: {self.profile.seeds} seeds, {len(pool)} teachers.")
        jobs = [
            self.student_job(
                pool if wanted.many_teachers else [pool[seed]], seed, shuffle=wanted.shuffle, **distillation
            )
            for seed in range(self.profile.seeds)
        ]
        return self.make_all(jobs, wanted.name)

    def rounds(self, count: int | None = None) -> list[list[Run]]:
        """Iterative self-training (Eq 4): the students of one round are the teachers of the next.

        Returns:
            The DistillCSE students of round 1, 2, ..., ``count`` (None: the profile's number).
        """
        generations: list[list[Run]] = []
        teachers = self.teachers()
        for _ in range(self.profile.rounds if count is None else count):
            teachers = self.students("distillcse", teachers)
            generations.append(teachers)
        return generations

    def score(self, what: Run | SentenceEncoder, task: str | None = None) -> float:
        """Spearman x 100 of a run or the base on one task's pairs (None: the headline; "dev": the dev pairs)."""
        task = task or self.headline
        pairs = self.dev if task == "dev" else self.tests[task]
        if isinstance(what, Run):
            return what.scores["dev"] if task == "dev" else what.score(pairs)
        content = {"encoder": what.fingerprint(), "pairs": pairs_fingerprint(pairs)}
        return self.store.json("scores", content, lambda: score_pairs(what, pairs))

    def pair_cosines(self, what: Run | SentenceEncoder, task: str | None = None) -> np.ndarray:
        """The cosine of each pair of a task (as in ``score``), float64 [n], computed once."""
        task = task or self.headline
        pairs = self.dev if task == "dev" else self.tests[task]
        encoder = what.encoder() if isinstance(what, Run) else what
        content = {"encoder": encoder.fingerprint(), "pairs": pairs_fingerprint(pairs)}
        return self.store.array("pair_cosines", content, lambda path: save_array(path, pair_cosines(encoder, pairs)))

    def batch_cosines(self, what: Run | SentenceEncoder, sentences: Sequence[str], batch_size: int) -> Tensor:
        """Cosines inside batches of consecutive sentences, float32 [B, N, N]; what fills no batch is left out."""
        encoder = what.encoder() if isinstance(what, Run) else what
        whole = list(sentences[: len(sentences) // batch_size * batch_size])
        token_ids = encoder.tokenize(whole, self.profile.training.max_tokens)
        vectors = torch.from_numpy(encoder.encode_tokens(token_ids, 128, True, False))
        batches = vectors.view(-1, batch_size, vectors.shape[-1])
        return batches @ batches.transpose(1, 2)

    def scores(self, runs: Sequence[Run | SentenceEncoder]) -> dict[str, list[float]]:
        """{"dev" and each test task: the runs' scores in their order}."""
        if self.profile.parallel:
            score_all([run for run in runs if isinstance(run, Run)], list(self.tests.values()))
        return {task: [self.score(run, task) for run in runs] for task in ("dev", *self.tests)}

    def tfidf(self) -> dict[str, float]:
        """What word overlap alone scores on each task."""
        return {"dev": tfidf_score(self.dev)} | {task: tfidf_score(pairs) for task, pairs in self.tests.items()}

    def main_table(
        self, methods: Sequence[str] = tuple(METHODS), second_round: bool = True
    ) -> dict[str, dict[str, list[float]]]:
        """The main table: {row: {task: scores over seeds}} from tf-idf and base to the second round."""
        teachers = self.teachers()
        table = {
            "tf-idf word overlap": {task: [score] for task, score in self.tfidf().items()},
            "base, no training": self.scores([self.base]),
            f"SimCSE teachers ({len(teachers)})": self.scores(teachers),
        }
        for method in methods:
            table[METHODS[method].name] = self.scores(self.students(method, teachers))
        if second_round:
            for number, runs in enumerate(self.rounds()[1:], start=2):
                table[f"DistillCSE, round {number}"] = self.scores(runs)
        return table

    def describe(self) -> dict[str, Any]:
        """The settings that every figure and table of this bench can be traced to."""
        return {
            "profile": self.profile.name,
            "base": self.profile.training.base,
            "corpus": {"sentences": len(self.corpus), "fingerprint": self.corpus.fingerprint},
            "dev": self.dev.name,
            "tests": {task: len(pairs) for task, pairs in self.tests.items()},
            "teachers": self.profile.teachers,
            "seeds": self.profile.seeds,
            "steps": self.profile.training.steps,
            "learning_rate": self.profile.training.learning_rate,
        }


def distillation_of(run: Run) -> DistillationSettings | None:
    """The distillation settings of a student's run; None for a teacher's."""
    found = run.about.get("distillation")
    return DistillationSettings(**found) if found else None
