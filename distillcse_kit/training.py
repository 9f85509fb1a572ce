"""The one training loop of teachers and students: precision, dev score, best checkpoint, resume, progress.

A batch is N sentences drawn without replacement from the corpus, whatever their lengths.
What a run does is decided by its settings alone, and its folder is named by their key: a run is resumed only by a
start with exactly the same settings, data and kit format.
"""

from __future__ import annotations

import importlib.metadata
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from distillcse_kit.checkpointing import load_checkpoint, save_checkpoint
from distillcse_kit.compiling import Compiled, repays
from distillcse_kit.config import DistillationSettings, TrainingSettings, as_json
from distillcse_kit.data.corpus import corpus_fingerprint
from distillcse_kit.data.pairs import SentencePairs
from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.dropout import use_cheap_dropout
from distillcse_kit.encoder import SentenceEncoder, TrainingHead, load_masked_lm, source_fingerprint, use_bfloat16
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.sts import pairs_fingerprint, score_pairs
from distillcse_kit.losses import contrastive_loss, cosine_matrix, distillation_loss, ranking_hinge_loss
from distillcse_kit.packed import is_like_bert
from distillcse_kit.shuffling import fixed_group_shuffle, group_mean, group_p_shuffle, rank_band_shuffle
from distillcse_kit.store import Store, new_folder, read_json, write_json
from distillcse_kit.teachers import TeacherEnsemble
from distillcse_kit.threads import sharing
from distillcse_kit.views import two_views

if TYPE_CHECKING:
    from datasets import Dataset

CHECKPOINT_SECONDS = 30.0
_turn = threading.Lock()  # all runs of a process draw from torch's one generator, so they take turns


class Cancelled(Exception):
    """Raised by whoever watches a run, to stop it between two steps; a later start goes on from its last checkpoint."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step, steps: done, and of how many.
        losses: of this step, by name: "loss" and its parts.
        history: rows of the dev scores so far, as in ``Run.history``.
    """

    step: int
    steps: int
    losses: dict[str, float]
    history: list[dict[str, float]]


Watcher = Callable[[Progress], None]


@dataclass(frozen=True)
class Corpus:
    """Training sentences and what identifies them.

    Attributes:
        sentences: a list, or the column of a dataset, which reads what is asked for from its file.
        fingerprint: as ``corpus_fingerprint`` gives it.
    """

    sentences: Sequence[str]
    fingerprint: str

    @classmethod
    def of(cls, dataset: Dataset) -> Corpus:
        """The column ``sentence`` of what ``load_corpus`` returns."""
        return cls(dataset["sentence"], corpus_fingerprint(dataset))

    def __len__(self) -> int:
        return len(self.sentences)


@dataclass(frozen=True)
class Distillation:
    """What makes a training run a student: its settings, and the teachers' stored embeddings of the corpus."""

    settings: DistillationSettings
    teachers: TeacherEnsemble


@dataclass
class Run:
    """A finished training run, as its folder on disk holds it.

    The folder is a model folder (safetensors, tokenizer, pooling), beside ``run.json`` (settings, inputs, versions),
    ``history.json`` (a row per logged step) and ``scores.json`` (Spearman x 100 by set of pairs).
    """

    folder: Path
    about: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Open a run folder; KitError if it is not one."""
        if not (folder / "run.json").is_file():
            raise KitError(f"{folder} is not a run folder (it has no run.json); name a folder that training made.")
        return cls(folder, read_json(folder / "run.json"))

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def seed(self) -> int:
        return int(self.about["training"]["seed"])

    @property
    def history(self) -> list[dict[str, float]]:
        """Rows {"step", "loss", "contrastive", "distillation", "dev", ...}, one per dev score."""
        return read_json(self.folder / "history.json")

    @property
    def scores(self) -> dict[str, float]:
        """{name of the pairs: Spearman x 100} scored so far; "dev" is the best score of training."""
        return {name: entry["spearman"] for name, entry in read_json(self.folder / "scores.json").items()}

    def encoder(self) -> SentenceEncoder:
        """The trained encoder, without its training head."""
        return SentenceEncoder.load(self.folder)

    def known_score(self, pairs: SentencePairs) -> float | None:
        """Spearman x 100 on ``pairs`` if ``scores.json`` has it."""
        entry = read_json(self.folder / "scores.json").get(pairs.name, {})
        return entry["spearman"] if entry.get("fingerprint") == pairs_fingerprint(pairs) else None

    def score(self, pairs: SentencePairs) -> float:
        """Spearman x 100 on ``pairs``: read from ``scores.json``, or computed and written there."""
        score = self.known_score(pairs)
        if score is None:
            score = score_pairs(self.encoder(), pairs)
            path = self.folder / "scores.json"
            entry = {"spearman": score, "pairs": len(pairs), "fingerprint": pairs_fingerprint(pairs)}
            write_json(path, read_json(path) | {pairs.name: entry})
        return score


def shuffled(teacher_cosines: Tensor, settings: DistillationSettings, generator: torch.Generator) -> Tensor:
    """The teacher's logits [N, N] as the settings want them: shuffled, smoothed, or as they are."""
    if settings.shuffle == "group_p":
        return group_p_shuffle(teacher_cosines, settings.p, settings.group_temperature, generator)
    if settings.shuffle == "group_mean":
        return group_mean(teacher_cosines, settings.p, settings.group_temperature, settings.teacher_temperature)
    if settings.shuffle == "fixed_groups":
        return fixed_group_shuffle(teacher_cosines, settings.group_size, generator)
    if settings.shuffle == "rank_band":
        return rank_band_shuffle(teacher_cosines, settings.band_start, settings.band_end, generator)
    return teacher_cosines


