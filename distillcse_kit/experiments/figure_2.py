"""Figure 2 of the paper: the distillation loss and the dev score over training, with and without shuffling.

A student's logged loss is computed with dropout, against the targets it learns from; under Group-P these are shuffled.
Here training pauses every few steps. The loss is then also computed without dropout, against the teacher's own targets,
on batches that the student reads in training and on batches of the same corpus that it never reads.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillcse_kit.analysis.agreement import remaining_loss
from distillcse_kit.encoder.devices import use_bfloat16
from distillcse_kit.errors import KitError
from distillcse_kit.experiments.sweep_design import Curve, Table
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.method.losses import cosine_matrix
from distillcse_kit.training.loop import Trainer, rows_read
from distillcse_kit.training.named_recipes import METHODS

BATCHES = 4  # of each kind
POINTS = 15  # of each curve
WHERE = ("read", "unread")  # batches that the student reads in training, and batches that it never reads
# {field of ``analysis.agreement.Remaining``: its name in the table}
QUANTITIES = {"cross_entropy": "cross-entropy", "shuffled": "shuffled", "kl": "kl"}


class WatchedTrainer(Trainer):
    """A trainer whose history also holds the remaining loss on "read" and "unread" batches, in three kinds each."""

    def _log(self, step: int, recent: list[dict[str, Tensor]]) -> None:
        super()._log(step, recent)
        for where, rows in self._watched.items():
            for name, value in self._left(rows).items():
                self.history[-1][f"{where}, {name}"] = value

    def watch(self) -> None:
        """Choose the batches: the first that are read, and as many that are not.

        Raises:
            KitError: the run reads the whole corpus.
        """
        size, n = self.settings.batch_size, len(self.corpus)
        read = rows_read(n, self.settings, self.recipe.seed)
        unread = np.setdiff1d(np.arange(n), read)
        if len(unread) < size:
            raise KitError("The run reads the whole corpus and leaves no batch to hold out; give more sentences.")
        unread = np.random.default_rng(self.recipe.seed).permutation(unread)
        self._watched = {
            where: [rows[start : start + size] for start in range(0, min(BATCHES * size, len(rows) - size + 1), size)]
            for where, rows in (("read", read), ("unread", unread))
        }

    @torch.no_grad()
    def _left(self, batches: list[np.ndarray]) -> dict[str, float]:
        assert self.teachers is not None and self.recipe.distillation is not None
        device = self.device
        self.trainee.eval()
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16(self.settings.precision, device)):
            views = [
                self.trainee(self.trainee.encoder.pad(self.text.rows(rows, self.settings.max_tokens)))
                for rows in batches
            ]
        students = torch.stack([cosine_matrix(view.float(), view.float()).cpu() for view in views])
        teachers = torch.stack([self.teachers.cosines(rows) for rows in batches])
        return asdict(remaining_loss(students, teachers, self.recipe.distillation))


def watched_history(lab: Laboratory, method: str, seed: int) -> list[dict[str, float]]:
    """The history of one student, watched ``POINTS`` times; it is trained if the store does not have it yet."""
    every = max(1, lab.profile.training.steps // POINTS)
    recipe = lab.recipe(method, seed, evaluate_every=every)
    place = lab.workplace
    content: dict[str, Any] = recipe.content(place.inputs) | {"watched batches": BATCHES}

    def train() -> list[dict[str, float]]:
        checkpoint = lab.store.path("curves", content, ".checkpoint")
        teachers = place.ensemble(recipe)
        trainer = WatchedTrainer(lab.store, recipe, lab.corpus, lab.dev, teachers, checkpoint, device=lab.device)
        trainer.watch()
        trainer.fit(f"{METHODS[method]}, seed {seed}")
        trainer.forget_checkpoint()
        return trainer.history

    return lab.store.json("curves", content, train)


def figure_2(lab: Laboratory) -> Table:
    """{curve: {step: values over seeds}} of plain distillation and of Group-P.

    Quantities: dev (Spearman x 100), and for read and unread batches the cross-entropy against the teacher's own
    targets, against shuffled ones, and the KL (nats).
    """
    found: Table = {}
    for label, method in (("not shuffled", "vanilla"), ("Group-P", "group_p")):
        for seed in range(lab.profile.seeds):
            for row in watched_history(lab, method, seed):
                at_step = {Curve(label, "dev"): row["dev"]}
                at_step |= {
                    Curve(label, quantity, where): row[f"{where}, {name}"]
                    for where in WHERE
                    for name, quantity in QUANTITIES.items()
                }
                for curve, value in at_step.items():
                    found.setdefault(curve, {}).setdefault(str(int(row["step"])), []).append(value)
    return found
