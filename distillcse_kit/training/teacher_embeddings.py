"""A teacher's embeddings of the corpus: computed once, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillcse_kit.encoder.library_encoder import AnyEncoder, load_encoder
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.one_process import require_one_process
from distillcse_kit.progress import progress_bar
from distillcse_kit.store import Store, write_array_header
from distillcse_kit.training.model_names import encoder_name
from distillcse_kit.training.training_text import Corpus, tokenized


def _content(source: str, corpus: Corpus, max_tokens: int | None) -> dict[str, Any]:
    return {"encoder": encoder_name(source), "corpus": corpus.fingerprint, "max_tokens": max_tokens}


def embeddings_path(store: Store, source: str, corpus: Corpus, max_tokens: int | None) -> Path:
    """Where ``embed_corpus`` keeps the encoder's embeddings. The encoder is not loaded for this."""
    return store.path("embeddings", _content(source, corpus, max_tokens), ".npy")


def embed_corpus(
    store: Store,
    source: str,
    corpus: Corpus,
    label: str | None = "embed",
    max_tokens: int | None = None,
    chunk: int = 4_096,
    device: str | torch.device = "auto",
) -> np.ndarray:
    """The encoder's unit embeddings of the corpus, computed once and memory-mapped.

    Teachers are fixed and in evaluation mode, so a sentence's embedding never changes during distillation.

    Args:
        store: where the file is or will be.
        source: the teacher: a run folder, another model folder, or a hub name. It reads the corpus in its own word
            pieces, and is loaded only if the store does not have the embeddings yet.
        corpus: the training sentences.
        label: shown beside the progress bar; None shows none.
        max_tokens: where sentences are cut, so that a teacher reads what its student reads; None leaves them whole.
        chunk: sentences in memory at a time.
        device: where they are computed; not part of their name in the store.

    Returns:
        float16 [n, d], read-only. A cosine from it is within 1e-3 of the float32 one.

    Raises:
        KitError: the encoder cannot be loaded, the disk is full, this machine has no such device, or this is one of
            several processes of ``torchrun``.
    """

    def write(path: Path) -> None:
        require_one_process()
        encoder = load_encoder(source, device=device)
        embed = embedder(store, encoder, corpus, max_tokens)
        with path.open("wb") as file:  # not a memory map: a full disk would kill the process
            write_array_header(file, np.float16, (len(corpus), encoder.width))
            for start in progress_bar(range(0, len(corpus), chunk), label is not None, desc=label):
                file.write(embed(range(start, min(start + chunk, len(corpus)))).astype(np.float16).data)

    return store.array("embeddings", _content(source, corpus, max_tokens), write)


def embedder(
    store: Store, encoder: AnyEncoder, corpus: Corpus, max_tokens: int | None
) -> Callable[[range], np.ndarray]:
    """What gives the unit embeddings of a range of the corpus, as ``embed_corpus`` stores them, but float32 [n, d].

    Args:
        store: keeps the corpus in the word pieces of the kit's own encoders, so that they are found once.
        encoder: the teacher, on the device that computes.
        corpus: its sentences.
        max_tokens: where they are cut; None leaves them whole.
    """
    options: Any = {"normalize_embeddings": True, "show_progress_bar": False, "precision": "auto", "batch_size": 128}
    if isinstance(encoder, SentenceEncoder):
        text = tokenized(store, encoder, corpus)
        return lambda rows: encoder.encode_tokens(text.rows(rows, max_tokens), **options)
    return lambda rows: encoder.encode(corpus.sentences[rows.start : rows.stop], max_tokens=max_tokens, **options)