def batch_rows(n: int, settings: TrainingSettings) -> Iterator[np.ndarray]:
    """The rows of each step's sentences: every epoch a new random order, its last batch perhaps smaller."""
    order_of = np.random.default_rng((settings.seed, n))
    step = 0
    while True:
        order = order_of.permutation(n)
        for start in range(0, n, settings.batch_size):
            if step == settings.steps:
                return
            yield order[start : start + settings.batch_size]
            step += 1


def rows_read(n: int, settings: TrainingSettings) -> np.ndarray:
    """The rows of all sentences that a run on a corpus of n reads, in order; those of later epochs come again."""
    return np.concatenate(list(batch_rows(n, settings)))


class Trainee(nn.Module):
    """An encoder with what it needs in training only: the head, and a masked-LM head if that loss is wanted."""

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        self.encoder = SentenceEncoder.load(settings.base, settings.pooling)
        self.head: nn.Module = nn.Identity()
        if settings.head and settings.pooling == "cls":
            self.head = TrainingHead(self.encoder.width)
        self.masked_lm: nn.Module | None = None
        if settings.mlm_weight:
            self.masked_lm = load_masked_lm(settings.base)
            # One body, two heads: the masked-LM loss must train the very encoder that is being trained.
            setattr(self.masked_lm, self.masked_lm.base_model_prefix, self.encoder.model)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Token ids and mask [N, L] -> embeddings [N, d] after the head, float32."""
        return self.head(self.encoder(batch)).float()

    def masked_lm_loss(self, batch: dict[str, Tensor], share: float) -> Tensor:
        """Cross-entropy of hidden tokens (all of them replaced by [MASK]), the auxiliary loss of SimCSE."""
        assert self.masked_lm is not None
        ids, tokenizer = batch["input_ids"], self.encoder.tokenizer
        special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids, device=ids.device))
        hidden = (torch.rand(ids.shape, device=ids.device) < share) & ~special
        labels = torch.where(hidden, ids, -100)
        inputs = torch.where(hidden, tokenizer.mask_token_id, ids)
        logits = self.masked_lm(input_ids=inputs, attention_mask=batch["attention_mask"]).logits.float()
        # The sum over hidden tokens by their number: a batch without any gives 0, not nan.
        total = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
        return total / hidden.sum().clamp(min=1)


def batch_losses(
    trainee: Trainee,
    batch: dict[str, Tensor],
    rows: np.ndarray,
    settings: TrainingSettings,
    distillation: Distillation | None,
    generator: torch.Generator,
    mask_generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """All losses of one batch: "loss" = l_cl + lambda l_distill + mu l_mlm (Eq 3), and its parts.

    ``generator`` shuffles, ``mask_generator`` is that of ``two_views``.
    """
    parts: dict[str, Tensor] = {}
    distil_only = distillation is not None and distillation.settings.distil_only
    if distil_only:
        view_a = trainee(batch)
        loss = view_a.new_zeros(())
    else:
        view_a, view_b = two_views(trainee, batch, mask_generator)
        loss = parts["contrastive"] = contrastive_loss(view_a, view_b, settings.temperature)
    if distillation is not None:
        wanted = distillation.settings
        teacher_cosines = distillation.teachers.cosines(rows, view_a.device)
        student_cosines = cosine_matrix(view_a, view_a)
        if wanted.objective == "ranking_hinge":
            parts["distillation"] = ranking_hinge_loss(
                student_cosines,
                shuffled(teacher_cosines, wanted, generator),
                wanted.teacher_temperature,
                wanted.teacher_margin,
                wanted.student_margin,
                wanted.pairs_per_row,
                generator,
            )
        else:
            parts["distillation"] = distillation_loss(
                student_cosines,
                shuffled(teacher_cosines, wanted, generator),
                wanted.student_temperature,
                wanted.teacher_temperature,
                wanted.divergence,
            )
        loss = loss + wanted.weight * parts["distillation"]
    if trainee.masked_lm is not None:
        parts["masked_lm"] = trainee.masked_lm_loss(batch, settings.mlm_share)
        loss = loss + settings.mlm_weight * parts["masked_lm"]
    return {"loss": loss, **parts}


def tokenized(store: Store, encoder: SentenceEncoder, corpus: Corpus) -> TokenizedText:
    """The corpus as token ids of this encoder's tokenizer, computed once per tokenizer and corpus."""
    vocabulary = sorted(encoder.tokenizer.get_vocab().items(), key=lambda item: item[1])
    content = {"vocabulary": vocabulary, "limit": encoder.max_tokens, "corpus": corpus.fingerprint}
    return store.load_or_write(
        "tokens",
        content,
        ".npy",
        TokenizedText.load,
        lambda path: TokenizedText.write(path, corpus.sentences, encoder.tokenizer, encoder.max_tokens),
    )


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("distillcse-kit", "torch", "transformers", "tokenizers", "accelerate", "numpy", "scipy")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def run_content(
    settings: TrainingSettings, corpus: Corpus, dev: SentencePairs, distillation: Distillation | None
) -> dict[str, Any]:
    """Everything that decides a run's result; its hash names the run's folder."""
    content: dict[str, Any] = {
        "training": as_json(settings),
        "base": source_fingerprint(settings.base),
        "corpus": {"fingerprint": corpus.fingerprint, "sentences": len(corpus)},
        "dev": {"name": dev.name, "fingerprint": pairs_fingerprint(dev), "pairs": len(dev)},
    }
    if distillation is not None:
        content["distillation"] = as_json(distillation.settings)
        content["teachers"] = distillation.teachers.describe()
    return content


