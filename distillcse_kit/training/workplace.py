"""Where recipes become runs: a store, a corpus and dev pairs, shared by all runs of one laboratory.

A model as small as the micro encoder cannot keep several cores busy: its matrix products are done before the threads
have woken up. Two processes of one thread each finish two runs sooner than one process with two threads does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from distillcse_kit.config import TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.progress import counted
from distillcse_kit.store import Store
from distillcse_kit.training.loop import Watcher
from distillcse_kit.training.parallel import side_by_side
from distillcse_kit.training.recipe import Inputs, Recipe, teacher_name
from distillcse_kit.training.run import Run, train
from distillcse_kit.training.teacher_embeddings import embed_corpus, embeddings_path
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.whole_files import is_there


@dataclass(frozen=True)
class Workplace:
    """What all runs share.

    Attributes:
        store: where runs and embeddings are kept.
        corpus: the training sentences.
        dev: the pairs that choose each run's checkpoint.
        teacher: training settings of the teachers that ``Own`` and ``First`` stand for.
        device: where runs train and embed, as in ``encoder.devices.chosen_device``.
    """

    store: Store
    corpus: Corpus
    dev: SentencePairs
    teacher: TrainingSettings = field(default_factory=TrainingSettings)
    device: str | torch.device = "auto"

    @cached_property
    def inputs(self) -> Inputs:
        """Corpus and dev pairs by their fingerprints."""
        return Inputs.of(self.corpus, self.dev, self.teacher)

    def folder(self, recipe: Recipe) -> Path:
        """Where the recipe's run is or will be. Nothing is loaded for this."""
        return self.store.root / "runs" / recipe.key(self.inputs)

    def is_done(self, recipe: Recipe) -> bool:
        """Whether the store has the recipe's run. KitError if it may have it, but the user may not read it."""
        return is_there(self.folder(recipe) / "run.json")

    def run(self, recipe: Recipe, progress: bool = True, on_step: Watcher | None = None) -> Run:
        """Train the recipe's run, its teachers first. What the store already has is loaded.

        Args:
            recipe: of a teacher or a student.
            progress: whether progress bars are shown.
            on_step: as in ``train``; not called for the teachers.
        """
        if self.is_done(recipe):
            return Run.load(self.folder(recipe))
        label = recipe.label if progress else None
        teachers = self.ensemble(recipe, progress)
        return train(self.store, recipe, self.corpus, self.dev, teachers, label, on_step, self.device)

    def run_all(self, recipes: Sequence[Recipe], label: str, parallel: bool) -> list[Run]:
        """The runs of all recipes, in order. With ``parallel``, missing ones are trained side by side."""
        missing = [recipe for recipe in recipes if not self.is_done(recipe)]
        if missing and parallel:
            teachers = dict.fromkeys(model for recipe in missing for model in recipe.taught_by(self.teacher))
            self.run_all([model for model in teachers if isinstance(model, Recipe)], "teachers", parallel)
            self.embed_all(self._source(model) for model in teachers)
            side_by_side(self.run, [(recipe, False) for recipe in missing], label, self.device)
        missing = [recipe for recipe in missing if not self.is_done(recipe)]
        for recipe in counted(missing, len(missing), label):
            self.run(recipe)
        return [self.run(recipe) for recipe in recipes]

    def ensemble(self, recipe: Recipe, progress: bool = True) -> TeacherEnsemble | None:
        """The teachers of a student, as stored embeddings; None for a teacher."""
        models = recipe.taught_by(self.teacher)
        if not models:
            return None
        for model in models:
            if isinstance(model, Recipe):
                self.run(model, progress)
        names = [teacher_name(model, self.inputs) for model in models]
        embeddings = [self.embeddings(self._source(model), progress) for model in models]
        weights = dict(zip(names, recipe.weights(self.teacher), strict=True))
        return TeacherEnsemble(dict(zip(names, embeddings, strict=True)), weights)

    def embeddings(self, model: str, progress: bool = True) -> np.ndarray:
        """Unit embeddings of the corpus from a run or another encoder, float16 [n, d], memory-mapped."""
        label = f"embed {Path(model).name[:6]}" if progress else None
        return embed_corpus(self.store, model, self.corpus, label, self.teacher.max_tokens, device=self.device)

    def embed_all(self, models: Iterable[str]) -> None:
        """Make the embeddings of these encoders that the store does not have yet, side by side."""
        longest = self.teacher.max_tokens
        missing = [model for model in models if not embeddings_path(self.store, model, self.corpus, longest).is_file()]
        side_by_side(self.embeddings, [(model, False) for model in missing], "embed the corpus", self.device)

    def _source(self, model: Recipe | str) -> str:
        return str(self.folder(model)) if isinstance(model, Recipe) else model
