"""Masked language modelling: the settings, batches, masking, the loss, and the training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from distillcse_kit.data.tokens import TokenizedText, pad_rows
from distillcse_kit.encoder.devices import has_fused_optimiser, use_bfloat16
from distillcse_kit.errors import KitError
from distillcse_kit.progress import progress_bar
from distillcse_kit.training.checkpoint import load_checkpoint, save_checkpoint
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.word_pieces import SPECIAL_TOKENS

CHECKPOINT_STEPS = 1_000  # a multiple of the steps between two rows of the loss curve


def batches(text: TokenizedText, settings: PretrainingSettings, start_step: int = 0) -> Iterator[Tensor]:
    """Endless batches of token ids, long [B, L], padded with 0. Sentences of similar length share a batch.

    L takes only a few fixed values and B = tokens_per_batch // L, so that a compiled model sees few shapes. The order
    is drawn anew for each epoch from (seed, epoch). A resumed run skips the first ``start_step`` batches.
    """
    widths = np.array([width for width in (24, 40, 64) if width < settings.max_tokens] + [settings.max_tokens])
    bucket = np.searchsorted(widths, np.minimum(text.lengths, settings.max_tokens))
    step, epoch = 0, 0
    while True:
        order_of = np.random.default_rng((settings.seed, epoch))
        plan = []
        for index, width in enumerate(widths):
            members = order_of.permutation(np.flatnonzero(bucket == index))
            rows = max(1, settings.tokens_per_batch // int(width))
            # A batch with fewer rows would be a new shape, so the last one is filled up by repeating its sentences.
            for first in range(0, len(members), rows):
                plan.append((int(width), np.resize(members[first : first + rows], rows)))
        for index in order_of.permutation(len(plan)):
            if step >= start_step:
                width, rows = plan[index]
                yield pad_rows(text.rows(rows, width), 0, width)
            step += 1
        epoch += 1


def mask_tokens(
    ids: Tensor, share: float, mask_id: int, vocabulary_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """BERT's masking, with a fixed number M of predictions: ``share`` of all B L positions of the batch.

    Of the chosen positions, 80% become [MASK], 10% become a random token and 10% stay. Special tokens are never chosen.

    Args:
        ids: token ids, long [B, L].
        share: of the positions, in (0, 1].
        mask_id: id of [MASK].
        vocabulary_size: random tokens are drawn below this id.
        generator: of all draws.

    Returns:
        (input ids [B, L], flat positions [M], labels [M]). If the batch has fewer than M ordinary tokens, the labels
        of the others are -100, which the loss ignores.
    """
    ordinary = ids >= len(SPECIAL_TOKENS)
    draw = torch.rand(ids.shape, generator=generator).masked_fill(~ordinary, 2.0).flatten()
    positions = draw.topk(max(1, round(share * ids.numel())), largest=False).indices
    labels = torch.where(ordinary.flatten()[positions], ids.flatten()[positions], -100)
    action = torch.rand(positions.shape, generator=generator)
    random_ids = torch.randint(len(SPECIAL_TOKENS), vocabulary_size, positions.shape, generator=generator)
    replaced = torch.where(action < 0.8, mask_id, torch.where(action < 0.9, random_ids, labels))
    masked = ids.flatten().clone()
    masked[positions] = torch.where(labels >= 0, replaced, ids.flatten()[positions])
    return masked.view_as(ids), positions, labels


def masked_lm_loss(model: BertForMaskedLM, ids: Tensor, masked: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the hidden tokens, a scalar in nats.

    The head runs on the hidden positions only. With 8,000 word pieces, all positions would cost more than the encoder.

    Args:
        ids, masked: token ids before and after masking, [B, L].
        positions, labels: [M], from ``mask_tokens``.
    """
    hidden = model.bert(input_ids=masked, attention_mask=(ids != 0).long()).last_hidden_state
    logits = model.cls(hidden.flatten(0, 1)[positions])
    return F.cross_entropy(logits.float(), labels, ignore_index=-100)


