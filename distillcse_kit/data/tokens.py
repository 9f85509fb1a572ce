"""Sentences as one flat array of token ids, computed once per tokenizer and corpus, and padded batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenizedText:
    """n sentences, special tokens included: sentence i is ``ids[starts[i]:starts[i + 1]]``.

    Attributes:
        ids: int32, all token ids one after the other.
        starts: int64 [n + 1].
    """

    ids: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sentence, [n]."""
        return np.diff(self.starts)

    def rows(self, rows: Sequence[int] | np.ndarray, longest: int | None = None) -> list[np.ndarray]:
        """The token ids of some sentences, each cut to ``longest``; [SEP] stays the last one."""
        cut = []
        for row in rows:
            ids = self.ids[self.starts[row] : self.starts[row + 1]]
            if longest is not None and len(ids) > longest:
                ids = np.append(ids[: longest - 1], ids[-1])
            cut.append(ids)
        return cut

    @classmethod
    def of(cls, sentences: Sequence[str], tokenizer: Any, max_tokens: int, chunk: int = 20_000) -> TokenizedText:
        """Tokenise in chunks, so that a million sentences need memory for their ids only."""
        parts: list[np.ndarray] = []
        lengths: list[int] = []
        for start in range(0, len(sentences), chunk):
            encoded = tokenizer(list(sentences[start : start + chunk]), truncation=True, max_length=max_tokens)[
                "input_ids"
            ]
            lengths.extend(map(len, encoded))
            parts.append(np.fromiter((token for ids in encoded for token in ids), dtype=np.int32))
        return cls(np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def save(self, path: Path) -> None:
        """Write one .npy file: n, the starts, then the ids, all int32 (a corpus has fewer than 2^31 tokens)."""
        with path.open("wb") as file:
            np.save(file, np.concatenate([[len(self)], self.starts, self.ids]).astype(np.int32), allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> TokenizedText:
        """Read what ``save`` wrote, memory-mapped; ValueError if it is damaged."""
        flat = np.load(path, mmap_mode="r", allow_pickle=False)
        n = int(flat[0]) if flat.ndim == 1 and len(flat) else -1
        starts = np.asarray(flat[1 : n + 2], dtype=np.int64) if n >= 0 else np.zeros(0, dtype=np.int64)
        if len(starts) != n + 1 or not len(starts) or len(flat) != n + 2 + starts[-1]:
            raise ValueError(f"{path} is damaged")
        return cls(flat[n + 2 :], starts)


def pad_rows(
    token_ids: Sequence[np.ndarray] | Sequence[Sequence[int]], pad_id: int, width: int | None = None
) -> Tensor:
    """Token ids of N sentences -> long [N, L], padded with ``pad_id`` to the longest or to ``width``."""
    lengths = np.array([len(ids) for ids in token_ids])
    padded = np.full((len(lengths), width or lengths.max()), pad_id, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(ids) for ids in token_ids])
    return torch.from_numpy(padded)
