"""Training sentences, and their token ids: what every run reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from distillcse_kit.data.corpus import corpus_fingerprint
from distillcse_kit.data.tokens import TokenizedText, tokenizer_rules
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Corpus:
    """Training sentences and what identifies them.

    Attributes:
        sentences: a list, or a dataset's column, which reads sentences from its file on demand.
        fingerprint: as ``corpus_fingerprint`` gives it.
        partners: in SimCSE's supervised mode a positive for each sentence, and perhaps a hard negative for each; else
            empty, and a sentence's positive is itself.
    """

    sentences: Sequence[str]
    fingerprint: str
    partners: tuple[Corpus, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> Corpus:
        """The columns of what ``load_corpus`` returns.

        Raises:
            KitError: two of the columns are the same.
        """
        names = [name for name in ("sentence", "positive", "hard_negative") if name in dataset.column_names]
        first, *others = (cls(dataset[name], corpus_fingerprint(dataset, name)) for name in names)
        if len({column.fingerprint for column in (first, *others)}) < len(names):
            raise KitError(
                "Two columns of the corpus hold the same sentences; name another one for each part of a pair."
            )
        return replace(first, partners=tuple(others))

    @property
    def identity(self) -> str:
        """The fingerprints of all columns: part of a run's key."""
        return "+".join(column.fingerprint for column in (self, *self.partners))

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