def new_micro_encoder(settings: PretrainingSettings, tokenizer: BertTokenizer, vectors: np.ndarray) -> BertForMaskedLM:
    """A BERT with random weights, except that its word pieces start from ``vectors`` [V, d].

    ``settings.seed`` decides the random weights; torch's global random state is restored afterwards.
    """
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.hidden_size,
        max_position_embeddings=settings.max_tokens,
        type_vocab_size=1,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        # On a processor, for short sentences, the backward pass is faster than that of the fused kernels.
        attn_implementation="eager",  # type: ignore[call-arg]
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)  # transformers draws from the global generator
        model = BertForMaskedLM(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[len(SPECIAL_TOKENS) :] = torch.from_numpy(
            vectors[len(SPECIAL_TOKENS) : len(tokenizer)]
        )
    return model


def new_optimiser(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW with betas (0.9, 0.98) and, as usual for transformers, weight decay on matrices only.

    The model is where it will be trained.
    """
    fused = all(has_fused_optimiser(parameter.device) for parameter in model.parameters())
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=fused)


@dataclass
class Pretraining:
    """A pretraining in progress.

    Attributes:
        settings: of the model and its training.
        model, optimiser: being trained.
        generator: of the masking.
        checkpoint: file that ``save`` writes and ``resume`` reads.
        step: steps taken so far.
        curve: rows of the loss curve so far: step, loss in nats, tokens per second.
    """

    settings: PretrainingSettings
    model: BertForMaskedLM
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    checkpoint: Path
    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)

    def save(self) -> None:
        """Write the checkpoint, completely or not at all."""
        tensors = {"model": self.model.state_dict(), "masking": {"generator": self.generator.get_state()}}
        state = {"step": self.step, "curve": self.curve}
        save_checkpoint(self.checkpoint, tensors, self.optimiser, state, self.model.device)

    def resume(self) -> None:
        """Continue from the checkpoint, if there is a complete one. torch's global random state stays as it is."""
        # Nothing here draws from the global generators, so the states in the checkpoint are not needed.
        if found := load_checkpoint(self.checkpoint, self.optimiser, ("model", "masking")):
            tensors, state = found
            self.model.load_state_dict(tensors["model"])
            self.generator.set_state(tensors["masking"]["generator"])
            self.step, self.curve = state["step"], state["curve"]


def run_pretraining(
    state: Pretraining, text: TokenizedText, tokenizer: BertTokenizer, compile_model: bool, every: int = 100
) -> None:
    """Take the remaining steps where the model is, with a row of the loss curve every ``every`` steps and checkpoints.

    Raises:
        KitError: the loss is not finite, or the disk is full.
    """
    settings, model = state.settings, state.model
    device = model.device
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    compiled = compile_model and device.type != "mps"  # torch.compile is a prototype there
    loss_of = torch.compile(masked_lm_loss, dynamic=False) if compiled else masked_lm_loss
    total, seen, began = 0.0, 0, time.monotonic()
    progress = progress_bar(
        total=settings.steps, initial=state.step, desc="pretrain", unit="step", mininterval=5, leave=True
    )
    for ids in batches(text, settings, state.step):
        if state.step >= settings.steps:
            break
        masked, positions, labels = mask_tokens(
            ids, settings.mask_share, tokenizer.mask_token_id, len(tokenizer), state.generator
        )
        for group in state.optimiser.param_groups:
            group["lr"] = settings.rate_at(state.step)
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16("auto", device)):
            loss = loss_of(model, *(tensor.to(device) for tensor in (ids, masked, positions, labels)))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        state.optimiser.step()
        state.optimiser.zero_grad(set_to_none=True)
        state.step += 1
        total, seen = total + loss.item(), seen + int((ids != 0).sum())
        progress.update()
        if state.step % every == 0 or state.step == settings.steps:
            steps = state.step % every or every
            if not math.isfinite(total):
                raise KitError(f"The loss is {total / steps} at step {state.step}; lower the learning rate.")
            rate = round(seen / (time.monotonic() - began))
            state.curve.append({"step": state.step, "loss": round(total / steps, 4), "tokens_per_second": rate})
            progress.set_postfix(loss=f"{total / steps:.3f}", tokens_per_second=rate)
            total, seen, began = 0.0, 0, time.monotonic()
        if state.step % CHECKPOINT_STEPS == 0:
            state.save()
    progress.close()
    model.cpu().eval()
