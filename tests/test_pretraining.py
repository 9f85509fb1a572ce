"""Making an encoder from text: counts by loops, masking, and a pretraining that is stopped and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from safetensors.torch import load_file

from distillcse_kit import pretraining
from distillcse_kit.data.tokens import TokenizedText, pad_rows
from distillcse_kit.encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.pretraining import (
    PretrainingSettings,
    batches,
    learn_vocabulary,
    mask_tokens,
    new_tokenizer,
    ppmi_svd_embeddings,
    pretrain,
)
from distillcse_kit.store import Store


def text_of(rows: list[list[int]]) -> TokenizedText:
    return TokenizedText(np.concatenate(rows).astype(np.int32), np.cumsum([0, *map(len, rows)]))


SMALL = PretrainingSettings(
    vocabulary_size=120, hidden_size=16, layers=1, heads=2, max_tokens=24, steps=30, tokens_per_batch=240
)


# ---------------------------------------------------------------- token ids


def test_token_ids_come_back_from_disk(tmp_path: Path) -> None:
    text = text_of([[2, 7, 3], [2, 3], [2, 9, 8, 7, 3]])
    text.save(tmp_path / "t.npy")
    loaded = TokenizedText.load(tmp_path / "t.npy")
    assert len(loaded) == 3 and [row.tolist() for row in loaded.rows([2, 0])] == [[2, 9, 8, 7, 3], [2, 7, 3]]
    assert loaded.lengths.tolist() == [3, 2, 5]


def test_a_cut_keeps_the_last_token() -> None:
    text = text_of([[2, 9, 8, 7, 3], [2, 4, 3]])
    assert [row.tolist() for row in text.rows([0, 1], longest=3)] == [[2, 9, 3], [2, 4, 3]]


def test_damaged_token_ids_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.npy"
    text_of([[2, 7, 3], [2, 3]]).save(path)
    whole = np.load(path)
    for damaged in (whole[:-1], np.append(whole, 1), whole[:0]):
        np.save(path, damaged)
        with pytest.raises((ValueError, IndexError), match=r"damaged|index"):
            TokenizedText.load(path)


def test_chunks_change_nothing() -> None:
    tokenizer = new_tokenizer(learn_vocabulary(SENTENCES, 120), 64)
    whole, parts = (TokenizedText.of(SENTENCES[:50], tokenizer, 64, chunk=chunk) for chunk in (1_000, 7))
    assert np.array_equal(whole.ids, parts.ids) and np.array_equal(whole.starts, parts.starts)
    assert whole.rows([4])[0].tolist() == tokenizer(SENTENCES[4])["input_ids"]


def test_padding() -> None:
    assert pad_rows([[2, 5, 3], [2, 3]], 0).tolist() == [[2, 5, 3], [2, 3, 0]]
    assert pad_rows([[2, 3]], 9, width=4).tolist() == [[2, 3, 9, 9]]


# ---------------------------------------------------------------- vectors from counts


def test_ppmi_vectors_have_the_products_of_the_plain_computation() -> None:
    """Counts with a loop, numpy's full SVD; with all dimensions kept, inner products are those of U S U'."""
    draw = np.random.default_rng(0)
    size = 12
    rows = [draw.integers(0, size, draw.integers(3, 9)).tolist() for _ in range(40)]
    counts = np.zeros((size, size))
    for row in rows:
        for i, word in enumerate(row):
            for j, context in enumerate(row):
                if i != j and abs(i - j) <= 3:
                    counts[word, context] += 1 / abs(i - j)
    totals = counts.sum(axis=1)
    contexts = totals**0.75 / (totals**0.75).sum()
    with np.errstate(divide="ignore"):
        ppmi = np.maximum(0, np.log(counts / totals[:, None] / contexts))
    left, singular, _ = np.linalg.svd(ppmi)
    expected = left * np.sqrt(singular)
    found = ppmi_svd_embeddings(text_of(rows), size, size, window=3).astype(float)
    assert found.std() == pytest.approx(0.04, rel=1e-4)
    found *= np.linalg.norm(expected) / np.linalg.norm(found)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)


def test_words_in_the_same_company_are_close() -> None:
    """1 and 2 always stand between 5 and 6; 3 between 7 and 8."""
    rows = [[5, word, 6] for word in (1, 2)] * 20 + [[7, 3, 8]] * 20
    vectors = ppmi_svd_embeddings(text_of(rows), 9, 4)
    cosine = np.corrcoef(vectors)
    assert cosine[1, 2] > 0.99 > 0.5 > cosine[1, 3]


# ---------------------------------------------------------------- masked language modelling


def test_masking_hides_the_share_and_never_a_special_token() -> None:
    ids = torch.randint(5, 100, (40, 25), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1], ids[:5, 15:] = 2, 3, 0
    masked, places, labels = mask_tokens(ids, 0.15, 4, 100, torch.Generator().manual_seed(1))
    assert len(places) == round(0.15 * ids.numel()) == len(set(places.tolist()))
    before, after = ids.flatten()[places], masked.flatten()[places]
    assert torch.equal(labels, before) and (before >= 5).all()
    untouched = torch.ones(ids.numel(), dtype=torch.bool)
    untouched[places] = False
    assert torch.equal(masked.flatten()[untouched], ids.flatten()[untouched])
    assert (after == 4).float().mean() == pytest.approx(0.8, abs=0.1)
    assert (after == before).float().mean() == pytest.approx(0.1, abs=0.08)


def test_a_batch_without_enough_words_has_labels_that_do_not_count() -> None:
    ids = torch.tensor([[2, 7, 3, 0, 0, 0, 0, 0, 0, 0]])
    masked, places, labels = mask_tokens(ids, 0.3, 4, 100, torch.Generator().manual_seed(0))
    assert sorted(labels.tolist()) == [-100, -100, 7]
    assert torch.equal(masked[0, 2:], ids[0, 2:]) and len(places) == 3


def test_an_epoch_reads_every_sentence_and_a_resumed_one_goes_on() -> None:
    rows = [[2, *([10 + i] * (3 + i % 30)), 3] for i in range(50)]
    text, settings = text_of(rows), PretrainingSettings(max_tokens=32, tokens_per_batch=160)
    stream = batches(text, settings)
    first = [next(stream) for _ in range(12)]
    assert {int(row[1]) for batch in first for row in batch} <= set(range(10, 60))
    assert all(batch.numel() <= 160 for batch in first)
    later = batches(text, settings, start_step=7)
    assert all(torch.equal(batch, next(later)) for batch in first[7:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 7}, "hidden_size 192 is not a multiple of heads 7"),
        ({"steps": 0}, "steps is 0"),
        ({"layers": 0}, "lay"),
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(KitError, match=message):
        PretrainingSettings(**changes)


def test_the_rate_warms_up_stays_and_decays_to_zero() -> None:
    settings = PretrainingSettings(steps=100, learning_rate=2.0, warmup_share=0.1, decay_share=0.5)
    rates = [settings.rate_at(step) for step in range(101)]
    assert rates[:11] == pytest.approx([0.2 * k for k in range(1, 11)] + [2.0])
    assert rates[50] == 2.0 and rates[75] == pytest.approx(1.0) and rates[100] == 0.0


# ---------------------------------------------------------------- the whole of it


def make(out: Path, store: Store, settings: PretrainingSettings = SMALL) -> Path:
    return pretrain(SENTENCES, "test", out, settings, store, compile_model=False, say=lambda _: None)


def test_a_pretraining_lowers_the_loss_and_leaves_a_model_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "made", Store(tmp_path / "store"), PretrainingSettings(**{**vars(SMALL), "steps": 200}))
    card = json.loads((folder / "pretraining.json").read_text())
    assert card["curve"][-1]["loss"] < 0.75 * np.log(120) and card["settings"]["steps"] == 200
    encoder = SentenceEncoder.load(folder)
    assert encoder.encode(SENTENCES[:3]).shape == (3, 16) and encoder.max_tokens == 24
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float16}
    assert not list((tmp_path / "store" / "pretraining").glob("*.safetensors"))


def test_a_stopped_pretraining_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one store: a vocabulary is not learned twice alike, for its learner breaks ties at random."""
    store = Store(tmp_path / "store")
    whole = make(tmp_path / "whole", store)
    loss, calls = pretraining.masked_lm_loss, []

    def counted(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 18:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(pretraining, "CHECKPOINT_STEPS", 10)
    monkeypatch.setattr(pretraining, "masked_lm_loss", counted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", store)
    assert not (tmp_path / "cut").exists()
    calls[:] = [1] * 100
    cut = make(tmp_path / "cut", store)
    assert len(calls) == 120  # 20 of 30 steps were left
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)
