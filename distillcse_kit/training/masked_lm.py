"""Masked language modelling: batches, masking, the model and its optimiser."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.encoder.devices import has_fused_optimiser
from distillcse_kit.training.hidden_words import disguised
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.word_pieces import SPECIAL_TOKENS


def batches(
    text: TokenizedText, settings: PretrainingSettings, start_step: int = 0, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """Endless batches of token ids, long [B, L], padded with 0. Sentences of similar length share a batch.

    L takes only a few fixed values and B = tokens_per_batch // L, so that a compiled model sees few shapes. The order
    is drawn anew for each epoch from (seed, epoch). A resumed run skips the first ``start_step`` batches.

    Args:
        text: the sentences. All of their ids are held in the device's memory.
        settings: seed, longest sentence, and tokens in a batch.
        start_step: batches to leave out at the beginning.
        device: where the batches are put together.
    """
    widths = np.array([width for width in (24, 40, 64) if width < settings.max_tokens] + [settings.max_tokens])
    bucket = np.searchsorted(widths, np.minimum(text.lengths, settings.max_tokens))
    # All of it goes to the device at once: a copy for each batch would make a GPU wait.
    ids, starts = (torch.from_numpy(np.array(array)).to(device) for array in (text.ids, text.starts))
    step = epoch = 0
    while True:
        order_of = np.random.default_rng((settings.seed, epoch))
        plan = []
        for index, width in enumerate(widths):
            members = order_of.permutation(np.flatnonzero(bucket == index))
            rows = max(1, settings.tokens_per_batch // int(width))
            # A batch with fewer rows would be a new shape, so the last one is filled up by repeating its sentences.
            for begin in range(0, len(members), rows):
                plan.append((int(width), np.resize(members[begin : begin + rows], rows)))
        plan = [plan[index] for index in order_of.permutation(len(plan))]
        order = torch.from_numpy(np.concatenate([rows for _, rows in plan])).to(device)
        for (width, _), rows in zip(plan, order.split([len(rows) for _, rows in plan]), strict=True):
            if step >= start_step:
                yield _rows_of(ids, starts[rows], starts[rows + 1], width)
            step += 1
        epoch += 1


def _rows_of(ids: Tensor, first: Tensor, last: Tensor, width: int) -> Tensor:
    """The sentences ids[first:last], [B] each, padded with 0 or cut to ``width`` tokens: long [B, width].

    The last token of a sentence that is cut stays [SEP].
    """
    first, last = first[:, None], last[:, None]
    place = first + torch.arange(width, device=ids.device)
    place[:, -1:] = torch.where(last - first > width, last - 1, place[:, -1:])
    return torch.where(place < last, ids[place.clamp(max=len(ids) - 1)], 0).long()


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
        generator: of all draws, on any device; on that of the ids nothing is copied.

    Returns:
        (input ids [B, L], flat positions [M], labels [M]). If the batch has fewer than M ordinary tokens, the labels
        of the others are -100, which the loss ignores.
    """
    ordinary = ids >= len(SPECIAL_TOKENS)
    draw = torch.rand(ids.shape, generator=generator, device=generator.device).to(ids.device)
    draw = draw.masked_fill(~ordinary, 2.0).flatten()
    positions = draw.topk(max(1, round(share * ids.numel())), largest=False).indices
    labels = torch.where(ordinary.flatten()[positions], ids.flatten()[positions], -100)
    words = torch.arange(len(SPECIAL_TOKENS), vocabulary_size, device=generator.device)
    replaced = disguised(labels, mask_id, words, generator)
    masked = ids.flatten().clone()
    masked[positions] = torch.where(labels >= 0, replaced, ids.flatten()[positions])
    return masked.view_as(ids), positions, labels


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
