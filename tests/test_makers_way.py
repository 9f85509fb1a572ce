"""Models that sentence-transformers saved, each with other modules: the kit embeds as that library does, or refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENTENCES, make_model_folder
from safetensors.torch import load_file

from distillcse_kit.command.main import main
from distillcse_kit.config import TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.library_encoder import LibraryEncoder, load_encoder
from distillcse_kit.encoder.loading import MICRO, model_files
from distillcse_kit.encoder.makers_way import makers_way
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError, KitWarning
from distillcse_kit.evaluation.scoring import score_pairs
from distillcse_kit.store import Store
from distillcse_kit.training.objective import Trainee
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.run import train
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus

library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

from sentence_transformers.base.modules import Dense, Normalize, Transformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding  # noqa: E402

TEXTS = ["the cook", *SENTENCES[:9], "an apple " * 20, "a"]
WIDTH = 32

MADE: dict[str, Callable[[Transformer], list[Any]]] = {
    "cls": lambda body: [body, Pooling(WIDTH, "cls")],
    "mean": lambda body: [body, Pooling(WIDTH, "mean")],
    "mean, length 1": lambda body: [body, Pooling(WIDTH, "mean"), Normalize()],
    "max": lambda body: [body, Pooling(WIDTH, "max")],
    "last token": lambda body: [body, Pooling(WIDTH, "lasttoken")],
    "weighted mean": lambda body: [body, Pooling(WIDTH, "weightedmean")],
    "mean_sqrt": lambda body: [body, Pooling(WIDTH, "mean_sqrt_len_tokens")],
    "side by side": lambda body: [body, Pooling(WIDTH, ("cls", "mean"))],
    "dense": lambda body: [body, Pooling(WIDTH, "mean"), Dense(WIDTH, 8)],
    "dense, length 1": lambda body: [body, Pooling(WIDTH, "mean"), Dense(WIDTH, 8), Normalize()],
}
OURS = ("cls", "mean", "mean, length 1")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_folder(tmp_path_factory.mktemp("makers") / "plain")


def saved(folder: Path, modules: list[Any], **options: Any) -> Path:
    library.SentenceTransformer(modules=modules, device="cpu", **options).save(str(folder))
    return folder


def theirs(folder: Path, texts: list[str] = TEXTS) -> np.ndarray:
    return library.SentenceTransformer(str(folder), device="cpu").encode(texts)


@pytest.mark.parametrize("what", MADE)
def test_embeddings_equal_sentence_transformers(plain: Path, tmp_path: Path, what: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)  # Dense draws its weights
        folder = saved(tmp_path / "made", MADE[what](Transformer(str(plain))))
    encoder = load_encoder(folder)
    assert isinstance(encoder, SentenceEncoder if what in OURS else LibraryEncoder)
    found = encoder.encode(TEXTS, batch_size=5)
    np.testing.assert_allclose(found, theirs(folder), atol=1e-5)
    assert found.dtype == np.float32 and found.shape == (len(TEXTS), encoder.width)
    unit = encoder.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("what", ["max", "dense"])
def test_the_kits_own_encoder_refuses_what_it_would_leave_out(plain: Path, tmp_path: Path, what: str) -> None:
    folder = saved(tmp_path / "made", MADE[what](Transformer(str(plain))))
    with pytest.raises(KitError, match=r"has (max pooling|a module of the kind Dense), which .*load_encoder"):
        SentenceEncoder.load(folder)
    assert SentenceEncoder.load(folder, "avg").pooling == "avg"  # the transformer alone, since it was asked for


def test_a_prompt_that_stands_before_each_sentence(plain: Path, tmp_path: Path) -> None:
    options = {"prompts": {"query": "the cook finds ", "none": ""}}
    modules = [Transformer(str(plain)), Pooling(WIDTH, "mean")]
    with_prompt = saved(tmp_path / "with", modules, default_prompt_name="query", **options)
    assert makers_way(with_prompt).beyond == "a prompt before each sentence"
    np.testing.assert_allclose(load_encoder(with_prompt).encode(TEXTS), theirs(with_prompt), atol=1e-5)
    for name, default in (("without", None), ("empty", "none")):
        folder = saved(tmp_path / name, modules, default_prompt_name=default, **options)
        assert not makers_way(folder).beyond
        np.testing.assert_allclose(load_encoder(folder).encode(TEXTS), theirs(folder), atol=1e-5)


def test_the_makers_limit_cuts_sentences(plain: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "short", [Transformer(str(plain), max_seq_length=7), Pooling(WIDTH, "mean")])
    assert SentenceEncoder.load(folder).max_tokens == 7
    settings = folder / "sentence_bert_config.json"  # where older versions keep it
    settings.write_text(json.dumps({"max_seq_length": 5, "do_lower_case": False}))
    assert SentenceEncoder.load(folder).max_tokens == 5
    np.testing.assert_allclose(SentenceEncoder.load(folder).encode(TEXTS), theirs(folder), atol=1e-5)


def test_settings_of_old_versions(plain: Path, tmp_path: Path) -> None:
    """Flags instead of a name; none of them set is the mean, two are side by side."""
    folder = saved(tmp_path / "made", [Transformer(str(plain)), Pooling(WIDTH, "mean")])
    config = folder / "1_Pooling" / "config.json"
    for flags, expected in (
        ({"pooling_mode_cls_token": True}, ("cls", "")),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, ("avg", "")),
        ({"pooling_mode_max_tokens": False}, ("avg", "")),
        ({"pooling_mode_max_tokens": True}, ("cls", "max pooling")),
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            ("cls", "poolings side by side (cls, mean)"),
        ),
    ):
        config.write_text(json.dumps({"word_embedding_dimension": WIDTH} | flags))
        way = makers_way(folder)
        assert (way.pooling, way.beyond) == expected
        np.testing.assert_allclose(load_encoder(folder).encode(TEXTS), theirs(folder), atol=1e-5)


@pytest.mark.parametrize(
    ("file", "change", "beyond"),
    [
        ("sentence_bert_config.json", {"do_lower_case": True}, "the setting do_lower_case of its transformer"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task"),
        ("tokenizer_config.json", {"padding_side": "left"}, "padding on the left"),
        ("config.json", {"model_type": "fnet"}, "the architecture fnet"),
        ("config.json", {"is_decoder": True}, "the architecture bert, as a decoder"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "the type SparseEncoder"),
    ],
)
def test_unusual_settings_are_left_to_the_library(
    plain: Path, tmp_path: Path, file: str, change: dict[str, Any], beyond: str
) -> None:
    folder = saved(tmp_path / "made", [Transformer(str(plain)), Pooling(WIDTH, "mean")])
    assert not makers_way(folder).beyond
    about = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(about | change))
    assert beyond in makers_way(folder).beyond


def test_lower_casing_by_the_library_is_the_librarys(plain: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "made", [Transformer(str(plain)), Pooling(WIDTH, "mean")])
    (folder / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": True}))
    np.testing.assert_allclose(load_encoder(folder).encode(["The COOK"]), theirs(folder, ["the cook"]), atol=1e-5)


def test_a_model_without_a_transformer(plain: Path, tmp_path: Path) -> None:
    tokenizer = Transformer(str(plain)).tokenizer.backend_tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        folder = saved(tmp_path / "static", [StaticEmbedding(tokenizer, embedding_dim=12)])
    encoder = load_encoder(folder)
    np.testing.assert_allclose(encoder.encode(TEXTS), theirs(folder), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS, max_tokens=3), theirs(folder), atol=1e-5)
    assert encoder.width == 12
    with pytest.raises(KitError, match=r"has no config\.json"):
        SentenceEncoder.load(folder, "cls")


# ---------------------------------------------------------------- what is refused


def test_code_of_the_model_is_never_run(plain: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "made", [Transformer(str(plain)), Pooling(WIDTH, "mean")])
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "own_code.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "own_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(KitError, match=r"needs code of its own \(own_code.Pooling\), which the kit never runs"):
        load_encoder(folder)
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_of_a_module(plain: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "made", MADE["dense"](Transformer(str(plain))))
    dense = folder / "2_Dense"
    torch.save(load_file(dense / "model.safetensors"), dense / "pytorch_model.bin")
    (dense / "model.safetensors").unlink()
    with pytest.raises(KitError, match=r"pickle only \(pytorch_model.bin\)"):
        load_encoder(folder)


@pytest.mark.parametrize("damage", ["{", "[1, 2", '{"not": "a list"}'])
def test_damaged_files(plain: Path, tmp_path: Path, damage: str) -> None:
    folder = saved(tmp_path / "made", MADE["max"](Transformer(str(plain))))
    (folder / "modules.json").write_text(damage)
    with pytest.raises(KitError, match=r"modules.json is damaged \(.*\); get the model's files again") as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)


def test_what_the_library_cannot_load_is_one_sentence(plain: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "made", MADE["dense"](Transformer(str(plain))))
    (folder / "2_Dense" / "config.json").write_text("{}")
    with pytest.raises(KitError, match="sentence-transformers cannot load") as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)


def test_without_the_library_it_names_what_to_install(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "made", MADE["max"](Transformer(str(plain))))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(KitError, match=r"has max pooling, .*pip install 'distillcse-kit\[integrations\]'"):
        load_encoder(folder)


def test_bfloat16_and_a_single_sentence_are_refused(plain: Path, tmp_path: Path) -> None:
    encoder = load_encoder(saved(tmp_path / "made", MADE["max"](Transformer(str(plain)))))
    with pytest.raises(KitError, match="in float32; choose that precision"):
        encoder.encode(TEXTS, precision="bfloat16")
    with pytest.raises(KitError, match="takes a list of sentences"):
        encoder.encode("one sentence")
    assert encoder.encode([]).shape == (0, WIDTH)


# ---------------------------------------------------------------- as a teacher, and in the command


def test_a_teacher_reads_what_its_student_reads(plain: Path, tmp_path: Path, store: Store) -> None:
    """Cut at 6 tokens: as if the library's own limit were 6."""
    folder = saved(tmp_path / "made", MADE["max"](Transformer(str(plain))))
    corpus = Corpus(SENTENCES[:70], "seventy")
    found = embed_corpus(store, str(folder), corpus, None, max_tokens=6, chunk=32)
    model = library.SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = 6
    np.testing.assert_allclose(found, model.encode(SENTENCES[:70], normalize_embeddings=True), atol=1e-3)
    whole = library.SentenceTransformer(str(folder), device="cpu").encode(SENTENCES[:70], normalize_embeddings=True)
    assert np.abs(found - whole).max() > 0.01
    encoder = load_encoder(folder)
    encoder.encode(TEXTS, max_tokens=6)
    assert encoder.max_tokens == model.tokenizer.model_max_length or encoder.max_tokens == 64  # its limit is back


