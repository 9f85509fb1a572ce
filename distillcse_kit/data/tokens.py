"""A corpus as one flat array of token ids, which is computed once and then padded batch by batch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillcse_kit.errors import KitError
from distillcse_kit.store import write_array_header


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
        """Number of tokens of each sentence, int64 [n]."""
        return np.diff(self.starts)

    def rows(self, rows: Sequence[int] | np.ndarray, longest: int | None = None) -> list[np.ndarray]:
        """Token ids of the sentences ``rows``, each cut to at most ``longest`` tokens; the last one stays [SEP]."""
        cut = []
        for row in rows:
            ids = self.ids[self.starts[row] : self.starts[row + 1]]
            if longest is not None and len(ids) > longest:
                ids = np.append(ids[: longest - 1], ids[-1])
            cut.append(ids)
        return cut

    @staticmethod
    def write(path: Path, sentences: Sequence[str], tokenizer: Any, max_tokens: int, chunk: int = 1_000) -> None:
        """Tokenise the sentences into one .npy file of int32: n, then the n + 1 starts, then all ids.

        Only ``chunk`` sentences and the starts are in memory at a time. The corpus must have fewer than 2^31 tokens.
        """
        front = np.zeros(len(sentences) + 2, dtype=np.int32)
        front[0], starts = len(sentences), front[1:]
        with path.open("wb") as file:
            write_array_header(file, np.int32, (0,))
            file.seek(front.nbytes, os.SEEK_CUR)
            for first in range(0, len(sentences), chunk):
                texts = list(sentences[first : first + chunk])
                encoded = tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]
                starts[first + 1 : first + 1 + len(texts)] = starts[first] + np.cumsum([len(ids) for ids in encoded])
                file.write(np.fromiter(chain.from_iterable(encoded), dtype=np.int32).data)
            file.seek(0)
            write_array_header(file, np.int32, (len(front) + int(starts[-1]),))
            file.write(front.data)

    @classmethod
    def load(cls, path: Path) -> TokenizedText:
        """Memory-map a file that ``write`` wrote.

        Raises:
            ValueError: the file is damaged.
        """
        flat = np.load(path, mmap_mode="r", allow_pickle=False)
        n = int(flat[0]) if flat.ndim == 1 and len(flat) else -1
        starts = np.asarray(flat[1 : n + 2], dtype=np.int64) if n >= 0 else np.zeros(0, dtype=np.int64)
        if len(starts) != n + 1 or not len(starts) or len(flat) != n + 2 + starts[-1]:
            raise ValueError(f"{path} is damaged")
        return cls(flat[n + 2 :], starts)


def require_list(sentences: object) -> None:
    """KitError if ``encode`` was given one string, whose letters would pass as sentences."""
    if isinstance(sentences, str):
        raise KitError("encode takes a list of sentences; put the one sentence into a list.")


def tokenizer_rules(tokenizer: Any) -> str:
    """All that decides what a tokenizer makes of a text, as text: vocabulary, lower-casing, splitting, special tokens.

    Two tokenizers can share a vocabulary, and still read a text in two ways.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps([type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())], ensure_ascii=False)
    rules = json.loads(backend.to_str())
    for of_last_call in ("truncation", "padding"):
        del rules[of_last_call]
    return json.dumps(rules, sort_keys=True, ensure_ascii=False)


def pad_rows(
    token_ids: Sequence[np.ndarray] | Sequence[Sequence[int]], pad_id: int, width: int | None = None
) -> Tensor:
    """Token ids of N sentences -> long [N, L], padded with ``pad_id``; L is the longest length, or ``width``."""
    lengths = np.array([len(ids) for ids in token_ids])
    padded = np.full((len(lengths), width or lengths.max()), pad_id, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(ids) for ids in token_ids])
    return torch.from_numpy(padded)
