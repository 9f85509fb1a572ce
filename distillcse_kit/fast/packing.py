"""A BERT without the work whose result is not used: padding, and in the last layer every token but [CLS].

Measured on two cores without bfloat16 (`distillcse bench --tricks`): without it, and with torch's dropout either way,
a training step takes 2.0 [2.0, 2.0] times as long; ``encode``, with its threads, 1.5 [1.5, 1.5] times. On an H100 with
BERT-base's shape it changes nothing: 1.0 [0.9, 1.1] (median and quartiles throughout).

**Padding.** The tokens of a batch stand one after the other, [T, d] instead of [N, L, d]. Only attention, which needs
them sentence by sentence, still sees the padding. The sentences of a training batch have random lengths, so a third of
a padded batch is padding.

**Last layer.** Where [CLS] is the embedding, the other tokens matter in the last layer only through their keys and
values. Their queries, attention outputs and feed-forward states are left out. Each head reads the keys and values with
one query only. So the projection is applied to that query, and to the sum that it reads, instead of to every token.
This saves nearly all of the layer's 12 d^2 products a token: a third of all in an encoder of 3 layers, a twelfth in one
of 12.

States and gradients are the same as those of transformers' forward pass, to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

ROUND = 32

# These share BERT's modules, under the same names.
_LIKE_BERT = ("bert", "roberta", "xlm-roberta", "camembert")


def is_like_bert(model: PreTrainedModel) -> bool:
    """Whether this module knows the model's parts."""
    config = model.config
    return config.model_type in _LIKE_BERT and not (config.is_decoder or config.add_cross_attention)