def run_folder(
    store: Store,
    settings: TrainingSettings,
    corpus: Corpus,
    dev: SentencePairs,
    distillation: Distillation | None = None,
) -> Path:
    """Where the run of these settings and inputs is or will be."""
    return store.path("runs", run_content(settings, corpus, dev, distillation))


def train(
    store: Store,
    settings: TrainingSettings,
    corpus: Corpus,
    dev: SentencePairs,
    distillation: Distillation | None = None,
    label: str | None = "teacher",
    on_step: Watcher | None = None,
) -> Run:
    """Train an encoder, or load the run if the store has it, or go on with it if it was interrupted.

    Args:
        store: where the run's folder is.
        settings: of training; the seed decides order, dropout, head and shuffling.
        corpus: training sentences.
        dev: pairs whose Spearman chooses the best checkpoint.
        distillation: None trains a SimCSE teacher; else a student of those teachers.
        label: shown beside the progress bar; None shows none.
        on_step: called after every step that is trained now; what it raises, such as ``Cancelled``, stops the run.

    Raises:
        KitError: the base cannot be loaded, the teachers embedded another corpus, the loss is not finite, or the
            disk is full.
    """
    folder = run_folder(store, settings, corpus, dev, distillation)
    with store.locked(folder):
        if (folder / "run.json").is_file():
            return Run.load(folder)
        started = time.time()
        with _turn:
            trainer = Trainer(store, settings, corpus, dev, distillation, folder.with_name(f"{folder.name}.checkpoint"))
            best = trainer.fit(label, on_step)
        about = run_content(settings, corpus, dev, distillation)
        about |= {"versions": versions(), "seconds": round(time.time() - started, 1)}
        with new_folder(folder) as unfinished:
            best.save_into(unfinished)
            write_json(unfinished / "history.json", trainer.history)
            dev_entry = {"spearman": trainer.best_score, "step": trainer.best_step, "pairs": len(dev)}
            write_json(unfinished / "scores.json", {"dev": dev_entry})
            write_json(unfinished / "run.json", about)
        trainer.forget_checkpoint()
    return Run.load(folder)


