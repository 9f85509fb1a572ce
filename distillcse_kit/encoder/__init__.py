"""How a sentence becomes a vector: loading, pooling, saving."""

from distillcse_kit.encoder.sentence_encoder import SentenceEncoder

__all__ = ["SentenceEncoder"]
