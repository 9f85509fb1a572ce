"""A teacher's embeddings of the corpus: computed once, kept on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.store import Store


def _content(encoder: SentenceEncoder, corpus_fingerprint: str, max_tokens: int | None) -> dict[str, str | int | None]:
    return {"encoder": encoder.fingerprint(), "corpus": corpus_fingerprint, "max_tokens": max_tokens}


def embeddings_path(store: Store, encoder: SentenceEncoder, corpus_fingerprint: str, max_tokens: int | None) -> Path:
    """Where ``embed_corpus`` keeps the encoder's embeddings."""
    return store.path("embeddings", _content(encoder, corpus_fingerprint, max_tokens), ".npy")


def embed_corpus(
    store: Store,
    encoder: SentenceEncoder,
    text: TokenizedText,
    corpus_fingerprint: str,
    label: str | None = "embed",
    max_tokens: int | None = None,
    chunk: int = 4_096,
) -> np.ndarray:
    """The encoder's unit embeddings of the corpus, computed once and memory-mapped.

    Teachers are fixed and in evaluation mode: whatever they say of a sentence never changes during distillation.

    Args:
        store: where the file is or will be.
        encoder: the teacher. text: the corpus in *its* token ids.
        corpus_fingerprint: identifies the corpus.
        label: shown beside the progress bar, None shows none.
        max_tokens: where to cut sentences, so that a teacher reads what its student reads; None leaves them whole.
        chunk: sentences in memory at a time.

    Returns:
        float16 [n, d], read-only. A cosine from it is within 1e-3 of the float32 one.
    """

    def write(path: Path) -> None:
        shape = (len(text), encoder.width)
        result = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        for start in tqdm(range(0, len(text), chunk), desc=label, disable=label is None, leave=False):
            rows = range(start, min(start + chunk, len(text)))
            result[rows.start : rows.stop] = encoder.encode_tokens(
                text.rows(rows, max_tokens),
                batch_size=128,
                normalize_embeddings=True,
                show_progress_bar=False,
                precision="auto",
            )
        result.flush()

    return store.array("embeddings", _content(encoder, corpus_fingerprint, max_tokens), write)
