"""The loss of one batch: contrastive loss, distillation and masked LM together (Eq 3 of the paper)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.encoder.head import TrainingHead
from distillcse_kit.encoder.loading import load_masked_lm, model_folder
from distillcse_kit.encoder.makers_way import makers_way
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitWarning
from distillcse_kit.fast.dropout import has_cheap_dropout, mask_stream
from distillcse_kit.fast.packing import hidden_states
from distillcse_kit.fast.switches import Switches
from distillcse_kit.fast.views import two_views, views_of
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.method.losses import contrastive_loss, cosine_matrix, distillation_loss, ranking_hinge_loss
from distillcse_kit.method.shuffling import fixed_group_shuffle, group_mean, group_p_shuffle, rank_band_shuffle
from distillcse_kit.training.hidden_words import disguised
from distillcse_kit.training.recipe import Recipe

ALL_ON = Switches()


@dataclass(frozen=True)
class Draws:
    """One run's own generators. Whatever a reader's cell draws meanwhile, the run stays the same.

    Attributes:
        shuffling: permutes the teacher's logits, and draws the hinge's pairs.
        dropout: seeds the dropout masks.
        words: chooses the words that the masked-LM loss hides.
    """

    shuffling: torch.Generator
    dropout: torch.Generator
    words: torch.Generator

    @classmethod
    def of(cls, seed: int, started: torch.Generator | None = None) -> Draws:
        """The generators of a run.

        Args:
            seed: of the run.
            started: the generator that the weights were drawn from; dropout and words go on from its state. None starts
                them at the seed.
        """
        found = cls(*(torch.Generator().manual_seed(seed) for _ in range(3)))
        if started is not None:
            found.dropout.set_state(started.get_state())
            found.words.set_state(started.get_state())
        return found

    def states(self) -> dict[str, Tensor]:
        """{name: state}, for a checkpoint."""
        return {name: generator.get_state() for name, generator in vars(self).items()}

    def set_states(self, states: dict[str, Tensor]) -> None:
        """Restore the states of a checkpoint."""
        for name, generator in vars(self).items():
            generator.set_state(states[name])


def shuffled(
    teacher_cosines: Tensor, settings: DistillationSettings, generator: torch.Generator, fast: bool = True
) -> Tensor:
    """The teacher's logits [N, N] as the settings ask: shuffled, smoothed, or unchanged."""
    if settings.shuffle == "group_p":
        return group_p_shuffle(teacher_cosines, settings.p, settings.group_temperature, generator, fast)
    if settings.shuffle == "group_mean":
        temperatures = settings.group_temperature, settings.teacher_temperature
        return group_mean(teacher_cosines, settings.p, *temperatures, fast)
    if settings.shuffle == "fixed_groups":
        return fixed_group_shuffle(teacher_cosines, settings.group_size, generator, fast)
    if settings.shuffle == "rank_band":
        return rank_band_shuffle(teacher_cosines, settings.band_start, settings.band_end, generator, fast)
    return teacher_cosines


def _warn_of_another_pooling(settings: TrainingSettings) -> None:
    """Warn if sentence-transformers saved the base with another way to a sentence embedding than training takes."""
    folder = model_folder(settings.base)
    if not (folder / "modules.json").is_file() or (folder / "distillcse.json").is_file():
        return  # nothing is said about pooling, or it is a model of the kit, whose poolings are compared on purpose
    way = makers_way(folder)
    meant = way.beyond or f"the pooling {way.pooling}"
    if meant != f"the pooling {settings.pooling}":
        warnings.warn(
            f"{settings.base} was saved with {meant}, and is trained with the pooling {settings.pooling}; name one "
            "with pooling (in the command: --pooling).",
            KitWarning,
            stacklevel=2,
        )


