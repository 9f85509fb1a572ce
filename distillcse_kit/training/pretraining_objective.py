"""The loss that a micro encoder is pretrained with: hidden words, and what [CLS] must say."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertForMaskedLM

from distillcse_kit.training.masked_lm import mask_tokens
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.sentence_objectives import BagOfWords, BottleneckDecoder
from distillcse_kit.training.word_pieces import SPECIAL_TOKENS

MASK = SPECIAL_TOKENS.index("[MASK]")


class PretrainingObjective(nn.Module):
    """The encoder with all that only its pretraining needs.

        loss = l_mlm + bag_weight l_bag + decoder_weight l_decoder

    Args:
        model: the encoder with its masked-LM head.
        settings: weights of the parts; a part of weight 0 is left out.
        counts: how often each word piece is in the corpus, [V].
    """

    def __init__(self, model: BertForMaskedLM, settings: PretrainingSettings, counts: Tensor) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        size = model.config.vocab_size
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(settings.seed)
            self.bag = BagOfWords(size, settings.hidden_size, counts) if settings.bag_weight else None
            self.decoder = BottleneckDecoder(settings.hidden_size, settings.heads) if settings.decoder_weight else None

    def draw(self, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Hide words of a batch [B, L]: the arguments of ``forward``. Nothing here has a gradient."""
        size = self.model.config.vocab_size
        found = (ids, *mask_tokens(ids, self.settings.mask_share, MASK, size, generator))
        if self.decoder is None:
            return found
        masked, positions, labels = mask_tokens(ids, self.settings.decoder_mask_share, MASK, size, generator)
        # The positions come in random order. As many guesses as the encoder makes are enough, and cost no more.
        guesses = len(found[2])
        return (*found, masked, positions[:guesses], labels[:guesses])

    def forward(self, ids: Tensor, masked: Tensor, positions: Tensor, labels: Tensor, *decoded: Tensor) -> Tensor:
        """The parts of the loss in nats, [3]: hidden words, bag of words, decoder; 0 for a part that is left out.

        Args:
            ids, masked: token ids before and after masking, [B, L].
            positions, labels: flat places of the hidden words and what they are, [M].
            decoded: the same three for the decoder.
        """
        states = self.model.bert(input_ids=masked, attention_mask=(ids != 0).long()).last_hidden_state
        # The head runs on the hidden positions only: over a vocabulary, all positions would cost more than the encoder.
        logits = self.model.cls(states.flatten(0, 1)[positions])
        hidden_words = F.cross_entropy(logits.float(), labels, ignore_index=-100)
        cls, none = states[:, 0], hidden_words.new_zeros(())
        vectors = self.model.bert.embeddings.word_embeddings.weight
        bag = none if self.bag is None else self.bag(cls, ids, vectors)
        decoder = none if self.decoder is None else self.decoder(self.model, cls, *decoded)
        return torch.stack([hidden_words, bag, decoder])
