"""What decides how a micro encoder is pretrained. Nothing heavy is imported here, so that help comes at once."""

from __future__ import annotations

from dataclasses import dataclass

from distillcse_kit.errors import KitError


@dataclass(frozen=True)
class PretrainingSettings:
    """Everything besides the text that decides what the micro encoder becomes.

    Attributes:
        vocabulary_size: word pieces in the vocabulary, the five special tokens included, 1 or more.
        hidden_size: width of the encoder and of its sentence embeddings, a multiple of ``heads``.
        layers: transformer layers, 1 or more.
        heads: attention heads in each layer, 1 or more.
        max_tokens: longest sentence in word pieces, [CLS] and [SEP] included, 3 or more; the rest is cut off.
        steps: optimiser steps, 1 or more.
        tokens_per_batch: tokens in a batch, padding included, 1 or more; short sentences make larger batches.
        learning_rate: highest learning rate, above 0, after a linear rise and before a linear fall to zero.
        warmup_share: share of the steps in which the learning rate rises, 0 to 1.
        decay_share: share of the steps in which the learning rate falls, 0 to 1.
        mask_share: share of a batch's positions that are hidden and predicted, above 0 and at most 1.
        bag_weight: weight of guessing the sentence's words from [CLS] alone (``BagOfWords``), 0 (off) or more.
        decoder_weight: weight of the decoder that fills in most words with the help of [CLS] (``BottleneckDecoder``),
            0 (off) or more.
        decoder_mask_share: share of the positions that this decoder does not see, above 0 and at most 1.
        dropout: dropout rate written into the model's config, at least 0 and below 1. SimCSE needs it for its
            two views. Pretraining itself runs without dropout: so small a model does not overfit, and drawing random
            numbers would take a third of each step on a CPU.
        vocabulary_sentences: sentences that the vocabulary is learned from, 1 or more.
        seed: seed of initialisation, masking and the order of sentences, 0 or more.
    """

    vocabulary_size: int = 8_000
    hidden_size: int = 192
    layers: int = 3
    heads: int = 3
    max_tokens: int = 128
    steps: int = 20_000
    tokens_per_batch: int = 4_096
    learning_rate: float = 1.5e-3
    warmup_share: float = 0.03
    decay_share: float = 0.3
    mask_share: float = 0.15
    bag_weight: float = 0.0
    decoder_weight: float = 0.0
    decoder_mask_share: float = 0.5
    dropout: float = 0.1
    vocabulary_sentences: int = 350_000
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("vocabulary_size", "hidden_size", "layers", "heads", "steps", "tokens_per_batch")
        for name in (*counts, "vocabulary_sentences"):
            if getattr(self, name) < 1:
                raise KitError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.max_tokens < 3:
            raise KitError(f"max_tokens is {self.max_tokens}; [CLS], one word and [SEP] need at least 3.")
        if not self.learning_rate > 0:
            raise KitError(f"learning_rate is {self.learning_rate}; it must be greater than 0.")
        for name in ("mask_share", "decoder_mask_share"):
            if not 0 < getattr(self, name) <= 1:
                raise KitError(f"{name} is {getattr(self, name)}; it must lie in (0, 1].")
        for name in ("bag_weight", "decoder_weight"):
            if not getattr(self, name) >= 0:
                raise KitError(f"{name} is {getattr(self, name)}; it must be 0 (off) or more.")
        if not 0 <= self.dropout < 1:
            raise KitError(f"dropout is {self.dropout}; it must lie in [0, 1).")
        if self.seed < 0:
            raise KitError(f"seed is {self.seed}; it must be 0 or more.")
        if self.hidden_size % self.heads:
            raise KitError(
                f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}; choose one that is."
            )

    def rate_at(self, step: int) -> float:
        """Learning rate at ``step``, counted from 0: linear warm-up, plateau, linear decay to zero."""
        warmup = max(1, round(self.warmup_share * self.steps))
        decay = max(1, round(self.decay_share * self.steps))
        return self.learning_rate * max(0.0, min(1.0, (step + 1) / warmup, (self.steps - step) / decay))
