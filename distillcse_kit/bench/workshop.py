"""Corpus, stored embeddings and trainers that the measurements share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillcse_kit.bench.plain_way import PlainTraining
from distillcse_kit.config import DistillationSettings, TrainingSettings, with_changes
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sts import load_sts
from distillcse_kit.data.tokens import pad_rows
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.evaluation.scoring import first_pairs
from distillcse_kit.fast.switches import Switches
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.method.losses import cosine_matrix, distillation_loss
from distillcse_kit.store import Store
from distillcse_kit.training.loop import Trainer
from distillcse_kit.training.objective import shuffled
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus, tokenized

TEACHERS = (1, 4, 16)
PLAIN_LENGTH = 32


@dataclass(frozen=True)
class Extent:
    """How long to measure: repeats of quick and of slow comparisons, and sentences to work on (None: all)."""

    quick_repeats: int
    slow_repeats: int
    sentences: int | None


QUICK, FULL = Extent(7, 3, 2_048), Extent(15, 9, 4_096)


class Workshop:
    """Corpus, teachers' embeddings and trainers that the measurements share, in a temporary store.

    Args:
        folder: holds everything that is made here.
        extent: how long to measure.
        corpus: as ``load_corpus`` takes it.
        device: where the kit's own encoder and trainers are; the plain way is on the processor.
        training: training settings to change.
    """

    def __init__(
        self,
        folder: Path,
        extent: Extent,
        corpus: str | Path = "builtin",
        device: str | torch.device = "cpu",
        **training: Any,
    ) -> None:
        self.folder, self.extent, self.store, self.device = folder, extent, Store(folder / "store"), device
        self.corpus = Corpus.of(load_corpus(corpus, limit=extent.sentences, store=self.store))
        self.recipe = Recipe(with_changes(TrainingSettings(), **training))
        self.training, self.distillation = self.recipe.training, DistillationSettings(shuffle="group_p")
        self.encoder = SentenceEncoder.load(self.training.base, device=device)
        self.text = tokenized(self.store, self.encoder, self.corpus)
        self.dev = first_pairs(load_sts("builtin", None, "dev"), 20)
        draw = np.random.default_rng(0)
        size = self.training.batch_size
        self.batches = [draw.choice(len(self.corpus), size, replace=False) for _ in range(8)]

    def embeddings(self, teachers: int) -> list[np.ndarray]:
        """One memory-mapped file per teacher. All have the same content, since it does not affect speed."""
        files = []
        for number in range(teachers):
            path = self.folder / f"teacher_{number}.npy"
            if not path.is_file():
                np.save(path, self._embeddings)
            files.append(np.load(path, mmap_mode="r"))
        return files

    @cached_property
    def _embeddings(self) -> np.ndarray:
        longest = self.training.max_tokens
        return embed_corpus(self.store, self.training.base, self.corpus, None, longest, device=self.device)

    def trainer(self, teachers: int = 0, switches: Switches | None = None) -> Trainer:
        """The kit's own loop, as ``train`` uses it: SimCSE, or a student of stored teachers."""
        recipe, ensemble = self.recipe, None
        if teachers:
            named = {str(number): stored for number, stored in enumerate(self.embeddings(teachers))}
            recipe, ensemble = replace(recipe, distillation=self.distillation), TeacherEnsemble(named)
        checkpoint = self.folder / "none.checkpoint"
        return Trainer(self.store, recipe, self.corpus, self.dev, ensemble, checkpoint, switches, self.device)

    def steps(self, trainer: Trainer) -> Callable[[], None]:
        """One step of the kit's loop per call, on one batch after the other."""
        numbers = iter(range(10**9))

        def step() -> None:
            trainer._step(1, self.batches[next(numbers) % len(self.batches)])

        return step

    def loss_alone(self, teachers: int) -> Callable[[], None]:
        """Stored teachers' cosines, Group-P and the distillation loss with its gradient, for one batch per call."""
        trainer, rows = self.trainer(teachers), self.batches[0]
        stored = trainer.teachers
        assert stored is not None
        vectors = torch.randn(len(rows), self.encoder.width, requires_grad=True)

        def work() -> None:
            targets = shuffled(stored.cosines(rows), self.distillation, trainer.draws.shuffling)
            distillation_loss(cosine_matrix(vectors, vectors), targets).backward()

        return work

    @property
    def weights(self) -> int:
        """Weights that every token is multiplied by: those of all layers but the last, which computes [CLS] alone."""
        body: Any = self.encoder.model.encoder
        *layers, _ = body.layer
        return sum(weight.numel() for layer in layers for weight in layer.parameters())

    def plain_steps(self, teachers: int = 0) -> Callable[[], None]:
        """One step of the plain loop per call, on the same batches."""
        plain = PlainTraining(self.training, self.distillation, teachers)
        batches = []
        for rows in self.batches:
            ids = self.text.rows(rows, PLAIN_LENGTH)
            lengths = torch.tensor([len(row) for row in ids])
            mask = (torch.arange(PLAIN_LENGTH) < lengths[:, None]).long()
            batches.append((pad_rows(ids, self.encoder.tokenizer.pad_token_id, PLAIN_LENGTH), mask))
        numbers = iter(range(10**9))

        def step() -> None:
            plain.step(*batches[next(numbers) % len(batches)])

        return step
