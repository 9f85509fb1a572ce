"""What makes a vector of a sentence: loading, pooling, saving."""

from distillcse_kit.encoder.sentence_encoder import SentenceEncoder

__all__ = ["SentenceEncoder"]
