"""Making an encoder from text: where it starts, a run that is stopped and continues, the folder, and the command."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from safetensors.torch import load_file
from transformers import BertForMaskedLM

from distillcse_kit.command import main as cli
from distillcse_kit.data.tokens import pad_rows
from distillcse_kit.encoder.loading import load_masked_lm
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store
from distillcse_kit.training import masked_lm, pretraining, pretraining_loop, word_pieces
from distillcse_kit.training.pretraining import pretrain
from distillcse_kit.training.pretraining_objective import PretrainingObjective
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.word_pieces import learn_vocabulary, new_tokenizer

SMALL = PretrainingSettings(
    vocabulary_size=120, hidden_size=16, layers=1, heads=2, max_tokens=24, steps=30, tokens_per_batch=240
)


def make(out: Path, store: Store, settings: PretrainingSettings = SMALL) -> Path:
    return pretrain(SENTENCES, "test", out, settings, store, compile_model=False, say=lambda _: None)


def same_weights(*folders: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in folders)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def stop_at(monkeypatch: pytest.MonkeyPatch, call: int) -> list[int]:
    """Ctrl-C in the loss of that call; gives the list that counts the calls."""
    losses, calls = PretrainingObjective.forward, []

    def counted(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return losses(*arguments)

    monkeypatch.setattr(PretrainingObjective, "forward", counted)
    return calls


def stopped_after_18(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> list[int]:
    """Stop a pretraining in step 18, with a checkpoint every ten; gives the list that counts the steps."""
    monkeypatch.setattr(pretraining_loop, "CHECKPOINT_STEPS", 10)
    calls = stop_at(monkeypatch, 18)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", store)
    return calls


@contextmanager
def unchanged_random_states() -> Iterator[None]:
    """Inside, torch's and numpy's global random states may change; at the end they must be as before."""
    before, numpy_before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]
    yield
    after = np.random.get_state(legacy=False)["state"]
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(after["key"], numpy_before["key"]) and after["pos"] == numpy_before["pos"]


# ---------------------------------------------------------------- the model at the start


def test_a_model_starts_from_the_vectors_and_the_special_tokens_from_noise() -> None:
    tokenizer = new_tokenizer(learn_vocabulary(SENTENCES, 120), 24)
    vectors = np.arange(120 * 16, dtype=np.float32).reshape(120, 16)
    model = masked_lm.new_micro_encoder(SMALL, tokenizer, vectors)
    weights = model.get_input_embeddings().weight.detach().numpy()
    assert np.array_equal(weights[5:], vectors[5:])
    assert not weights[0].any() and 0.005 < weights[1:5].std() < 0.05
    assert (model.config.hidden_dropout_prob, model.config.attention_probs_dropout_prob) == (0.1, 0.1)


def test_random_weights_depend_on_the_seed_alone_and_leave_the_random_states_alone() -> None:
    tokenizer = new_tokenizer(learn_vocabulary(SENTENCES, 120), 24)
    vectors = np.zeros((120, 16), dtype=np.float32)
    found = []
    for before in (3, 4):
        torch.manual_seed(before)
        with unchanged_random_states():
            found.append(masked_lm.new_micro_encoder(replace(SMALL, seed=7), tokenizer, vectors))
    torch.manual_seed(7)
    expected = BertForMaskedLM(found[0].config).state_dict()
    for name, value in expected.items():
        assert torch.equal(found[0].state_dict()[name], found[1].state_dict()[name])
        if "word_embeddings" not in name and "decoder.weight" not in name:
            assert torch.equal(found[0].state_dict()[name], value)


# ---------------------------------------------------------------- a run, stopped and continued


def test_a_pretraining_lowers_the_loss_and_leaves_a_model_folder(tmp_path: Path) -> None:
    folder = make(tmp_path / "made", Store(tmp_path / "store"), replace(SMALL, steps=200))
    card = json.loads((folder / "pretraining.json").read_text())
    assert card["curve"][-1]["loss"] < 0.75 * np.log(120) and card["settings"]["steps"] == 200
    encoder = SentenceEncoder.load(folder)
    assert encoder.encode(SENTENCES[:3]).shape == (3, 16) and encoder.max_tokens == 24
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float16}
    assert not list((tmp_path / "store" / "pretraining").glob("*.safetensors"))


def test_the_written_weights_are_the_trained_ones(tmp_path: Path) -> None:
    """They guess hidden words better than chance, and as well as the loss curve says."""
    folder = make(tmp_path / "made", Store(tmp_path / "store"), replace(SMALL, steps=200))
    curve = json.loads((folder / "pretraining.json").read_text())["curve"]
    assert [row["step"] for row in curve] == [100, 200] and curve[1]["loss"] < curve[0]["loss"]
    model, tokenizer = load_masked_lm(folder), SentenceEncoder.load(folder).tokenizer
    ids = pad_rows(tokenizer(SENTENCES[:100])["input_ids"], 0)
    objective = PretrainingObjective(model, SMALL, torch.ones(120))
    with torch.no_grad():
        loss = objective(*objective.draw(ids, torch.Generator().manual_seed(3)))[0]
    assert loss.item() == pytest.approx(curve[1]["loss"], rel=0.25) and loss < 0.75 * np.log(120)


def test_pretraining_runs_without_the_dropout_that_the_config_gets(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    folders = [make(tmp_path / str(rate), store, replace(SMALL, steps=4, dropout=rate)) for rate in (0.1, 0.5)]
    assert [json.loads((f / "config.json").read_text())["hidden_dropout_prob"] for f in folders] == [0.1, 0.5]
    assert same_weights(*folders)
    assert not same_weights(folders[0], make(tmp_path / "seed", store, replace(SMALL, steps=4, seed=1)))


def test_a_stopped_pretraining_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both in one store, because the learner breaks ties at random and may learn another vocabulary the next time."""
    store = Store(tmp_path / "store")
    whole = make(tmp_path / "whole", store)
    calls = stopped_after_18(tmp_path, monkeypatch, store)
    assert not (tmp_path / "cut").exists()
    cut = make(tmp_path / "cut", store)
    assert len(calls) == 18 + 20  # 20 of 30 steps were left
    assert same_weights(whole, cut)


