"""The built-in corpus: a generator of English sentences and graded pairs that needs no download."""

from distillcse_kit.data.builtin.generator import builtin_corpus, builtin_pairs, builtin_topics

__all__ = ["builtin_corpus", "builtin_pairs", "builtin_topics"]
