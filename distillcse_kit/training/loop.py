"""The one training loop of teachers and students: precision, dev score, best checkpoint, resume, progress.

A batch is N sentences drawn without replacement from the corpus, whatever their lengths.
Settings, data and kit format decide all that a run does, and their key names its folder. So a run is resumed only with
exactly the same settings, data and kit format.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from distillcse_kit.config import TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.devices import (
    chosen_device,
    has_fused_optimiser,
    seeded,
    set_random_states,
    use_bfloat16,
)
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError, KitWarning
from distillcse_kit.evaluation.scoring import score_pairs
from distillcse_kit.fast.dropout import mask_stream, use_cheap_dropout
from distillcse_kit.fast.packing import is_like_bert
from distillcse_kit.fast.switches import Switches
from distillcse_kit.fast.threads import sharing
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.one_process import require_one_process
from distillcse_kit.progress import progress_bar
from distillcse_kit.store import Store
from distillcse_kit.training.checkpoint import load_checkpoint, save_checkpoint
from distillcse_kit.training.objective import Draws, Trainee, batch_losses
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.training_text import Corpus, tokenized

CHECKPOINT_SECONDS = 30.0


class Cancelled(Exception):
    """Raised in ``on_step`` to stop a run between two steps; a later start goes on from its last checkpoint."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step, steps: steps done, and steps in all.
        losses: of this step, by name: "loss" and its parts.
        history: rows of the dev scores so far, as in ``Run.history``.
    """

    step: int
    steps: int
    losses: dict[str, float]
    history: list[dict[str, float]]


Watcher = Callable[[Progress], None]


def batch_rows(n: int, settings: TrainingSettings, seed: int) -> Iterator[np.ndarray]:
    """The rows of each step's sentences. Every epoch has a new random order; its last batch may be smaller."""
    order_of = np.random.default_rng((seed, n))
    step = 0
    while True:
        order = order_of.permutation(n)
        for start in range(0, n, settings.batch_size):
            if step == settings.steps:
                return
            yield order[start : start + settings.batch_size]
            step += 1


def rows_read(n: int, settings: TrainingSettings, seed: int) -> np.ndarray:
    """The rows of all sentences that a run reads from a corpus of n, in order; a second epoch repeats them."""
    return np.concatenate(list(batch_rows(n, settings, seed)))


