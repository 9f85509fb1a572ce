"""Token ids on disk: the same as the tokenizer's, written in little memory, and made again if a file is damaged."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from torch.nn.utils.rnn import pad_sequence

from distillcse_kit.data.tokens import TokenizedText, pad_rows
from distillcse_kit.store import Store
from distillcse_kit.training.word_pieces import learn_vocabulary, new_tokenizer

SOME = [*SENTENCES[:40], "a", "cook " * 60]  # the last is longer than any limit here


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return new_tokenizer(learn_vocabulary(SENTENCES, 120), 64)


@pytest.fixture(scope="module")
def path(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "text.npy"
    TokenizedText.write(path, SOME, tokenizer, 50)
    return path


@pytest.fixture(scope="module")
def text(path: Path) -> TokenizedText:
    return TokenizedText.load(path)


# ---------------------------------------------------------------- making


@pytest.mark.parametrize("chunk", [1, 7, 42, 1_000])
def test_each_sentence_has_the_tokenizers_ids_whatever_the_chunk(tokenizer: Any, chunk: int, tmp_path: Path) -> None:
    TokenizedText.write(tmp_path / "text.npy", SOME, tokenizer, 50, chunk=chunk)
    made = TokenizedText.load(tmp_path / "text.npy")
    expected = [tokenizer(sentence, truncation=True, max_length=50)["input_ids"] for sentence in SOME]
    assert [row.tolist() for row in made.rows(range(len(SOME)))] == expected
    assert made.lengths.tolist() == list(map(len, expected)) and len(made) == len(SOME)
    assert (made.ids.dtype, made.starts.dtype) == (np.int32, np.int64)
    assert (made.starts[0], made.starts[-1]) == (0, len(made.ids))


@pytest.mark.parametrize("longest", [3, 8, 49, 50, 51])
def test_a_later_cut_is_the_tokenizers_own(tokenizer: Any, text: TokenizedText, longest: int) -> None:
    """Cutting stored ids is as good as tokenising again with that limit; [SEP] stays the last one."""
    for sentence, row in zip(SOME, text.rows(np.arange(len(SOME)), longest), strict=True):
        assert row.tolist() == tokenizer(sentence, truncation=True, max_length=min(longest, 50))["input_ids"]
        assert row[0] == tokenizer.cls_token_id and row[-1] == tokenizer.sep_token_id


def test_a_cut_leaves_the_stored_ids_alone(text: TokenizedText) -> None:
    before = text.ids.copy()
    text.rows(range(len(text)), 4)
    assert np.array_equal(text.ids, before)


def peak_of_writing(count: int, tokenizer: Any, path: Path) -> int:
    """Peak memory in bytes of Python and numpy; the tokenizer's own memory is not counted."""
    sentences = [SENTENCES[row % len(SENTENCES)] for row in range(count)]
    tracemalloc.start()
    TokenizedText.write(path, sentences, tokenizer, 50, chunk=200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_is_needed_for_a_chunk_and_the_starts_only(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.npy"
    small, large = (peak_of_writing(count, tokenizer, path) for count in (20_000, 60_000))
    assert large < TokenizedText.load(path).ids.nbytes / 3
    assert large - small < 40_000 * 4 + 50_000  # the starts, and some unrelated bytes


# ---------------------------------------------------------------- disk


def test_what_is_loaded_stays_on_disk(path: Path) -> None:
    loaded = TokenizedText.load(path)
    base: Any = loaded.ids
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap) and base.mode == "r"
    assert path.stat().st_size <= 4 * (2 + len(loaded) + len(loaded.ids)) + 256


def bytes_of(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def values_of(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda path: np.save(path, change(np.load(path)))


DAMAGES = {
    "empty": bytes_of(lambda content: b""),
    "torn": bytes_of(lambda content: content[:-5]),
    "some tokens too short": bytes_of(lambda content: content[:-40]),
    "torn in the starts": bytes_of(lambda content: content[:200]),
    "torn in the header": bytes_of(lambda content: content[:20]),
    "another kind of file": bytes_of(lambda content: b"{}" + content),
    "a pickle": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
    "no numbers": values_of(lambda flat: flat[:0]),
    "a token too few": values_of(lambda flat: flat[:-1]),
    "a token too many": values_of(lambda flat: np.append(flat, 7)),
    "a sentence more than there is": values_of(lambda flat: np.concatenate([[flat[0] + 1], flat[1:]])),
    "fewer than no sentences": values_of(lambda flat: np.concatenate([[-1], flat[1:]])),
    "other ends of sentences": values_of(lambda flat: np.concatenate([flat[:43], [flat[43] + 1], flat[44:]])),
}
OTHER_SHAPES = {
    "the count alone": values_of(lambda flat: flat[:1]),
    "one number without a row": values_of(lambda flat: flat[0]),
    "a table": values_of(lambda flat: flat[: len(flat) // 2 * 2].reshape(-1, 2)),
}


@pytest.mark.parametrize(
    "damage",
    [
        *(pytest.param(damage, id=name) for name, damage in DAMAGES.items()),
        *(pytest.param(damage, id=name) for name, damage in OTHER_SHAPES.items()),
    ],
)
def test_damaged_ids_are_made_again(
    damage: Callable[[Path], None], tokenizer: Any, text: TokenizedText, tmp_path: Path
) -> None:
    """``load`` raises an error that the store takes as damage, so the store writes the file again."""
    store, made = Store(tmp_path), []

    def write(path: Path) -> None:
        made.append(path)
        TokenizedText.write(path, SOME, tokenizer, 50)

    def get() -> TokenizedText:
        return store.load_or_write("tokens", "t", ".npy", TokenizedText.load, write)

    get()
    assert len(get()) == len(text) and len(made) == 1
    path = store.path("tokens", "t", ".npy")
    assert np.load(path)[43] == text.starts[-1]  # n, then 43 starts: what "other ends" changes
    damage(path)
    with pytest.raises((ValueError, EOFError)):
        TokenizedText.load(path)
    assert np.array_equal(get().ids, text.ids) and len(made) == 2


# ---------------------------------------------------------------- padding


@pytest.mark.parametrize("pad_id", [0, 9])
def test_padding_is_torchs(text: TokenizedText, pad_id: int) -> None:
    rows = text.rows([3, 41, 0, 40])
    expected = pad_sequence([torch.tensor(row.tolist()) for row in rows], batch_first=True, padding_value=pad_id)
    padded = pad_rows(rows, pad_id)
    assert padded.dtype == torch.long and torch.equal(padded, expected)
    assert torch.equal(pad_rows([row.tolist() for row in rows], pad_id), expected)
    wide = pad_rows(rows, pad_id, 60)
    assert wide.shape == (4, 60) and torch.equal(wide[:, :50], expected) and (wide[:, 50:] == pad_id).all()
