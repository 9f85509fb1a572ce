"""Teachers: their embeddings of the corpus, computed once, and the mean of their cosines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.encoder import SentenceEncoder
from distillcse_kit.errors import KitError
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


class TeacherEnsemble:
    """M teachers as stored embeddings: t_ij = sum_m w_m cos_m(i, j), w summing to 1 (Eq 7 has w_m = 1 / M).

    A mean of cosines is the cosine of a concatenation: with each teacher's unit embeddings scaled by sqrt(w_m), all
    cosines of a batch are one matrix product, whatever the teachers' sizes.

    Args:
        embeddings: {teacher's name: [n, d_m]}, each row a sentence of the same corpus; widths may differ.
        weights: {teacher's name: weight}, scaled to sum to 1; None weighs all alike.

    Raises:
        KitError: no teacher, different numbers of sentences, weights that are unknown, missing, negative or all zero.
    """

    def __init__(self, embeddings: Mapping[str, np.ndarray], weights: Mapping[str, float] | None = None) -> None:
        if not embeddings:
            raise KitError("An ensemble needs at least one teacher.")
        lengths = {name: len(rows) for name, rows in embeddings.items()}
        if len(set(lengths.values())) > 1:
            raise KitError(
                f"The teachers embedded different numbers of sentences ({lengths}); embed one corpus with all."
            )
        weights = dict.fromkeys(embeddings, 1.0) if weights is None else weights
        if set(weights) != set(embeddings):
            odd = sorted(set(weights) ^ set(embeddings))
            raise KitError(f"Weights and teachers do not match at {odd[0]!r}; give one weight for each teacher.")
        total = sum(weights.values())
        if min(weights.values()) < 0 or not total > 0:
            raise KitError("The teachers' weights must be 0 or more, and not all 0.")
        self.embeddings = dict(embeddings)
        self.weights = {name: weights[name] / total for name in embeddings}

    @property
    def sentences(self) -> int:
        """n, how many sentences are embedded."""
        return len(next(iter(self.embeddings.values())))

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """The concatenation that stands for the ensemble: float32 [N, sum of widths], rows of length 1."""
        parts = []
        for name, stored in self.embeddings.items():
            unit = F.normalize(torch.from_numpy(np.asarray(stored[rows], dtype=np.float32)), dim=-1)
            parts.append(self.weights[name] ** 0.5 * unit)
        return torch.cat(parts, dim=-1).numpy()

    def cosines(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
        """Averaged cosines of the sentences ``rows`` of the corpus: float32 [N, N]."""
        vectors = torch.from_numpy(self.vectors(rows)).to(device)
        # Autocast would round the product to bfloat16, coarser than the temperature of 0.01 allows.
        with torch.autocast(vectors.device.type, enabled=False):
            return vectors @ vectors.T

    def describe(self) -> list[dict[str, float | str]]:
        """Names and weights, in order, for keys and run folders."""
        return [{"teacher": name, "weight": round(weight, 12)} for name, weight in self.weights.items()]


class EnsembleEncoder:
    """Several encoders as one: the raw teacher ensemble of the paper's Table 5, with ``encode``.

    The cosine of two of its embeddings is the (weighted) mean of the teachers' cosines.
    """

    def __init__(self, encoders: Sequence[SentenceEncoder], weights: Sequence[float] | None = None) -> None:
        if not encoders:
            raise KitError("An ensemble needs at least one teacher.")
        self.encoders = list(encoders)
        chosen = np.asarray(weights if weights is not None else [1.0] * len(self.encoders), dtype=np.float64)
        if len(chosen) != len(self.encoders) or chosen.min() < 0 or chosen.sum() <= 0:
            raise KitError("Give one weight of 0 or more for each encoder, not all 0.")
        self.weights = chosen / chosen.sum()

    def encode(self, sentences: Sequence[str], **options: object) -> np.ndarray:
        """float32 [n, sum of widths], rows of length 1; options as in ``SentenceEncoder.encode``."""
        options["normalize_embeddings"] = True
        parts = [
            np.sqrt(weight) * encoder.encode(sentences, **options)  # type: ignore[arg-type]
            for encoder, weight in zip(self.encoders, self.weights, strict=True)
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)
