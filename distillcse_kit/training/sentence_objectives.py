"""What makes a pretrained [CLS] vector say something: objectives that only the [CLS] vector can answer.

Masked language modelling asks nothing of [CLS]: each hidden word is guessed from its neighbours. Here [CLS] alone must
tell which words the sentence has, or help a weak decoder to fill in most of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertForMaskedLM

from distillcse_kit.training.word_pieces import SPECIAL_TOKENS

COMMON = 1e-4  # a word piece more frequent than this counts less (Mikolov et al., NeurIPS 2013: 1e-5 to 1e-3)


def word_weights(counts: Tensor) -> Tensor:
    """How much each word piece counts, [V] counts -> [V]: min(1, sqrt(COMMON / f)), f its share of all pieces.

    Special tokens count 0. Without these weights half of a sentence's words would be the same few.
    """
    share = counts.double() / counts.sum()
    weights = (COMMON / share.clamp(min=1e-12)).sqrt().clamp(max=1.0).float()
    weights[: len(SPECIAL_TOKENS)] = 0.0
    return weights


class BagOfWords(nn.Module):
    """Guess all words of the sentence from its [CLS] vector h, whatever their order.

        l_bag = -sum_w a_w log softmax(E W h + b)_w / sum_w a_w,   w: the word pieces of all sentences of the batch

    E are the encoder's own word vectors, a_w the weights of ``word_weights``. So h must lie, after a linear map, near
    the vectors of the sentence's words. The second objective of DupMAE (Liu et al., ACL 2023) is of this kind.

    Args:
        vocabulary_size, hidden_size: of the encoder.
        counts: how often each word piece is in the corpus, [V].
    """

    def __init__(self, vocabulary_size: int, hidden_size: int, counts: Tensor) -> None:
        super().__init__()
        self.transform = nn.Linear(hidden_size, hidden_size)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.register_buffer("weights", word_weights(counts))

    def forward(self, cls: Tensor, ids: Tensor, vectors: Tensor) -> Tensor:
        """[CLS] vectors [B, d], whole token ids [B, L], word vectors [V, d] -> scalar in nats."""
        log_p = F.log_softmax((self.transform(cls) @ vectors.T).float() + self.bias, dim=-1)
        weights = self.weights[ids]  # type: ignore[index]
        return -(weights * log_p.gather(1, ids)).sum() / weights.sum().clamp(min=1e-6)


class BottleneckDecoder(nn.Module):
    """Fill in most words of the sentence from its [CLS] vector h and the few words that are left, with one layer.

    The decoder reads h in the place of [CLS], and the sentence with most of its words hidden; so weak a decoder needs
    h to say what the sentence is about (RetroMAE, Xiao et al., EMNLP 2022, in its basic form). It guesses with the
    encoder's own masked-LM head, and is thrown away after pretraining.

    Args:
        hidden_size, heads: of its one layer.
    """

    def __init__(self, hidden_size: int, heads: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            hidden_size, heads, 4 * hidden_size, dropout=0.0, activation="gelu", batch_first=True
        )

    def forward(self, model: BertForMaskedLM, cls: Tensor, masked: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
        """[CLS] vectors [B, d], token ids with most words hidden [B, L], flat positions and labels [M] -> nats."""
        states = model.bert.embeddings(input_ids=masked)
        states = torch.cat([cls[:, None].to(states.dtype), states[:, 1:]], dim=1)
        states = self.layer(states, src_key_padding_mask=masked == 0)
        logits = model.cls(states.flatten(0, 1)[positions])
        return F.cross_entropy(logits.float(), labels, ignore_index=-100)
