"""What the kit is measured against: the same work, written in the plainest way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.encoder.head import TrainingHead
from distillcse_kit.encoder.loading import MICRO, quietly
from distillcse_kit.method.losses import contrastive_loss, cosine_matrix, distillation_loss
from distillcse_kit.method.shuffling import group_p_shuffle, number_of_groups


def group_p_loop(teacher_cosines: Tensor, p: float) -> Tensor:
    """Group-P, row by row and group by group: sort, cumulative softmax, cut, permute each slice."""
    result = teacher_cosines.clone()
    cuts = torch.arange(1, number_of_groups(p)) * p
    for i, row in enumerate(teacher_cosines):
        row = row.clone()
        row[i] = -torch.inf
        logits, columns = row.sort(descending=True)
        logits, columns = logits[:-1], columns[:-1]
        ends = torch.searchsorted(torch.softmax(logits, dim=0).cumsum(dim=0), cuts).tolist()
        start = 0
        for end in [*ends, len(logits)]:
            if end > start:
                result[i, columns[start:end]] = logits[start:end][torch.randperm(end - start)]
                start = end
    return result


def plain_model() -> PreTrainedModel:
    """The micro encoder as ``transformers`` loads it, attention written out, float32."""
    with quietly():
        return AutoModel.from_pretrained(
            MICRO, add_pooling_layer=False, dtype=torch.float32, attn_implementation="eager", use_safetensors=True
        )


class PlainTraining:
    """SimCSE and distillation as the published scripts do them: float32, every sentence padded to 32 tokens.

    Teachers, if there are any, read every batch in every step.
    """

    def __init__(self, training: TrainingSettings, distillation: DistillationSettings, teachers: int = 0) -> None:
        self.training, self.distillation = training, distillation
        self.model, self.head = plain_model().train(), TrainingHead(192)
        self.teachers = [plain_model().eval() for _ in range(teachers)]
        parameters = [*self.model.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=training.learning_rate, weight_decay=0.0)

    def step(self, ids: Tensor, mask: Tensor) -> None:
        """One optimiser step on N sentences, [N, 32]."""
        both = self.model(input_ids=ids.repeat(2, 1), attention_mask=mask.repeat(2, 1)).last_hidden_state[:, 0]
        view_a, view_b = self.head(both).chunk(2)
        loss = contrastive_loss(view_a, view_b, self.training.temperature)
        if self.teachers:
            with torch.no_grad():
                states = [t(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0] for t in self.teachers]
                cosines = torch.stack([F.normalize(h, dim=-1) @ F.normalize(h, dim=-1).T for h in states]).mean(dim=0)
                targets = group_p_shuffle(cosines, self.distillation.p)
            student = cosine_matrix(view_a, view_a)
            loss = loss + self.distillation.weight * distillation_loss(student, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.training.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