class Trainee(nn.Module):
    """An encoder with what only training needs: a head that is not kept, and a masked-LM head if that loss is on.

    It is made on the processor, where its random numbers are drawn, and can then be moved.
    """

    def __init__(self, settings: TrainingSettings, generator: torch.Generator | None = None) -> None:
        super().__init__()
        _warn_of_another_pooling(settings)
        self.encoder = SentenceEncoder.load(settings.base, settings.pooling, device="cpu", dropout=settings.dropout)
        self.head: nn.Module = nn.Identity()
        if settings.head and settings.pooling == "cls":
            head = TrainingHead(self.encoder.width, generator)
            if settings.keep_head:
                self.encoder.head = head
            else:
                self.head = head
        self.masked_lm: nn.Module | None = None
        if settings.mlm_weight:
            tokenizer = self.encoder.tokenizer
            self.words = torch.tensor(sorted({*tokenizer.get_vocab().values()} - {*tokenizer.all_special_ids}))
            # Some models come without the head's weights. Drawing them must not change the reader's random numbers.
            with torch.random.fork_rng(devices=[]):
                if generator is not None:
                    torch.set_rng_state(generator.get_state())
                self.masked_lm = load_masked_lm(settings.base)
            # One body, two heads: the masked-LM loss must train this same encoder.
            setattr(self.masked_lm, self.masked_lm.base_model_prefix, self.encoder.model)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Token ids and mask [N, L] -> embeddings [N, d] after the head, float32."""
        return self.head(self.encoder(batch)).float()

    def masked_lm_loss(
        self, batch: dict[str, Tensor], share: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Cross-entropy of hidden tokens, in nats: the auxiliary loss of SimCSE. ``disguised`` says what hides them."""
        assert self.masked_lm is not None
        ids, tokenizer = batch["input_ids"], self.encoder.tokenizer
        # Not torch.isin: on Apple's GPUs it compares whole numbers in the newer versions of macOS only.
        special = (ids[..., None] == torch.tensor(tokenizer.all_special_ids).to(ids.device)).any(dim=-1)
        hidden = (torch.rand(ids.shape, generator=generator).to(ids.device) < share) & ~special
        labels = torch.where(hidden, ids, -100)
        inputs = torch.where(hidden, disguised(ids, tokenizer.mask_token_id, self.words, generator), ids)
        masked = {"input_ids": inputs, "attention_mask": batch["attention_mask"]}
        with mask_stream(int(torch.randint(2**63 - 1, (), generator=generator))):
            logits = self._words(masked).float()
        # The sum over hidden tokens, divided by their number or 1: a batch without any gives 0, not nan.
        total = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
        return total / hidden.sum().clamp(min=1)

    def _words(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits over the vocabulary at each place, [N, L, V].

        ``transformers``' own forward pass draws the dropout of attention from torch's global generator. With the
        kit's own dropout, the encoder's states come from the kit's own forward pass.
        """
        model = self.masked_lm
        if not has_cheap_dropout(self.encoder.model):
            return model(**batch).logits  # type: ignore[misc]
        head = model.cls if self.encoder.model.config.model_type == "bert" else model.lm_head  # type: ignore[union-attr]
        return head(hidden_states(self.encoder.model, batch)[-1])  # type: ignore[operator]


def batch_losses(
    trainee: Trainee,
    batch: dict[str, Tensor],
    rows: np.ndarray,
    recipe: Recipe,
    teachers: TeacherEnsemble | None,
    draws: Draws,
    switches: Switches = ALL_ON,
    partners: Sequence[dict[str, Tensor]] = (),
) -> dict[str, Tensor]:
    """All losses of one batch, Eq 3 of the paper:

        loss = l_cl + lambda l_distill + mu l_mlm

    Args:
        trainee: in training mode.
        batch: token ids and mask, [N, L] each. rows: [N], the places of its sentences in the corpus.
        recipe: temperatures, weights, shuffling.
        teachers: of a student; None for a SimCSE teacher.
        draws: the run's own generators.
        switches: which shortcuts of ``fast`` are on; only sorting matters here.
        partners: the sentences' positives, and perhaps their hard negatives, as ``batch``; empty takes a second view of
            the sentences. Distillation and the masked-LM loss read the sentences alone.

    Returns:
        {"loss": the sum; "contrastive", "distillation", "masked_lm": those of its parts that the recipe has}, scalars.
    """
    settings, wanted = recipe.training, recipe.distillation
    parts: dict[str, Tensor] = {}
    if wanted is not None and wanted.distil_only:
        with mask_stream(int(torch.randint(2**63 - 1, (), generator=draws.dropout))):
            view_a = trainee(batch)
        loss = view_a.new_zeros(())
    else:
        view_a, view_b, *hard = (
            views_of(trainee, [batch, *partners], draws.dropout)
            if partners
            else two_views(trainee, batch, draws.dropout)
        )
        loss = parts["contrastive"] = contrastive_loss(view_a, view_b, settings.temperature, *hard)
    if wanted is not None and teachers is not None:
        targets = shuffled(teachers.cosines(rows, view_a.device), wanted, draws.shuffling, switches.sorting)
        parts["distillation"] = _imitation(cosine_matrix(view_a, view_a), targets, wanted, draws.shuffling)
        loss = loss + wanted.weight * parts["distillation"]
    if trainee.masked_lm is not None:
        parts["masked_lm"] = trainee.masked_lm_loss(batch, settings.mlm_share, draws.words)
        loss = loss + settings.mlm_weight * parts["masked_lm"]
    return {"loss": loss, **parts}


def _imitation(
    student_cosines: Tensor, teacher_cosines: Tensor, wanted: DistillationSettings, generator: torch.Generator
) -> Tensor:
    """The objective that the settings name, on one batch."""
    if wanted.objective == "ranking_hinge":
        return ranking_hinge_loss(
            student_cosines,
            teacher_cosines,
            wanted.teacher_temperature,
            wanted.teacher_margin,
            wanted.student_margin,
            wanted.pairs_per_row,
            generator,
        )
    return distillation_loss(
        student_cosines, teacher_cosines, wanted.student_temperature, wanted.teacher_temperature, wanted.divergence
    )
