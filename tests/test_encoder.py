"""The encoder against transformers and sentence-transformers themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SENTENCES, as_if_cores
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from distillcse_kit.config import POOLINGS
from distillcse_kit.encoder.head import TrainingHead
from distillcse_kit.encoder.loading import load_masked_lm
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError

MIXED = ["the cook", *SENTENCES[:9], "an apple " * 20, "a"]


def embedded_by_hand(folder: Path, sentence: str, pooling: str) -> np.ndarray:
    """One sentence at a time, no padding, straight from transformers."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        output = model(**tokenizer(sentence, return_tensors="pt"), output_hidden_states=True)
    states = [state[0] for state in output.hidden_states]
    if pooling.startswith("cls"):
        return states[-1][0].numpy()
    wanted = {"avg": [-1], "avg_top2": [-1, -2], "avg_first_last": [1, -1]}[pooling]
    return torch.stack([states[index].mean(0) for index in wanted]).mean(0).numpy()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_encode_equals_transformers_one_by_one(tiny: Path, pooling: str) -> None:
    encoder = SentenceEncoder.load(tiny, pooling)
    embeddings = encoder.encode(MIXED, batch_size=4)
    expected = np.stack([embedded_by_hand(tiny, sentence, pooling) for sentence in MIXED])
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    assert embeddings.dtype == np.float32


@pytest.mark.parametrize("pooling", ["cls", "avg"])
def test_saved_folder_gives_the_same_in_sentence_transformers(tiny: Path, tmp_path: Path, pooling: str) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    encoder = SentenceEncoder.load(tiny, pooling)
    theirs = library.SentenceTransformer(str(encoder.save(tmp_path / "saved")), device="cpu")
    np.testing.assert_allclose(theirs.encode(MIXED), encoder.encode(MIXED), atol=1e-5)
    again = SentenceEncoder.load(tmp_path / "saved")
    assert again.pooling == pooling and again.fingerprint() == encoder.fingerprint()


def test_a_folder_of_sentence_transformers_keeps_its_pooling(tiny: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    SentenceEncoder.load(tiny, "avg").save(tmp_path / "ours")
    library.SentenceTransformer(str(tmp_path / "ours"), device="cpu").save(str(tmp_path / "theirs"))
    assert SentenceEncoder.load(tmp_path / "theirs").pooling == "avg"


def test_poolers_over_several_layers_have_no_modules_file(tiny: Path, tmp_path: Path) -> None:
    SentenceEncoder.load(tiny, "avg_top2").save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "modules.json").exists()
    assert SentenceEncoder.load(tmp_path / "saved").pooling == "avg_top2"


def test_encode_leaves_training_mode_and_gradients_alone(tiny: Path) -> None:
    encoder = SentenceEncoder.load(tiny).train()
    first, second = encoder.encode(SENTENCES[:3]), encoder.encode(SENTENCES[:3])
    assert encoder.training and np.array_equal(first, second)  # dropout was off inside, and is on again
    batch = encoder.pad(encoder.tokenize(SENTENCES[:3]))
    assert not torch.equal(encoder(batch), encoder(batch)) and encoder(batch).requires_grad


def test_normalised_embeddings_and_bfloat16(tiny: Path) -> None:
    encoder = SentenceEncoder.load(tiny)
    full = encoder.encode(MIXED, normalize_embeddings=True)
    np.testing.assert_allclose(np.linalg.norm(full, axis=1), 1, atol=1e-6)
    half = encoder.encode(MIXED, normalize_embeddings=True, precision="bfloat16")
    assert (full * half).sum(1).min() > 0.999 and not np.array_equal(full, half)


def test_longer_text_than_positions_is_cut_not_refused(tiny: Path) -> None:
    encoder = SentenceEncoder.load(tiny)
    assert encoder.max_tokens == 64
    assert encoder.encode(["an apple " * 500]).shape == (1, 32)
    assert encoder.encode([]).shape == (0, 32)


def test_fingerprint_sees_weights_and_pooling(tiny: Path) -> None:
    encoder = SentenceEncoder.load(tiny)
    before = encoder.fingerprint()
    assert SentenceEncoder.load(tiny).fingerprint() == before != SentenceEncoder.load(tiny, "avg").fingerprint()
    with torch.no_grad():
        encoder.model.embeddings.word_embeddings.weight[7, 3] += 1e-3
    assert encoder.fingerprint() != before


def test_head_starts_as_bert_does() -> None:
    head = TrainingHead(64)
    assert abs(head[0].weight.std().item() - 0.02) < 0.002 and head[0].bias.abs().max() == 0
    assert head(torch.full((2, 64), 100.0)).abs().max() <= 1


