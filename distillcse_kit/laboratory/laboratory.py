"""The laboratory of notebooks, command and explorers: ask for a teacher, a student or a score, and get it.

What the store already has is loaded; the rest is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillcse_kit.config import choose
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import pair_cosines, pairs_fingerprint, score_pairs
from distillcse_kit.evaluation.word_overlap import tfidf_score
from distillcse_kit.laboratory.material import Material
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.store import save_array
from distillcse_kit.training.loop import Watcher
from distillcse_kit.training.named_recipes import METHODS, recipe_named
from distillcse_kit.training.parallel import score_all
from distillcse_kit.training.recipe import First, Own, Recipe, Teachers, These
from distillcse_kit.training.run import Run
from distillcse_kit.training.workplace import Workplace


class Laboratory(Material):
    """Trains, loads and scores teachers and students; what the store already has is loaded.

        corpus --> teachers (Eq 1) --> cosines, averaged (Eq 7), shuffled (Eq 5, 6) --> students (Eq 2, 3) --> scores

    ========  ======================================================  =====================================
    Input     Meaning                                                 Default
    ========  ======================================================  =====================================
    profile   how much work: "smoke", "laptop", "paper", or your own  "laptop"
    data_dir  folder with STS sets, and perhaps a corpus              the built-in sentences and pairs
    corpus    "builtin", a path, a hub name, a Dataset or a list      that of data_dir, or the built-in one
    base      encoder that all training starts from                   the profile's
    store     folder that keeps everything computed                   DISTILLCSE_STORE, or the user's cache
    device    where to compute: "cpu", "cuda", "cuda:1", "mps"        "auto": DISTILLCSE_DEVICE, or a GPU if any
    ========  ======================================================  =====================================

    All its methods take settings in the same way: by their names in ``TrainingSettings`` and ``DistillationSettings``,
    such as ``lab.students("group_p", p=0.2, steps=300)``.

    When to use it: for whole experiments. For a single loss or shuffle, use the functions of ``method``.

    Reference: Xu et al., DistillCSE (Findings of EMNLP 2023), Eq 1 to 7; Table 4 is ``main_table``.

    Example:
        >>> from distillcse_kit import Laboratory
        >>> lab = Laboratory("smoke")
        >>> recipe = lab.recipe("distillcse", seed=1, p=0.2)
        >>> recipe.teachers, recipe.distillation.shuffle, recipe.distillation.p
        (First(count=3), 'group_p', 0.2)
        >>> len(lab.tests["kit"]) > 100  # ``lab.run(recipe)`` would train the teachers and then this student
        True
    """

    @property
    def workplace(self) -> Workplace:
        """Where recipes become runs: this laboratory's store, corpus and dev pairs."""
        return Workplace(self.store, self.corpus, self.dev, self.profile.training, self.device)

    def recipe(
        self, name: str = "distillcse", seed: int = 0, teachers: Teachers | Sequence[Run] | None = None, **settings: Any
    ) -> Recipe:
        """A recipe with this profile's settings.

        Args:
            name: "teacher", "vanilla", "group_p", "group_mean", "components", "distillcse" or "strong_teacher".
            seed: seed of the run.
            teachers: ``Own()``, ``First(m)``, ``These(...)``, or runs; None takes the named recipe's own.
            settings: fields of ``TrainingSettings`` and ``DistillationSettings`` to change, such as p=0.2.

        Raises:
            KitError: an unknown name or setting, or a value out of range.
        """
        return recipe_named(name, self.profile).changed(seed=seed, teachers=_as_teachers(teachers), **settings)

    def run(self, recipe: Recipe, progress: bool = True, on_step: Watcher | None = None) -> Run:
        """Train the recipe's run, its teachers first; load what the store already has.

        Args:
            recipe: for example from ``recipe``. progress: whether progress bars are shown.
            on_step: called after every step, as in ``training.loop.train``.
        """
        place = self.workplace
        if not place.is_done(recipe):
            teachers = [model for model in recipe.taught_by(place.teacher) if isinstance(model, Recipe)]
            if len(teachers) > 1:
                self.run_all(teachers, "teachers")
        return place.run(recipe, progress, on_step)

    def run_all(self, recipes: Sequence[Recipe], label: str = "runs") -> list[Run]:
        """The runs of all recipes, in order; with the profile's ``parallel``, missing ones are trained side by side."""
        return self.workplace.run_all(recipes, label, self.profile.parallel)

    def teacher(self, seed: int = 0, on_step: Watcher | None = None, **settings: Any) -> Run:
        """A SimCSE teacher; ``settings`` as in ``recipe``, ``on_step`` as in ``run``."""
        return self.run(self.recipe("teacher", seed, **settings), on_step=on_step)

    def teachers(self, count: int | None = None, **settings: Any) -> list[Run]:
        """The first ``count`` teachers, seeds 0, 1, ...; None takes the profile's M. ``settings`` as in ``recipe``."""
        seeds = range(self.profile.teachers if count is None else count)
        return self.run_all([self.recipe("teacher", seed, **settings) for seed in seeds], "teachers")

    def student(
        self, teachers: Teachers | Sequence[Run], seed: int = 0, on_step: Watcher | None = None, **settings: Any
    ) -> Run:
        """A student of these teachers; plain distillation unless ``settings`` say more, such as shuffle="group_p"."""
        return self.run(self.recipe("vanilla", seed, teachers, **settings), on_step=on_step)

    def students(self, name: str, teachers: Sequence[Run] | None = None, **settings: Any) -> list[Run]:
        """The profile's number of students of one named recipe, seeds 0, 1, ...

        Args:
            name: "vanilla", "group_p", "group_mean", "components" or "distillcse".
            teachers: runs that replace the recipe's own teachers. Where the recipe averages, all of them teach;
                otherwise seed s learns from run s.
            settings: as in ``recipe``.

        Raises:
            KitError: an unknown name, or fewer teachers than seeds where each student has its own.
        """
        choose("method", name, tuple(METHODS))
        recipes = [self.recipe(name, seed, **settings) for seed in range(self.profile.seeds)]
        if teachers is not None:
            own = isinstance(recipes[0].teachers, Own)
            if own and len(teachers) < len(recipes):
                raise KitError(
                    f"{METHODS[name]} needs a teacher for each seed; "
                    f"give {len(recipes)} teachers instead of {len(teachers)}."
                )
            recipes = [
                recipe.changed(teachers=_as_teachers([teachers[recipe.seed]] if own else teachers))
                for recipe in recipes
            ]
        return self.run_all(recipes, METHODS[name])

    def rounds(self, count: int | None = None, **settings: Any) -> list[list[Run]]:
        """Iterative self-training (Eq 4): the students of one round are the teachers of the next.

        Args:
            count: number of rounds; None takes the profile's number.
            settings: as in ``recipe``.

        Returns:
            The DistillCSE students of round 1, 2, ..., ``count``.
        """
        generations: list[list[Run]] = []
        for _ in range(self.profile.rounds if count is None else count):
            teachers = generations[-1] if generations else None
            generations.append(self.students("distillcse", teachers, **settings))
        return generations

    def embeddings(self, teacher: Run) -> np.ndarray:
        """The teacher's unit embeddings of the corpus, float16 [n, d], memory-mapped."""
        return self.workplace.embeddings(str(teacher.folder))

    def all_embeddings(self, teachers: Sequence[Run]) -> list[np.ndarray]:
        """``embeddings`` of each teacher; with the profile's ``parallel``, missing ones are made side by side."""
        if self.profile.parallel:
            self.workplace.embed_all([str(teacher.folder) for teacher in teachers])
        return [self.embeddings(teacher) for teacher in teachers]

    def ensemble(self, teachers: Sequence[Run], weights: Sequence[float] | None = None) -> TeacherEnsemble:
        """The teachers' stored embeddings as one ensemble; weights in the teachers' order."""
        named = None if weights is None else {run.key: weight for run, weight in zip(teachers, weights, strict=True)}
        keys = [run.key for run in teachers]
        return TeacherEnsemble(dict(zip(keys, self.all_embeddings(teachers), strict=True)), named)

    def score(self, what: Run | SentenceEncoder, task: str | None = None) -> float:
        """Spearman x 100 of a run or the base on one task's pairs (None: the headline; "dev": the dev pairs)."""
        task = task or self.headline
        pairs = self.dev if task == "dev" else self.tests[task]
        if isinstance(what, Run):
            return what.scores["dev"] if task == "dev" else what.score(pairs, self.device)
        content = {"encoder": what.fingerprint(), "pairs": pairs_fingerprint(pairs)}
        return self.store.json("scores", content, lambda: score_pairs(what, pairs))

    def pair_cosines(self, what: Run | SentenceEncoder, task: str | None = None) -> np.ndarray:
        """The cosine of each pair of a task (as in ``score``), float64 [n], computed once."""
        task = task or self.headline
        pairs = self.dev if task == "dev" else self.tests[task]
        encoder = what.encoder(self.device) if isinstance(what, Run) else what
        content = {"encoder": encoder.fingerprint(), "pairs": pairs_fingerprint(pairs)}
        return self.store.array("pair_cosines", content, lambda path: save_array(path, pair_cosines(encoder, pairs)))

    def batch_cosines(self, what: Run | SentenceEncoder, sentences: Sequence[str], batch_size: int) -> Tensor:
        """Cosines inside batches of consecutive sentences, float32 [B, N, N]; an incomplete last batch is left out."""
        encoder = what.encoder(self.device) if isinstance(what, Run) else what
        whole = list(sentences[: len(sentences) // batch_size * batch_size])
        token_ids = encoder.tokenize(whole, self.profile.training.max_tokens)
        vectors = torch.from_numpy(encoder.encode_tokens(token_ids, 128, True, False))
        batches = vectors.view(-1, batch_size, vectors.shape[-1])
        return batches @ batches.transpose(1, 2)

    def scores(self, runs: Sequence[Run | SentenceEncoder]) -> dict[str, list[float]]:
        """{"dev" and each test task: scores in the order of ``runs``}."""
        if self.profile.parallel:
            score_all([run for run in runs if isinstance(run, Run)], list(self.tests.values()), self.device)
        return {task: [self.score(run, task) for run in runs] for task in ("dev", *self.tests)}

    def tfidf(self) -> dict[str, float]:
        """What word overlap alone scores on each task."""
        return {"dev": tfidf_score(self.dev)} | {task: tfidf_score(pairs) for task, pairs in self.tests.items()}

    def main_table(
        self, methods: Sequence[str] = tuple(METHODS), second_round: bool = True
    ) -> dict[str, dict[str, list[float]]]:
        """Table 4 on this laboratory's data: {row: {task: scores over seeds}}, from tf-idf to the second round."""
        teachers = self.teachers()
        table = {
            "tf-idf word overlap": {task: [score] for task, score in self.tfidf().items()},
            "base, no training": self.scores([self.base]),
            f"SimCSE teachers ({len(teachers)})": self.scores(teachers),
        }
        for method in methods:
            table[METHODS[method]] = self.scores(self.students(method))
        if second_round:
            for number, runs in enumerate(self.rounds()[1:], start=2):
                table[f"DistillCSE, round {number}"] = self.scores(runs)
        return table


def _as_teachers(teachers: Teachers | Sequence[Run] | None) -> Teachers | None:
    """Runs by their folders; anything else as it is."""
    if teachers is None or isinstance(teachers, Own | First | These):
        return teachers
    return These(tuple(str(run.folder) for run in teachers))