def cls_state(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """``model(**batch).last_hidden_state[:, 0]`` of an encoder like BERT.

    Args:
        model: for which ``is_like_bert`` holds.
        batch: "input_ids" and "attention_mask", [N, L]; a sentence begins in column 0.

    Returns:
        [N, d], with gradient and, in training mode, with dropout.
    """
    layout = Layout(batch["attention_mask"], model.config.num_attention_heads)
    hidden = _embedded(model, batch, layout)
    *layers, last = model.encoder.layer
    for layer in layers:
        hidden = _layer(layer, hidden, layout)
    return _cls_of_layer(last, hidden, layout)


def hidden_states(model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """``model(**batch, output_hidden_states=True).hidden_states`` of an encoder like BERT.

    Args:
        model, batch: as for ``cls_state``.

    Returns:
        The output of the embedding and of each layer, [N, L, d]. The values at padding mean nothing.
    """
    mask = batch["attention_mask"]
    layout = Layout(mask, model.config.num_attention_heads)
    states = [_embedded(model, batch, layout)]
    for layer in model.encoder.layer:
        states.append(_layer(layer, states[-1], layout))
    return tuple(_Pick.apply(hidden, layout.tokens, layout.places).view(*mask.shape, -1) for hidden in states)


class Layout:
    """Where the T tokens of a batch stand among its N x L places, for the whole state and for each head.

    Args:
        mask: [N, L], 1 for tokens and 0 for padding.
        heads: H, of each layer's attention.
    """

    def __init__(self, mask: Tensor, heads: int) -> None:
        n, width = mask.shape
        self.shape = (n, heads, width, -1)
        taken = _rounded_up(mask.flatten().bool())
        self.places = taken.nonzero().squeeze(1)  # [T], the place of each token
        # [N L], the token that fills a place. Padding repeats the token before it: attention never looks there.
        self.tokens = taken.cumsum(0) - 1
        sentence, self.columns = self.places // width, self.places % width
        self.first = (self.columns == 0).nonzero().squeeze(1)  # [N], the [CLS] tokens
        head = torch.arange(heads, device=mask.device)
        # The same with a row for each head, so that states go into [N, H, L, d / H] and back in one copy.
        self.head_places = ((sentence[:, None] * heads + head) * width + self.columns[:, None]).flatten()  # [T H]
        self.head_tokens = (self.tokens.view(n, 1, width) * heads + head[:, None]).flatten()  # [N H L]
        self.allowed = mask.bool()[:, None, None, :]

    def spread(self, packed: Tensor) -> Tensor:
        """Tokens into their places: [T, d] -> [N, H, L, d / H]."""
        rows = packed.reshape(len(self.head_places), -1)
        return _Pick.apply(rows, self.head_tokens, self.head_places).view(self.shape)

    def gather(self, padded: Tensor) -> Tensor:
        """The tokens out of all places: [N, H, L, d / H] -> [T, d]."""
        rows = padded.reshape(len(self.head_tokens), -1)
        return _Pick.apply(rows, self.head_places, None).view(len(self.places), -1)


def _rounded_up(tokens: Tensor) -> Tensor:
    """The places of all tokens, and of enough padding to make their number a multiple of ``ROUND``, as far as it lasts.

    The matrix library prepares a kernel for each shape it meets, and keeps it. If the number of tokens were never the
    same twice, that would cost time and megabytes at every step.
    """
    missing = -int(tokens.sum()) % ROUND
    taken = tokens.clone()
    taken[(~tokens).nonzero().squeeze(1)[:missing]] = True
    return taken


class _Pick(torch.autograd.Function):
    """``rows[chosen]`` with a gradient that is copied; torch would add it up row by row.

    A row may be chosen more than once, because padding repeats it. ``back`` names, for each row, the one copy that has
    its gradient; at padding the gradient is 0. Without ``back`` no row is chosen twice, and rows that are not chosen
    have a gradient of 0.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, chosen: Tensor, back: Tensor | None) -> Tensor:
        ctx.save_for_backward(chosen, back)
        ctx.total = len(rows)
        return rows.index_select(0, chosen)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        chosen, back = ctx.saved_tensors
        if back is not None:
            return gradient.index_select(0, back), None, None
        return gradient.new_zeros(ctx.total, gradient.shape[1]).index_copy_(0, chosen, gradient), None, None


def _embedded(model: Any, batch: Mapping[str, Tensor], layout: Layout) -> Tensor:
    """Token, position and type embeddings of the tokens, [T, d]."""
    positions = layout.columns
    if model.config.model_type != "bert":  # the others count positions from the padding id on
        positions = positions + model.config.pad_token_id + 1
    ids = batch["input_ids"].flatten()[layout.places][None]
    return model.embeddings(input_ids=ids, position_ids=positions[None], token_type_ids=torch.zeros_like(ids))[0]


def _layer(layer: Any, hidden: Tensor, layout: Layout) -> Tensor:
    """One layer, [T, d] -> [T, d]."""
    parts, lower = layer.attention.self, _lower(hidden)
    query, key, value = (layout.spread(project(lower)) for project in (parts.query, parts.key, parts.value))
    context = layout.gather(_attend(parts, query, key, value, layout.allowed))
    return layer.feed_forward_chunk(layer.attention.output(context, hidden))


def _cls_of_layer(layer: Any, hidden: Tensor, layout: Layout) -> Tensor:
    """The [CLS] tokens' output of one layer, [T, d] -> [N, d]."""
    parts, heads = layer.attention.self, layout.shape[1]
    first = _Pick.apply(hidden, layout.first, None)
    states = _Pick.apply(_lower(hidden), layout.tokens, layout.places).view(len(first), -1, hidden.shape[1])
    query = parts.query(first).view(len(first), heads, -1)
    # With W and b a head's part of the key's and of the value's projection, and x_j the token states:
    # q . (W x_j + b) = (W' q) . x_j + q . b, where q . b is the same for all j, so that the softmax does not see it.
    asked = torch.einsum("nhe,hed->nhd", query, parts.key.weight.view(heads, -1, hidden.shape[1]))
    scores = (asked @ states.transpose(1, 2) * parts.scaling).masked_fill(
        ~layout.allowed[:, 0], torch.finfo(asked.dtype).min
    )
    weights = parts.dropout(torch.softmax(scores, dim=-1))  # [N, H, L]
    # sum_j w_j (W x_j + b) = W (sum_j w_j x_j) + (sum_j w_j) b
    read = weights.to(states.dtype) @ states
    context = torch.einsum("nhd,hed->nhe", read, parts.value.weight.view(heads, -1, hidden.shape[1]))
    context = context + weights.sum(-1, keepdim=True) * parts.value.bias.view(heads, -1)
    return layer.feed_forward_chunk(layer.attention.output(context.flatten(1), first))


def _lower(hidden: Tensor) -> Tensor:
    """The states in autocast's precision: rounded once here, not by each projection that reads them."""
    kind = hidden.device.type
    return hidden.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else hidden


def _attend(parts: Any, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """Attention with dropout: [N, H, L, d / H]; ``allowed``, [N, 1, 1, L], is False at padding."""
    dropout = parts.dropout.p if parts.training else 0.0
    if not dropout or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, allowed, dropout, scale=parts.scaling)
    # On a processor torch's fused attention has no dropout; written out, attention can use the module's own.
    scores = query @ key.transpose(2, 3) * parts.scaling
    weights = torch.softmax(scores.masked_fill(~allowed, torch.finfo(scores.dtype).min), dim=-1)
    return parts.dropout(weights).to(value.dtype) @ value