def test_the_command_scores_it(
    plain: Path, tmp_path: Path, dev: SentencePairs, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved(tmp_path / "made", MADE["max"](Transformer(str(plain))))
    assert main(["evaluate", str(folder), "--tasks", "kit", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    from distillcse_kit.data.sts import load_sts

    expected = score_pairs(library.SentenceTransformer(str(folder), device="cpu"), load_sts("kit"))
    assert found["spearman"]["kit"] == pytest.approx(expected, abs=1e-3)
    assert found["pooling"] == "max pooling, by sentence-transformers"
    capsys.readouterr()


def test_all_files_that_decide_the_embedding_are_in_its_identity(plain: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "made", MADE["dense"](Transformer(str(plain))))
    names = {str(file.relative_to(folder)) for file in model_files(folder)}
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    } <= names
    assert "README.md" not in names


def test_an_empty_folder_of_a_module_may_be_missing(plain: Path, tmp_path: Path) -> None:
    """As in a snapshot of the hub; with a Normalize that is the last, and one that only the library computes."""
    for what in ("mean, length 1", "dense, length 1"):
        folder = saved(tmp_path / what, MADE[what](Transformer(str(plain))))
        before = model_files(folder)
        (empty,) = folder.glob("*_Normalize")
        shutil.rmtree(empty)
        assert model_files(folder) == [file for file in before if file.parent != empty]
        np.testing.assert_allclose(load_encoder(folder).encode(TEXTS), theirs(folder), atol=1e-5)


@pytest.mark.parametrize(
    ("what", "pooling", "meant"), [("mean", "cls", "the pooling avg"), ("max", "avg", "max pooling")]
)
def test_training_a_base_by_another_pooling_warns(
    plain: Path, tmp_path: Path, store: Store, dev: SentencePairs, what: str, pooling: Any, meant: str
) -> None:
    folder = saved(tmp_path / "made", MADE[what](Transformer(str(plain))))
    settings = TrainingSettings(base=str(folder), pooling=pooling, steps=1, batch_size=4, evaluate_every=1)
    corpus = Corpus(SENTENCES[:9], "nine")
    with pytest.warns(KitWarning, match=f"was saved with {meant}, and is trained with the pooling {pooling}"):
        train(store, Recipe(settings), corpus, dev, label=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", KitWarning)
        for quiet in (saved(tmp_path / "same", MADE["cls"](Transformer(str(plain)))), plain, MICRO):
            Trainee(replace(settings, base=str(quiet), pooling="cls"))


# ---------------------------------------------------------------- what the kit saves


@pytest.mark.parametrize("what", OURS)
def test_loading_and_saving_keeps_the_makers_way(plain: Path, tmp_path: Path, what: str) -> None:
    made = saved(tmp_path / "made", MADE[what](Transformer(str(plain), max_seq_length=16)))
    ours = SentenceEncoder.load(made).save(tmp_path / "ours")
    expected = theirs(made)
    np.testing.assert_allclose(SentenceEncoder.load(ours).encode(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(theirs(ours), expected, atol=1e-5)


def test_a_dense_layer_added_to_a_folder_of_the_kit_is_seen(plain: Path, tmp_path: Path) -> None:
    ours = SentenceEncoder.load(plain).save(tmp_path / "ours")
    model = library.SentenceTransformer(str(ours), device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model.append(Dense(WIDTH, 8))
    model.save(str(tmp_path / "more"))
    shutil.copy(ours / "distillcse.json", tmp_path / "more")  # as if it had been saved into the same folder
    np.testing.assert_allclose(load_encoder(tmp_path / "more").encode(TEXTS), theirs(tmp_path / "more"), atol=1e-5)


def test_the_micro_encoder_misses_no_pooler() -> None:
    """Its masked-LM head is more than sentence-transformers asks for, and that is all it reports."""
    code = "import sys, sentence_transformers as s; s.SentenceTransformer(sys.argv[1], device='cpu')"
    done = subprocess.run([sys.executable, "-c", code, str(MICRO)], capture_output=True, text=True, check=True)
    assert "MISSING" not in done.stdout + done.stderr and "cls.predictions" in done.stdout + done.stderr


def test_other_libraries_report_nothing_missing(plain: Path, tmp_path: Path) -> None:
    """In a process of their own: transformers and sentence-transformers print a report of weights that do not fit."""
    ours = SentenceEncoder.load(plain).save(tmp_path / "ours")
    code = (
        "import sys, transformers, sentence_transformers\n"
        "model = transformers.AutoModel.from_pretrained(sys.argv[1])\n"
        "sentence_transformers.SentenceTransformer(sys.argv[1], device='cpu')\n"
        "state = model.pooler.dense.weight\n"
        "assert state.equal(state.new_zeros(state.shape).fill_diagonal_(1))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ours)], capture_output=True, text=True, check=True)
    assert not any(word in done.stdout + done.stderr for word in ("MISSING", "UNEXPECTED", "LOAD REPORT"))