class Trainer:
    """One run in progress."""

    def __init__(
        self,
        store: Store,
        settings: TrainingSettings,
        corpus: Corpus,
        dev: SentencePairs,
        distillation: Distillation | None,
        checkpoint: Path,
    ) -> None:
        if len(corpus) < 2:
            raise KitError("Contrastive learning needs at least two sentences; give a larger corpus.")
        if distillation is not None and distillation.teachers.sentences != len(corpus):
            raise KitError(
                f"The teachers embedded {distillation.teachers.sentences} sentences, the corpus has {len(corpus)}; "
                "embed this corpus with them."
            )
        self.settings, self.corpus, self.dev, self.distillation = settings, corpus, dev, distillation
        self.checkpoint = checkpoint
        torch.manual_seed(settings.seed)
        self.accelerator = Accelerator()
        self.trainee = Trainee(settings)
        device, compiled = self.accelerator.device, repays(settings, self.accelerator.device)
        if device.type == "cpu" and is_like_bert(self.trainee.encoder.model) and not compiled:
            use_cheap_dropout(self.trainee.encoder.model)
        self.dev_encoder = DevEncoder(self.trainee.encoder, settings)
        self.text = tokenized(store, self.trainee.encoder, corpus)
        parameters = [parameter for parameter in self.trainee.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0, fused=True)
        self.model, self.optimiser = self.accelerator.prepare(self.trainee, optimiser)
        if compiled:
            self.model = Compiled(self.model)
        self.generator = torch.Generator().manual_seed(settings.seed)
        # One of its own, so that whatever else draws or reseeds meanwhile, such as a reader's cell, changes no run.
        self.mask_generator = torch.Generator()
        self.mask_generator.set_state(torch.get_rng_state())
        self.history: list[dict[str, float]] = []
        self.best_score, self.best_step = -math.inf, 0
        self.best: dict[str, Tensor] = {}

    def fit(self, label: str | None, on_step: Watcher | None = None) -> SentenceEncoder:
        """Run all steps; the encoder with the weights of the best dev score."""
        first = self._resume()
        recent: list[dict[str, Tensor]] = []
        saved = time.monotonic()
        shown = {"desc": label, "unit": "step", "leave": False, "disable": label is None}
        with tqdm(total=self.settings.steps, initial=first, **shown) as progress:
            for step, rows in enumerate(batch_rows(len(self.corpus), self.settings), start=1):
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
        encoder = self.trainee.encoder
        encoder.model.load_state_dict(self.best)
        return encoder.cpu()

    @sharing(2)  # a thread for each view
    def _step(self, step: int, rows: np.ndarray) -> dict[str, Tensor]:
        device = self.accelerator.device
        batch = self.trainee.encoder.pad(self.text.rows(rows, self.settings.max_tokens))
        self.model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16(self.settings.precision, device)):
            losses = batch_losses(
                self.model, batch, rows, self.settings, self.distillation, self.generator, self.mask_generator
            )
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * (1 - (step - 1) / self.settings.steps)
        self.accelerator.backward(losses["loss"])
        self.accelerator.clip_grad_norm_(self.trainee.parameters(), self.settings.gradient_clip)
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
                name: weight.detach().cpu().clone() for name, weight in self.trainee.encoder.model.state_dict().items()
            }

    def _save(self, step: int) -> None:
        """Write the checkpoint: weights, best weights, optimiser, random states, history."""
        tensors = {
            "trainee": self.trainee.state_dict(),
            "best": self.best,
            "generators": {"shuffling": self.generator.get_state(), "masks": self.mask_generator.get_state()},
        }
        state = {"step": step, "history": self.history, "best_score": self.best_score, "best_step": self.best_step}
        save_checkpoint(self.checkpoint, tensors, self.optimiser, state)

    def _resume(self) -> int:
        """Go on from the checkpoint if there is a whole one: the number of steps already done, else 0."""
        if not (found := load_checkpoint(self.checkpoint, self.optimiser, ("trainee", "best", "generators"))):
            return 0
        tensors, state = found
        self.trainee.load_state_dict(tensors["trainee"])
        self.best = tensors["best"]
        self.generator.set_state(tensors["generators"]["shuffling"])
        self.mask_generator.set_state(tensors["generators"]["masks"])
        self.history, self.best_score, self.best_step = state["history"], state["best_score"], state["best_step"]
        return int(state["step"])

    def forget_checkpoint(self) -> None:
        """Delete the checkpoint file, if there is one."""
        self.checkpoint.unlink(missing_ok=True)


class DevEncoder:
    """The encoder as the dev score wants it: in the precision of training, and one set of sentences tokenised once."""

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
