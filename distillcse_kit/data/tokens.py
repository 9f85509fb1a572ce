"""Sentences as one flat array of token ids, computed once per tokenizer and corpus, and padded batch by batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

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

    @staticmethod
    def write(path: Path, sentences: Sequence[str], tokenizer: Any, max_tokens: int, chunk: int = 1_000) -> None:
        """Tokenise ``chunk`` sentences at a time into one .npy file: n, the starts, then the ids, all int32.

        Memory is needed for a chunk and the starts only. A corpus has fewer than 2^31 tokens.
        """
        front = np.zeros(len(sentences) + 2, dtype=np.int32)
        front[0], starts = len(sentences), front[1:]
        with path.open("wb") as file:
            _write_header(file, 0)
            file.seek(front.nbytes, os.SEEK_CUR)
            for first in range(0, len(sentences), chunk):
                texts = list(sentences[first : first + chunk])
                encoded = tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]
                starts[first + 1 : first + 1 + len(texts)] = starts[first] + np.cumsum([len(ids) for ids in encoded])
                file.write(np.fromiter(chain.from_iterable(encoded), dtype=np.int32).data)
            file.seek(0)
            _write_header(file, len(front) + int(starts[-1]))
            file.write(front.data)

    @classmethod
    def load(cls, path: Path) -> TokenizedText:
        """Read what ``write`` wrote, memory-mapped; ValueError if it is damaged."""
        flat = np.load(path, mmap_mode="r", allow_pickle=False)
        n = int(flat[0]) if flat.ndim == 1 and len(flat) else -1
        starts = np.asarray(flat[1 : n + 2], dtype=np.int64) if n >= 0 else np.zeros(0, dtype=np.int64)
        if len(starts) != n + 1 or not len(starts) or len(flat) != n + 2 + starts[-1]:
            raise ValueError(f"{path} is damaged")
        return cls(flat[n + 2 :], starts)


def _write_header(file: IO[bytes], count: int) -> None:
    """The head of a .npy file of ``count`` int32; numpy pads it so that it is as long for every count."""
    np.lib.format.write_array_header_1_0(
        file, {"descr": np.dtype(np.int32).str, "fortran_order": False, "shape": (count,)}
    )


def pad_rows(
    token_ids: Sequence[np.ndarray] | Sequence[Sequence[int]], pad_id: int, width: int | None = None
) -> Tensor:
    """Token ids of N sentences -> long [N, L], padded with ``pad_id`` to the longest or to ``width``."""
    lengths = np.array([len(ids) for ids in token_ids])
    padded = np.full((len(lengths), width or lengths.max()), pad_id, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(ids) for ids in token_ids])
    return torch.from_numpy(padded)
