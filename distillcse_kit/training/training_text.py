"""Training sentences, and their token ids: what every run reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distillcse_kit.data.corpus import corpus_fingerprint
from distillcse_kit.data.tokens import TokenizedText, tokenizer_rules
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.store import Store

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Corpus:
    """Training sentences and what identifies them.

    Attributes:
        sentences: a list, or a dataset's column, which reads sentences from its file on demand.
        fingerprint: as ``corpus_fingerprint`` gives it.
    """

    sentences: Sequence[str]
    fingerprint: str

    @classmethod
    def of(cls, dataset: Dataset) -> Corpus:
        """The column ``sentence`` of what ``load_corpus`` returns."""
        return cls(dataset["sentence"], corpus_fingerprint(dataset))

    def __len__(self) -> int:
        return len(self.sentences)


def tokenized(store: Store, encoder: SentenceEncoder, corpus: Corpus) -> TokenizedText:
    """The corpus as token ids of this encoder's tokenizer, computed once per tokenizer and corpus."""
    content = {
        "tokenizer": tokenizer_rules(encoder.tokenizer),
        "limit": encoder.max_tokens,
        "corpus": corpus.fingerprint,
    }
    return store.load_or_write(
        "tokens",
        content,
        ".npy",
        TokenizedText.load,
        lambda path: TokenizedText.write(path, corpus.sentences, encoder.tokenizer, encoder.max_tokens),
    )
