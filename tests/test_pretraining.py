"""Making an encoder from text: counts by loops, masking, and a pretraining that is stopped and goes on."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from safetensors.torch import load_file
from scipy import stats

from distillcse_kit.command import main as cli
from distillcse_kit.data.tokens import TokenizedText, pad_rows
from distillcse_kit.encoder.loading import load_masked_lm
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store
from distillcse_kit.training import masked_lm, pretraining, word_pieces
from distillcse_kit.training.masked_lm import PretrainingSettings, batches, mask_tokens
from distillcse_kit.training.pretraining import pretrain
from distillcse_kit.training.word_pieces import learn_vocabulary, new_tokenizer, ppmi_svd_embeddings


def text_of(rows: list[list[int]]) -> TokenizedText:
    return TokenizedText(np.concatenate(rows).astype(np.int32), np.cumsum([0, *map(len, rows)]))


SMALL = PretrainingSettings(
    vocabulary_size=120, hidden_size=16, layers=1, heads=2, max_tokens=24, steps=30, tokens_per_batch=240
)


# ---------------------------------------------------------------- token ids


def test_a_cut_keeps_the_last_token() -> None:
    text = text_of([[2, 9, 8, 7, 3], [2, 4, 3]])
    assert [row.tolist() for row in text.rows([0, 1], longest=3)] == [[2, 9, 3], [2, 4, 3]]


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
    loss, calls = masked_lm.masked_lm_loss, []

    def counted(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 18:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(masked_lm, "CHECKPOINT_STEPS", 10)
    monkeypatch.setattr(masked_lm, "masked_lm_loss", counted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", store)
    assert not (tmp_path / "cut").exists()
    calls[:] = [1] * 100
    cut = make(tmp_path / "cut", store)
    assert len(calls) == 120  # 20 of 30 steps were left
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)


# ---------------------------------------------------------------- vocabulary


def test_a_vocabulary_begins_with_the_special_tokens_and_spells_every_word() -> None:
    pieces = learn_vocabulary(SENTENCES, 120)
    assert pieces[:5] == word_pieces.SPECIAL_TOKENS == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(pieces) == len(set(pieces)) == 120
    tokenizer = new_tokenizer(pieces, 64)
    for sentence in SENTENCES[:20]:
        spelt = tokenizer.convert_ids_to_tokens(tokenizer(sentence.upper())["input_ids"])
        assert (spelt[0], spelt[-1]) == ("[CLS]", "[SEP]") and "[UNK]" not in spelt
        assert "".join(spelt[1:-1]).replace("##", "") == sentence.replace(" ", "")


def test_ids_do_not_depend_on_the_learners_order() -> None:
    pieces = learn_vocabulary(SENTENCES, 120)
    assert pieces[:5] == word_pieces.SPECIAL_TOKENS and pieces[5:] == sorted(pieces[5:])


# ---------------------------------------------------------------- vectors, beside test_ppmi_vectors_have_the_products


@pytest.mark.parametrize(("window", "smoothing"), [(1, 0.75), (2, 1.0), (5, 0.5)])
def test_truncated_vectors_are_the_largest_part_of_the_dense_svd(window: int, smoothing: float) -> None:
    """PPMI written as probabilities, p(w, c) / (p(w) p'(c)), a pair of places at a time; then numpy's SVD cut to k."""
    draw, size, k = np.random.default_rng(window), 15, 4
    rows = [draw.choice(size - 1, draw.integers(2, 9), p=draw.dirichlet(np.ones(size - 1))).tolist() for _ in range(30)]
    joint = np.zeros((size, size))  # word 14 never occurs
    for row in rows:
        for i in range(len(row)):
            for j in range(i + 1, min(len(row), i + window + 1)):
                joint[row[i], row[j]] += 1 / (j - i)
                joint[row[j], row[i]] += 1 / (j - i)
    joint /= joint.sum()
    word = joint.sum(axis=1)
    context = word**smoothing / np.sum(word**smoothing)
    seen = np.argwhere(joint > 0)
    ppmi = np.zeros((size, size))
    for w, c in seen:
        ppmi[w, c] = max(0.0, np.log(joint[w, c] / (word[w] * context[c])))
    left, singular, _ = np.linalg.svd(ppmi)
    expected = (left[:, :k] * singular[:k]) @ left[:, :k].T
    vectors = ppmi_svd_embeddings(text_of(rows), size, k, window, smoothing).astype(float)
    assert vectors.shape == (size, k) and np.abs(vectors[14]).max() < 1e-6
    gram = vectors @ vectors.T
    np.testing.assert_allclose(gram / np.linalg.norm(gram), expected / np.linalg.norm(expected), atol=1e-4)
    assert np.array_equal(vectors, ppmi_svd_embeddings(text_of(rows), size, k, window, smoothing))


def test_a_model_starts_from_the_vectors_and_the_special_tokens_from_noise() -> None:
    tokenizer = new_tokenizer(learn_vocabulary(SENTENCES, 120), 24)
    vectors = np.arange(120 * 16, dtype=np.float32).reshape(120, 16)
    model = masked_lm.new_micro_encoder(SMALL, tokenizer, vectors)
    weights = model.get_input_embeddings().weight.detach().numpy()
    assert np.array_equal(weights[5:], vectors[5:])
    assert not weights[0].any() and 0.005 < weights[1:5].std() < 0.05
    assert (model.config.hidden_dropout_prob, model.config.attention_probs_dropout_prob) == (0.1, 0.1)


# ---------------------------------------------------------------- masking and loss


@pytest.mark.parametrize("share", [0.05, 0.15, 0.4])
def test_over_many_draws_every_word_is_hidden_equally_often(share: float) -> None:
    ids = torch.full((1, 20), 7)
    ids[0, 0], ids[0, -1], ids[0, 5] = 2, 3, 1  # [CLS], [SEP], [UNK]
    generator, hidden, draws = torch.Generator().manual_seed(0), torch.zeros(20), 2_000
    becomes = torch.zeros(30)
    for _ in range(draws):
        masked, places, labels = mask_tokens(ids, share, 4, 30, generator)
        hidden[places] += 1
        assert (labels == 7).all()
        becomes += torch.bincount(masked.flatten()[places], minlength=30)
    assert hidden[[0, 5, 19]].tolist() == [0, 0, 0]
    chance = round(share * 20) / 17
    words = hidden[hidden > 0] / draws
    assert len(words) == 17 and words.mean().item() == pytest.approx(chance)
    assert (words - chance).abs().max() < 4.5 * np.sqrt(chance * (1 - chance) / draws)
    expected = np.full(26, 0.1 / 25)  # [MASK], then 25 words: 10% at random, and 10% stay what they are
    expected[0], expected[3] = 0.8, 0.1 + 0.1 / 25
    assert not becomes[:4].any()
    assert stats.chisquare(becomes[4:].numpy(), expected * becomes.sum().item()).pvalue > 0.001


def test_the_loss_is_that_of_transformers() -> None:
    """Its own forward pass over all positions, with the labels laid out on them."""
    tokenizer = new_tokenizer(learn_vocabulary(SENTENCES, 120), 24)
    vectors = np.random.default_rng(0).normal(0, 0.5, (120, 16)).astype(np.float32)
    model = masked_lm.new_micro_encoder(SMALL, tokenizer, vectors).eval()
    ids = pad_rows(tokenizer(SENTENCES[:6])["input_ids"] + [[2, 9, 3]], 0, 24)
    for share in (0.2, 0.9):  # the second has places to fill beside the words
        masked, places, labels = mask_tokens(ids, share, 4, 120, torch.Generator().manual_seed(2))
        grid = torch.full(ids.shape, -100).flatten().index_copy(0, places, labels).view_as(ids)
        expected = model(input_ids=masked, attention_mask=(ids != 0).long(), labels=grid).loss
        found = masked_lm.masked_lm_loss(model, ids, masked, places, labels)
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)


# ---------------------------------------------------------------- batches


def test_the_batches_of_an_epoch_hold_every_sentence_cut_to_its_width() -> None:
    rows = [[2, *([10 + i] * (1 + 2 * (i % 40))), 3] for i in range(100)]  # 3 to 81 tokens
    settings = PretrainingSettings(max_tokens=48, tokens_per_batch=200)
    fits = {24: [r for r in rows if len(r) <= 24], 40: [r for r in rows if 24 < len(r) <= 40]}
    fits[48] = [r for r in rows if len(r) > 40]
    count = sum(-(-len(members) // (200 // width)) for width, members in fits.items())
    stream = batches(text_of(rows), settings)
    for _ in range(2):  # two epochs
        found: dict[int, list[int]] = {}
        for _ in range(count):
            batch = next(stream)
            assert batch.shape in {(200 // width, width) for width in fits}
            for row in batch.tolist():
                kept = [token for token in row if token]
                assert row == kept + [0] * (len(row) - len(kept)) and len(row) in fits
                found[kept[1]] = kept
        assert found == {row[1]: row if len(row) <= 48 else [*row[:47], 3] for row in rows}


def test_epochs_and_seeds_have_different_orders() -> None:
    text = text_of([[2, 10 + i, 3] for i in range(60)])
    first, second = ([next(stream).tolist() for _ in range(6)] for stream in (seeded(text, 0), seeded(text, 1)))
    assert first[:3] != first[3:] and first != second
    assert first == [next(stream).tolist() for stream in [seeded(text, 0)] for _ in range(6)]


def seeded(text: TokenizedText, seed: int) -> Iterator[torch.Tensor]:
    return batches(text, PretrainingSettings(max_tokens=24, tokens_per_batch=480, seed=seed))


# ---------------------------------------------------------------- the folder that comes out


def test_transformers_and_sentence_transformers_load_what_is_written(tmp_path: Path) -> None:
    """The three agree on the embeddings, the weights are half precision and no tensor is written twice."""
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folder = make(tmp_path / "made", Store(tmp_path / "store"), replace(SMALL, steps=60))
    some = [*SENTENCES[:5], "a " * 60]
    ours = SentenceEncoder.load(folder).encode(some)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    batch = tokenizer(some, padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape[1] == 24
    with torch.no_grad():
        theirs = model.bert(**batch).last_hidden_state[:, 0].numpy()
        logits = model(**batch).logits
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    whole = {"dtype": torch.float32}  # or it would compute in the half precision of the file
    other = SentenceTransformer(str(folder), device="cpu", model_kwargs=whole)
    np.testing.assert_allclose(ours, other.encode(some), atol=1e-5)
    assert logits.isfinite().all()

    d, vocabulary, places, types = 16, 120, 24, 1
    layer = 4 * (d * d + d) + (d * 4 * d + 4 * d) + (4 * d * d + d) + 2 * 2 * d
    parameters = (vocabulary + places + types) * d + 2 * d + layer + (d * d + d + 2 * d + vocabulary)
    weights = load_file(folder / "model.safetensors")
    assert sum(value.numel() for name, value in weights.items() if "decoder" not in name) == parameters
    assert (folder / "model.safetensors").stat().st_size < 2 * parameters + 8_000  # and names
    assert not [file for file in folder.rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]


def test_the_written_weights_are_the_trained_ones(tmp_path: Path) -> None:
    """They guess hidden words better than chance; the loss of the curve is what is said of them."""
    folder = make(tmp_path / "made", Store(tmp_path / "store"), replace(SMALL, steps=200))
    curve = json.loads((folder / "pretraining.json").read_text())["curve"]
    assert [row["step"] for row in curve] == [100, 200] and curve[1]["loss"] < curve[0]["loss"]
    model, tokenizer = load_masked_lm(folder), SentenceEncoder.load(folder).tokenizer
    ids = pad_rows(tokenizer(SENTENCES[:100])["input_ids"], 0)
    with torch.no_grad():
        loss = masked_lm.masked_lm_loss(model, ids, *mask_tokens(ids, 0.15, 4, 120, torch.Generator().manual_seed(3)))
    assert loss.item() == pytest.approx(curve[1]["loss"], rel=0.25) and loss < 0.75 * np.log(120)


def test_pretraining_runs_without_the_dropout_that_the_config_gets(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    folders = [make(tmp_path / str(rate), store, replace(SMALL, steps=4, dropout=rate)) for rate in (0.1, 0.5)]
    assert [json.loads((f / "config.json").read_text())["hidden_dropout_prob"] for f in folders] == [0.1, 0.5]
    assert same_weights(*folders)
    assert not same_weights(folders[0], make(tmp_path / "seed", store, replace(SMALL, steps=4, seed=1)))


def same_weights(*folders: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in folders)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def stop_at(monkeypatch: pytest.MonkeyPatch, call: int) -> list[int]:
    """Ctrl-C in the loss of that call; gives the list that counts the calls."""
    loss, calls = masked_lm.masked_lm_loss, []

    def counted(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(masked_lm, "masked_lm_loss", counted)
    return calls


def test_a_resumed_curve_is_that_of_a_whole_run_and_nothing_is_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, settings, told = Store(tmp_path / "store"), replace(SMALL, steps=220), []
    whole = make(tmp_path / "whole", store, settings)
    monkeypatch.setattr(masked_lm, "CHECKPOINT_STEPS", 100)
    for name in ("learn_vocabulary", "ppmi_svd_embeddings"):
        monkeypatch.delattr(pretraining, name)
    calls = stop_at(monkeypatch, 150)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", store, settings)
    torch.manual_seed(99)  # another process would begin with other random states
    pretrain(SENTENCES, "test", tmp_path / "cut", settings, store, compile_model=False, say=told.append)
    assert len(calls) == 150 + 120 and "Going on from step 100 of 220." in told
    cards = [json.loads((folder / "pretraining.json").read_text()) for folder in (whole, tmp_path / "cut")]
    curves = [[(row["step"], row["loss"]) for row in card["curve"]] for card in cards]
    assert curves[0] == curves[1] and [step for step, _ in curves[0]] == [100, 200, 220]
    assert same_weights(whole, tmp_path / "cut")
    assert not list((tmp_path / "store" / "pretraining").glob("*.safetensors"))


def stopped_after_18(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, list[int]]:
    """A store with a run that was stopped in step 18, checkpoints every ten, and the list of steps to come."""
    store = Store(tmp_path / "store")
    monkeypatch.setattr(masked_lm, "CHECKPOINT_STEPS", 10)
    calls = stop_at(monkeypatch, 18)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", store)
    return store, calls


def test_another_setting_does_not_go_on_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls = stopped_after_18(tmp_path, monkeypatch)
    make(tmp_path / "other", store, replace(SMALL, learning_rate=1e-4))
    assert len(calls) == 18 + 30


def test_another_vocabulary_does_not_go_on_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored vocabulary that was lost is learned again, perhaps by another version of the learner: ids change."""
    store, calls = stopped_after_18(tmp_path, monkeypatch)
    next((tmp_path / "store" / "vocabularies").glob("*.json")).unlink()
    turned = [*word_pieces.SPECIAL_TOKENS, *reversed(learn_vocabulary(SENTENCES, 120)[5:])]
    monkeypatch.setattr(pretraining, "learn_vocabulary", lambda *_: turned)
    make(tmp_path / "cut", store)
    assert len(calls) == 18 + 30


@pytest.mark.parametrize("older", [False, True])
def test_a_folder_that_cannot_be_written_whole_is_not_there(
    older: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full after the weights and before the tokenizer; an encoder that was there stays."""
    out, store = tmp_path / "models" / "made", Store(tmp_path / "store")
    if older:
        make(out, store, replace(SMALL, steps=2))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pretraining.BertTokenizer, "save_pretrained", full)
    with pytest.raises(KitError, match=r"made could not be written \(No space left on device\); free space"):
        make(out, store, replace(SMALL, steps=3))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["made"] * older


def test_a_loss_that_is_not_finite_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = masked_lm.masked_lm_loss
    monkeypatch.setattr(masked_lm, "masked_lm_loss", lambda *a: loss(*a) * float("nan"))
    with pytest.raises(KitError, match="The loss is nan at step 30; lower the learning rate"):
        make(tmp_path / "made", Store(tmp_path / "store"))
    assert not (tmp_path / "made").exists() and not list((tmp_path / "store" / "pretraining").glob("*.safetensors"))


# ---------------------------------------------------------------- through the command

TINY = [
    *("--vocabulary-size", "120", "--hidden-size", "16", "--layers", "1", "--heads", "2", "--max-tokens", "24"),
    *("--tokens-per-batch", "240", "--steps", "3", "--no-compile"),
]


def command(folder: Path, file: Path, *arguments: str) -> int:
    return cli.main(
        ["pretrain", str(file), "--out", str(folder / "made"), "--store", str(folder / "store"), *arguments]
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("id,words\n" + "".join(f"{n},{s}\n" for n, s in enumerate(SENTENCES[:120])), encoding="utf-8")
    return path


def test_the_command_takes_the_column_and_the_first_sentences(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, table, "--column", "words", "--sentences", "50", *TINY) == 0
    assert f"distillcse teach --base {tmp_path / 'made'}" in capsys.readouterr().out
    encoder = SentenceEncoder.load(tmp_path / "made")
    assert encoder.encode(["the cook"]).shape == (1, 16)
    card = json.loads((tmp_path / "made" / "pretraining.json").read_text())
    assert card["tokens"] == sum(map(len, encoder.tokenize(SENTENCES[:50])))
    wanted = {"vocabulary_size": 120, "hidden_size": 16, "layers": 1, "heads": 2, "max_tokens": 24, "steps": 3}
    assert card["settings"] == {**vars(PretrainingSettings()), **wanted, "tokens_per_batch": 240}


def test_a_stopped_command_leaves_no_folder_and_goes_on(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(masked_lm, "CHECKPOINT_STEPS", 2)
    calls = stop_at(monkeypatch, 3)
    assert command(tmp_path, table, "--column", "words", *TINY) == 130
    assert "to continue from there" in capsys.readouterr().err and not (tmp_path / "made").exists()
    assert command(tmp_path, table, "--column", "words", *TINY) == 0
    assert len(calls) == 4 and SentenceEncoder.load(tmp_path / "made").width == 16


def mistake(capsys: pytest.CaptureFixture[str], status: int, *parts: str) -> None:
    told = capsys.readouterr()
    assert status == 2 and len(told.err.strip().splitlines()) == 1
    for part in parts:
        assert part in told.err


def test_the_command_deletes_no_folder_of_other_things(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "thesis.tex").write_text("years of work", encoding="utf-8")
    status = command(tmp_path, table, "--column", "words", *TINY)
    assert (tmp_path / "made" / "thesis.tex").exists()
    mistake(capsys, status, "made", "--out")


def test_a_text_with_fewer_word_pieces_than_dimensions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two.txt").write_text("a cat sat\nthe dog ran\n", encoding="utf-8")
    mistake(capsys, command(tmp_path, tmp_path / "two.txt", "--steps", "2", "--no-compile"), "hidden_size", "192")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 0),
        ("hidden_size", -8),
        ("heads", 0),
        ("max_tokens", 2),
        ("vocabulary_sentences", 0),
        ("mask_share", 0.0),
        ("mask_share", 2.0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("seed", -1),
    ],
)
def test_settings_that_cannot_work(name: str, value: float) -> None:
    with pytest.raises(KitError, match=rf"^{name} is {value}; "):
        PretrainingSettings(**{name: value})  # type: ignore[arg-type]