class Trainer:
    """One run in progress.

    Args:
        store, recipe, corpus, dev, teachers: as for ``train``.
        checkpoint: the file that an interrupted run goes on from.
        switches: which shortcuts of ``fast`` are on; None follows the recipe's ``fast``.
        device: where it runs, as in ``encoder.devices.chosen_device``.

    Raises:
        KitError: too few sentences, teachers of another corpus, a base that cannot be loaded, a device that this
            machine does not have, or one of several processes of ``torchrun``.
    """

    def __init__(
        self,
        store: Store,
        recipe: Recipe,
        corpus: Corpus,
        dev: SentencePairs,
        teachers: TeacherEnsemble | None,
        checkpoint: Path,
        switches: Switches | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        require_one_process()
        if len(corpus) < 2:
            raise KitError("Contrastive learning needs at least two sentences; give a larger corpus.")
        if teachers is not None and teachers.sentences != len(corpus):
            raise KitError(
                f"The teachers embedded {teachers.sentences} sentences, but the corpus has {len(corpus)}; "
                "embed this corpus with them."
            )
        self.recipe, self.corpus, self.dev, self.teachers = recipe, corpus, dev, teachers
        self.settings, self.checkpoint = recipe.training, checkpoint
        self.switches = Switches.of(self.settings.fast) if switches is None else switches
        self.device = chosen_device(device)
        weights = torch.Generator().manual_seed(recipe.seed)
        self.trainee = Trainee(self.settings, weights).to(self.device)
        self.trainee.encoder.fast = self.switches.packing
        self.draws = Draws.of(recipe.seed, weights)
        on_processor = self.device.type == "cpu"
        self.own_dropout = self.switches.dropout and on_processor and is_like_bert(self.trainee.encoder.model)
        if self.own_dropout:
            use_cheap_dropout(self.trainee.encoder.model)
        self.dev_encoder = DevEncoder(self.trainee.encoder, self.settings)
        self.text, *self.partners = (
            tokenized(store, self.trainee.encoder, column) for column in (corpus, *corpus.partners)
        )
        parameters = [parameter for parameter in self.trainee.parameters() if parameter.requires_grad]
        fused = has_fused_optimiser(self.device)
        self.optimiser = torch.optim.AdamW(parameters, lr=self.settings.learning_rate, weight_decay=0.0, fused=fused)
        self.history: list[dict[str, float]] = []
        self.best_score, self.best_step = -math.inf, 0
        self.best: dict[str, Tensor] = {}

    @contextmanager
    def _torchs_dropout(self) -> Iterator[None]:
        """Inside, torch's global generator belongs to the run; afterwards it is as the reader left it.

        The kit's own dropout draws nothing from it, and then it is left alone even during the run.
        """
        if self.own_dropout:
            yield
            return
        with seeded(self.device, self.recipe.seed):
            torch.set_rng_state(self.draws.dropout.get_state())
            yield

    def fit(self, label: str | None, on_step: Watcher | None = None) -> SentenceEncoder:
        """Run all steps and return the encoder with the weights of the best dev score."""
        self._warn_of_one_view()
        with self._torchs_dropout():
            self._fit(label, on_step)
        encoder = self.trainee.encoder
        encoder.load_state_dict(self.best)
        return encoder.cpu()

    def _warn_of_one_view(self) -> None:
        """Warn if two passes over the first sentences agree, unless this run compares no views or reads pairs."""
        if self.partners or (self.recipe.distillation is not None and self.recipe.distillation.distil_only):
            return
        batch = self.trainee.encoder.pad(self.text.rows(range(min(8, len(self.corpus))), self.settings.max_tokens))
        self.trainee.train()
        with torch.no_grad(), mask_stream(self.recipe.seed), self._torchs_dropout():
            first, second = (self.trainee.encoder(batch) for _ in range(2))
        if torch.allclose(first, second):
            rate = self.settings.dropout
            why = f"{self.settings.base} has no dropout" if rate is None else f"dropout is {rate}"
            warnings.warn(
                f"Both views of a sentence are the same, because {why}: the contrastive loss then only pushes "
                "sentences apart; train with dropout=0.1 (in the command: --dropout 0.1).",
                KitWarning,
                stacklevel=2,
            )

    def _fit(self, label: str | None, on_step: Watcher | None) -> None:
        first = self._resume()
        recent: list[dict[str, Tensor]] = []
        saved = time.monotonic()
        shown, total = label is not None, self.settings.steps
        with progress_bar(shown=shown, total=total, initial=first, desc=label, unit="step") as progress:
            for step, rows in enumerate(batch_rows(len(self.corpus), self.settings, self.recipe.seed), start=1):
                if step <= first:
                    continue
                losses = self._step(step, rows)
                recent.append(losses)
                progress.update()
                if step % self.settings.evaluate_every == 0 or step == self.settings.steps:
                    self._log(step, recent)
                    progress.set_postfix(dev=f"{self.history[-1]['dev']:.2f}")
                    recent = []
                    if step != self.settings.steps and time.monotonic() - saved > CHECKPOINT_SECONDS:
                        self._save(step)
                        saved = time.monotonic()
                if on_step is not None:
                    on_step(self._progress(step, losses))

    def _step(self, step: int, rows: np.ndarray) -> dict[str, Tensor]:
        views = max(2, 1 + len(self.partners))
        with sharing(views if self.switches.threads else 1):  # a thread for each view
            return self._losses_of_step(step, rows)

    def _losses_of_step(self, step: int, rows: np.ndarray) -> dict[str, Tensor]:
        batch, *partners = (
            self.trainee.encoder.pad(text.rows(rows, self.settings.max_tokens)) for text in (self.text, *self.partners)
        )
        self.trainee.train()
        lower = use_bfloat16(self.settings.precision, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=lower):
            losses = batch_losses(
                self.trainee, batch, rows, self.recipe, self.teachers, self.draws, self.switches, partners
            )
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * (1 - (step - 1) / self.settings.steps)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(self.trainee.parameters(), self.settings.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return {name: value.detach() for name, value in losses.items()}

    def _progress(self, step: int, losses: dict[str, Tensor]) -> Progress:
        values = {name: float(loss) for name, loss in losses.items()}
        return Progress(step, self.settings.steps, values, list(self.history))

    def _log(self, step: int, recent: list[dict[str, Tensor]]) -> None:
        """Score dev, remember the best, and add a row to the history: losses are means since the last row."""
        row = {name: float(torch.stack([losses[name] for losses in recent]).mean()) for name in recent[0]}
        if not math.isfinite(row["loss"]):
            raise KitError(
                f"The loss is {row['loss']} at step {step}; lower the learning rate or raise the temperatures."
            )
        dev = score_pairs(self.dev_encoder, self.dev)
        self.history.append({"step": step, **row, "dev": dev})
        if not dev <= self.best_score:  # a constant encoder scores nan: then the newest is as good as any
            self.best_score, self.best_step = dev, step
            self.best = {
                name: weight.detach().cpu().clone() for name, weight in self.trainee.encoder.state_dict().items()
            }

    def _save(self, step: int) -> None:
        """Write the checkpoint: weights, best weights, optimiser, random states, history."""
        tensors = {
            "trainee": self.trainee.state_dict(),
            "best_encoder": self.best,
            "generators": self.draws.states(),
        }
        state = {"step": step, "history": self.history, "best_score": self.best_score, "best_step": self.best_step}
        save_checkpoint(self.checkpoint, tensors, self.optimiser, state, self.device)

    def _resume(self) -> int:
        """Go on from the checkpoint if there is an intact one; return the number of steps already done, else 0."""
        if not (found := load_checkpoint(self.checkpoint, self.optimiser, ("trainee", "best_encoder", "generators"))):
            return 0
        tensors, state = found
        self.trainee.load_state_dict(tensors["trainee"])
        self.best = tensors["best_encoder"]
        self.draws.set_states(tensors["generators"])
        if not self.own_dropout:
            set_random_states(tensors["random"], self.device)
        self.history, self.best_score, self.best_step = state["history"], state["best_score"], state["best_step"]
        return int(state["step"])

    def forget_checkpoint(self) -> None:
        """Delete the checkpoint file, if there is one."""
        self.checkpoint.unlink(missing_ok=True)


class DevEncoder:
    """The encoder for dev scores: it computes in the precision of training and tokenises the sentences only once."""

    def __init__(self, encoder: SentenceEncoder, settings: TrainingSettings) -> None:
        self.encoder, self.settings = encoder, settings
        self._sentences: list[str] = []
        self._token_ids: list[list[int]] = []

    def encode(self, sentences: list[str]) -> np.ndarray:
        if sentences != self._sentences:
            self._sentences, self._token_ids = sentences, self.encoder.tokenize(sentences)
        return self.encoder.encode_tokens(
            self._token_ids, batch_size=128, show_progress_bar=False, precision=self.settings.precision
        )
