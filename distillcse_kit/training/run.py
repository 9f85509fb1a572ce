"""A finished training run: its folder, its history and its scores."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from distillcse_kit.config import DistillationSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.loading import source_fingerprint
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import pairs_fingerprint, score_pairs
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.store import Store, read_json, write_json
from distillcse_kit.training.loop import Trainer, Watcher
from distillcse_kit.training.recipe import Inputs, Recipe
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.versions import versions
from distillcse_kit.whole_files import is_there, new_folder


@dataclass
class Run:
    """A finished training run, as its folder on disk holds it.

    The folder is a model folder (safetensors, tokenizer, pooling), beside ``run.json`` (settings, inputs, versions, and
    a hash of the model's files),
    ``history.json`` (a row per logged step) and ``scores.json`` (Spearman x 100 by set of pairs).
    """

    folder: Path
    about: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Open a run folder; KitError if it is not one, or the user may not read it."""
        if not is_there(folder / "run.json"):
            raise KitError(f"{folder} is not a run folder (it has no run.json); name a folder that training made.")
        return cls(folder, read_json(folder / "run.json"))

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def seed(self) -> int:
        return int(self.about["training"]["seed"])

    @property
    def distillation(self) -> DistillationSettings | None:
        """How it was distilled; None for a SimCSE teacher."""
        found = self.about.get("distillation")
        return DistillationSettings(**found) if found else None

    @property
    def history(self) -> list[dict[str, float]]:
        """Rows {"step", "loss", "contrastive", "distillation", "dev", ...}, one per dev score."""
        return read_json(self.folder / "history.json")

    @property
    def scores(self) -> dict[str, float]:
        """{name of the pairs: Spearman x 100} scored so far; "dev" is the best score of training."""
        return {name: entry["spearman"] for name, entry in read_json(self.folder / "scores.json").items()}

    def encoder(self, device: str | torch.device = "auto") -> SentenceEncoder:
        """The trained encoder, without its training head."""
        return SentenceEncoder.load(self.folder, device=device)

    def known_score(self, pairs: SentencePairs) -> float | None:
        """Spearman x 100 on ``pairs`` if ``scores.json`` has it, else None."""
        entry = read_json(self.folder / "scores.json").get(pairs.name, {})
        return entry["spearman"] if entry.get("fingerprint") == pairs_fingerprint(pairs) else None

    def score(self, pairs: SentencePairs, device: str | torch.device = "auto") -> float:
        """Spearman x 100 on ``pairs``: read from ``scores.json``, or computed on the device and written there."""
        score = self.known_score(pairs)
        if score is None:
            score = score_pairs(self.encoder(device), pairs)
            path = self.folder / "scores.json"
            entry = {"spearman": score, "pairs": len(pairs), "fingerprint": pairs_fingerprint(pairs)}
            write_json(path, read_json(path) | {pairs.name: entry})
        return score


# Runs of a process take turns: where dropout is torch's own, and while a model is loaded, they use its one generator.
_turn = threading.Lock()


def run_content(recipe: Recipe, inputs: Inputs, teachers: TeacherEnsemble | None) -> dict[str, Any]:
    """Everything that decides the result, with the teachers that were given.

    Raises:
        KitError: a student without teachers, or a teacher with some.
    """
    if recipe.is_student != (teachers is not None):
        raise KitError(
            "A student needs teachers, and a SimCSE teacher takes none; "
            "give distillation settings and teachers, or neither."
        )
    return recipe.content(inputs, None if teachers is None else teachers.describe())


def train(
    store: Store,
    recipe: Recipe,
    corpus: Corpus,
    dev: SentencePairs,
    teachers: TeacherEnsemble | None = None,
    label: str | None = "teacher",
    on_step: Watcher | None = None,
    device: str | torch.device = "auto",
) -> Run:
    """Train an encoder. A finished run is loaded from the store; an interrupted one goes on.

    Args:
        store: holds the run's folder.
        recipe: of the teacher or student.
        corpus: training sentences.
        dev: pairs whose Spearman chooses the best checkpoint.
        teachers: of a student: their embeddings of the corpus, under the names that the recipe's key gives them.
        label: shown beside the progress bar; None shows none.
        on_step: called after every step that is trained now; an exception there, such as ``Cancelled``, stops it.
        device: where to train, as in ``encoder.devices.chosen_device``; not part of the run's key.

    Raises:
        KitError: a student without teachers or a teacher with some, the base cannot be loaded, the teachers embedded
            another corpus, the loss is not finite, the disk is full, this machine has no such device, or this is one
            of several processes of ``torchrun``.
    """
    content = run_content(recipe, Inputs.of(corpus, dev), teachers)
    folder = store.path("runs", content)
    if is_there(folder / "run.json"):
        return Run.load(folder)
    with store.locked(folder):
        if is_there(folder / "run.json"):  # another process has trained it meanwhile
            return Run.load(folder)
        started = time.time()
        with _turn:
            checkpoint = folder.with_name(f"{folder.name}.checkpoint")
            trainer = Trainer(store, recipe, corpus, dev, teachers, checkpoint, device=device)
            best = trainer.fit(label, on_step)
        about = content | {"versions": versions(), "seconds": round(time.time() - started, 1)}
        about["device"] = str(trainer.device)
        with new_folder(folder) as unfinished:
            best.save_into(unfinished)
            about["model"] = source_fingerprint(unfinished)  # so that other weights under its name are noticed
            write_json(unfinished / "history.json", trainer.history)
            dev_entry = {"spearman": trainer.best_score, "step": trainer.best_step, "pairs": len(dev)}
            write_json(unfinished / "scores.json", {"dev": dev_entry})
            write_json(unfinished / "run.json", about)
        trainer.forget_checkpoint()
    return Run.load(folder)
