"""The loss of one batch: contrastive loss, distillation and masked LM together (Eq 3 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.encoder.loading import load_masked_lm
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder, TrainingHead
from distillcse_kit.fast.views import two_views
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.method.losses import contrastive_loss, cosine_matrix, distillation_loss, ranking_hinge_loss
from distillcse_kit.method.shuffling import fixed_group_shuffle, group_mean, group_p_shuffle, rank_band_shuffle

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Distillation:
    """What makes a training run a student: its settings, and the teachers' stored embeddings of the corpus."""

    settings: DistillationSettings
    teachers: TeacherEnsemble


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