def test_a_resumed_curve_is_that_of_a_whole_run_and_nothing_is_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, settings, told = Store(tmp_path / "store"), replace(SMALL, steps=220), []
    with unchanged_random_states():
        whole = make(tmp_path / "whole", store, settings)
    monkeypatch.setattr(pretraining_loop, "CHECKPOINT_STEPS", 100)
    for name in ("learn_vocabulary", "ppmi_svd_embeddings"):
        monkeypatch.delattr(pretraining, name)
    calls = stop_at(monkeypatch, 150)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", store, settings)
    torch.manual_seed(99)  # another process would start with other random states
    with unchanged_random_states():
        pretrain(SENTENCES, "test", tmp_path / "cut", settings, store, compile_model=False, say=told.append)
    assert len(calls) == 150 + 120 and "Continuing from step 100 of 220." in told
    cards = [json.loads((folder / "pretraining.json").read_text()) for folder in (whole, tmp_path / "cut")]
    curves = [[(row["step"], row["loss"]) for row in card["curve"]] for card in cards]
    assert curves[0] == curves[1] and [step for step, _ in curves[0]] == [100, 200, 220]
    assert same_weights(whole, tmp_path / "cut")
    assert not list((tmp_path / "store" / "pretraining").glob("*.safetensors"))


def test_another_setting_does_not_go_on_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    calls = stopped_after_18(tmp_path, monkeypatch, store)
    make(tmp_path / "other", store, replace(SMALL, learning_rate=1e-4))
    assert len(calls) == 18 + 30


def test_another_vocabulary_does_not_go_on_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a stored vocabulary is lost, another version of the learner may learn other ids."""
    store = Store(tmp_path / "store")
    calls = stopped_after_18(tmp_path, monkeypatch, store)
    next((tmp_path / "store" / "vocabularies").glob("*.json")).unlink()
    turned = [*word_pieces.SPECIAL_TOKENS, *reversed(learn_vocabulary(SENTENCES, 120)[5:])]
    monkeypatch.setattr(pretraining, "learn_vocabulary", lambda *_: turned)
    make(tmp_path / "cut", store)
    assert len(calls) == 18 + 30


def test_a_loss_that_is_not_finite_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = PretrainingObjective.forward
    monkeypatch.setattr(PretrainingObjective, "forward", lambda *a: losses(*a) * float("nan"))
    with pytest.raises(KitError, match="The loss is nan at step 30; lower the learning rate"):
        make(tmp_path / "made", Store(tmp_path / "store"))
    assert not (tmp_path / "made").exists() and not list((tmp_path / "store" / "pretraining").glob("*.safetensors"))


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


def mistake(capsys: pytest.CaptureFixture[str], status: int, *parts: str) -> None:
    told = capsys.readouterr()
    assert status == 2 and len(told.err.strip().splitlines()) == 1
    for part in parts:
        assert part in told.err


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
    monkeypatch.setattr(pretraining_loop, "CHECKPOINT_STEPS", 2)
    calls = stop_at(monkeypatch, 3)
    assert command(tmp_path, table, "--column", "words", *TINY) == 130
    assert "to continue from there" in capsys.readouterr().err and not (tmp_path / "made").exists()
    assert command(tmp_path, table, "--column", "words", *TINY) == 0
    assert len(calls) == 4 and SentenceEncoder.load(tmp_path / "made").width == 16


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