@pytest.mark.parametrize("width", [1, 3, 16, 48])
def test_a_generator_draws_the_head_that_torchs_own_start_gives_with_the_same_seed(width: int) -> None:
    """By hand: nn.Linear draws its default start, then the weights are drawn again with BERT's deviation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        linear = torch.nn.Linear(width, width)
        torch.nn.init.normal_(linear.weight, std=0.02)
        after = torch.get_rng_state()
        generator = torch.Generator().manual_seed(7)
        drawn = TrainingHead(width, generator)
        assert torch.equal(torch.get_rng_state(), after)  # torch's own generator was left alone
        assert torch.equal(generator.get_state(), after)
        torch.manual_seed(7)
        of_global = TrainingHead(width)
        assert torch.equal(torch.get_rng_state(), after)
    for head in (drawn, of_global):
        assert torch.equal(head[0].weight, linear.weight) and not head[0].bias.any()
        assert head[0].weight.requires_grad and head[0].bias.requires_grad


def test_loading_and_encoding_leave_the_process_as_it_was(tiny: Path, tmp_path: Path) -> None:
    """Random state, number of threads, progress bars; also where the folder lacks weights and is refused."""
    folder = tmp_path / "incomplete"
    shutil.copytree(tiny, folder)
    weights = load_file(folder / "model.safetensors")
    missing = [name for name in weights if "layer.1.attention.self.query.weight" in name]
    assert len(missing) == 1
    save_file({k: v for k, v in weights.items() if k not in missing}, folder / "model.safetensors", {"format": "pt"})
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    try:
        with as_if_cores(2):
            state = torch.get_rng_state()
            encoder = SentenceEncoder.load(tiny)
            encoder.encode(MIXED, batch_size=4)
            encoder.train().encode(MIXED, batch_size=4)
            with pytest.raises(KitError, match=r"lacks weights \(encoder.layer.1.attention.self.query.weight\)"):
                SentenceEncoder.load(folder)
            assert torch.equal(torch.get_rng_state(), state)
            assert torch.get_num_threads() == 2
        assert logging.get_verbosity() == verbosity and logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        SentenceEncoder.load(tiny)
        assert not logging.is_progress_bar_enabled()
    finally:
        (logging.enable_progress_bar if bars else logging.disable_progress_bar)()


def test_masked_lm_and_encoder_share_the_body(tiny: Path) -> None:
    encoder, masked = SentenceEncoder.load(tiny), load_masked_lm(tiny)
    torch.testing.assert_close(masked.base_model.state_dict(), encoder.model.state_dict())


def broken(tiny: Path, tmp_path: Path, what: str) -> Path:
    folder = tmp_path / "broken"
    shutil.copytree(tiny, folder)
    if what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "pickle only":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif what == "damaged":
        (folder / "model.safetensors").write_bytes(b"\x00" * 50)
    elif what == "no config":
        (folder / "config.json").unlink()
    elif what == "no tokenizer":
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (folder / file).unlink()
    elif what == "words without vectors":
        tokenizer = AutoTokenizer.from_pretrained(tiny)
        tokenizer.add_tokens(["zebra"])
        tokenizer.save_pretrained(folder)
    elif what == "config not JSON":
        (folder / "config.json").write_text("{")
    return folder


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no weights", "has no weights; it needs model.safetensors"),
        ("pickle only", r"weights as pickle only \(pytorch_model.bin\).*safe_serialization=True"),
        ("damaged", "could not be loaded"),
        ("no config", "has no config.json"),
        ("config not JSON", "could not be loaded"),
        ("no tokenizer", "has no tokenizer; save its tokenizer into the same folder"),
        ("words without vectors", "tokenizer of .* has 157 tokens and the model only 156"),
    ],
)
def test_bad_folders_are_one_sentence(tiny: Path, tmp_path: Path, what: str, words: str) -> None:
    with pytest.raises(KitError, match=words) as caught:
        SentenceEncoder.load(broken(tiny, tmp_path, what))
    assert "\n" not in str(caught.value)


def test_missing_folder_unreachable_hub_and_wrong_names(tiny: Path) -> None:
    with pytest.raises(KitError, match="There is no model folder"):
        SentenceEncoder.load("./nowhere")
    with pytest.raises(KitError, match=r"hub model nobody/no-such-model could not be found .*; check its name"):
        SentenceEncoder.load("nobody/no-such-model")
    with pytest.raises(KitError, match="Unknown pooling 'max'; choose one of cls,"):
        SentenceEncoder.load(tiny, "max")  # type: ignore[arg-type]
    with pytest.raises(KitError, match="takes a list of sentences"):
        SentenceEncoder.load(tiny).encode("one sentence")


def test_stored_pooling_of_an_old_folder(tiny: Path, tmp_path: Path) -> None:
    folder = SentenceEncoder.load(tiny, "cls").save(tmp_path / "old")
    (folder / "distillcse.json").unlink()
    config = json.loads((folder / "1_Pooling" / "config.json").read_text())
    assert SentenceEncoder.load(folder).pooling == "cls"
    config |= {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    assert SentenceEncoder.load(folder).pooling == "avg"
