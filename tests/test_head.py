"""The head kept at evaluation: kit, sentence-transformers and a computation by hand agree, and nothing mixes it up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import power_cut
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.library_encoder import load_encoder
from distillcse_kit.encoder.loading import source_fingerprint
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import score_pairs
from distillcse_kit.store import Store
from distillcse_kit.training.model_names import run_key
from distillcse_kit.training.objective import Trainee
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.run import Run, train
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.training.workplace import Workplace

TEXTS = ["the bird sings", "a man is playing a guitar", "word " * 60]


def recipe_of(tiny: Path, **changes: Any) -> Recipe:
    about = {"steps": 6, "batch_size": 8, "evaluate_every": 2, "learning_rate": 1e-3, "precision": "float32"}
    return Recipe(TrainingSettings(base=str(tiny), **{**about, "keep_head": True, **changes}))


@pytest.fixture(scope="module")
def run(tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(Store(tmp_path_factory.mktemp("store")), recipe_of(tiny), corpus, dev, label=None)


def by_hand(folder: Path, sentences: list[str]) -> np.ndarray:
    """tanh(W h + b) of transformers' [CLS] state, with the weights as they lie in the file."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    found = []
    for sentence in sentences:
        ids = tokenizer(sentence, truncation=True, max_length=model.config.max_position_embeddings, return_tensors="pt")
        with torch.no_grad():
            state = model(**ids).last_hidden_state[0, 0]
        found.append(torch.tanh(weights["linear.weight"] @ state + weights["linear.bias"]).numpy())
    return np.stack(found)


def test_the_saved_model_computes_the_head(run: Run) -> None:
    expected = by_hand(run.folder, TEXTS)
    encoder = run.encoder()
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(load_encoder(run.folder).encode(TEXTS), expected, atol=1e-5)
    encoder.fast = False
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    assert np.abs(expected - SentenceEncoder.load(run.folder, "cls").encode(TEXTS)).max() > 0.1, "a name has no head"


def test_sentence_transformers_computes_it_too(run: Run, tmp_path: Path) -> None:
    models = pytest.importorskip("sentence_transformers")
    theirs = models.SentenceTransformer(str(run.folder), device="cpu")
    assert [type(module).__name__ for module in theirs] == ["Transformer", "Pooling", "Dense"]
    np.testing.assert_allclose(theirs.encode(TEXTS), run.encoder().encode(TEXTS), atol=1e-5)
    normalised = run.encoder()
    normalised.normalised = True
    again = normalised.save(tmp_path / "again")
    theirs = models.SentenceTransformer(str(again), device="cpu")
    np.testing.assert_allclose(theirs.encode(TEXTS), load_encoder(again).encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(theirs.encode(TEXTS), axis=1), 1, atol=1e-5)


def test_dev_scores_of_training_have_the_head(run: Run, dev: SentencePairs) -> None:
    assert run.scores["dev"] == max(row["dev"] for row in run.history)
    assert score_pairs(run.encoder(), dev) == pytest.approx(run.scores["dev"], abs=1e-3)
    assert score_pairs(SentenceEncoder.load(run.folder, "cls"), dev) != pytest.approx(run.scores["dev"], abs=1e-3)


def test_training_itself_is_the_same(tiny: Path, corpus: Corpus) -> None:
    """The head takes part in training either way; only what is scored and saved differs."""
    kept, dropped = (
        Trainee(recipe_of(tiny, keep_head=keep).training, torch.Generator().manual_seed(3)).eval()
        for keep in (True, False)
    )
    batch = kept.encoder.pad(kept.encoder.tokenize(corpus.sentences[:5]))
    torch.testing.assert_close(kept(batch), dropped(batch), rtol=0, atol=0)
    torch.testing.assert_close(kept.encoder(batch), kept(batch), rtol=0, atol=0)
    assert sum(weight.numel() for weight in kept.parameters()) == sum(weight.numel() for weight in dropped.parameters())


def test_a_resumed_run_keeps_the_same_head(
    run: Run, tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store
) -> None:
    with power_cut():
        train(store, recipe_of(tiny), corpus, dev, label=None)
    found = train(store, recipe_of(tiny), corpus, dev, label=None)
    assert found.key == run.key and source_fingerprint(found.folder) == source_fingerprint(run.folder)


def test_keys_and_fingerprints_tell_them_apart(run: Run, tiny: Path, corpus: Corpus, dev: SentencePairs) -> None:
    place = Workplace(Store(run.folder.parent.parent), corpus, dev, recipe_of(tiny).training)
    with_head, without = recipe_of(tiny), recipe_of(tiny, keep_head=False)
    assert with_head.key(place.inputs) == run.key != without.key(place.inputs)
    assert "keep_head" not in without.settings()["training"], "the keys of old runs stay"
    other = run.encoder()
    assert other.head is not None
    before = other.fingerprint()
    with torch.no_grad():
        other.head[0].bias += 0.1  # type: ignore[index, operator, union-attr]
    assert other.fingerprint() != before
    other.head = None
    assert other.fingerprint() == SentenceEncoder.load(run.folder, "cls").fingerprint() != before


def test_another_head_is_another_model(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    assert run_key(copy) == run.key
    file = copy / "2_Dense" / "model.safetensors"
    save_file({name: weight * 2 for name, weight in load_file(file).items()}, file)
    assert run_key(copy) is None and source_fingerprint(copy) != source_fingerprint(run.folder)


def test_as_a_teacher_its_cosines_have_the_head(run: Run, corpus: Corpus, store: Store) -> None:
    stored = embed_corpus(store, str(run.folder), corpus, None, 32)
    encoder = run.encoder()
    fresh = encoder.encode_tokens(encoder.tokenize(corpus.sentences, 32), normalize_embeddings=True)
    np.testing.assert_allclose(stored, fresh, atol=1e-3)


def test_a_student_keeps_its_head(tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store) -> None:
    place = Workplace(store, corpus, dev, recipe_of(tiny).training)
    student = place.run(Recipe(recipe_of(tiny).training, DistillationSettings()), progress=False)
    np.testing.assert_allclose(student.encoder().encode(TEXTS), by_hand(student.folder, TEXTS), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pooling": "avg"}, "no head to keep with pooling avg and head on"),
        ({"pooling": "cls_before_pooler"}, "no head to keep with pooling cls_before_pooler"),
        ({"head": False}, "no head to keep with pooling cls and head off"),
    ],
)
def test_there_must_be_a_head_to_keep(tiny: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(KitError, match=sentence):
        recipe_of(tiny, **change)


def without_weights(folder: Path) -> None:
    (folder / "2_Dense" / "model.safetensors").unlink()


def cut_off(folder: Path) -> None:
    (folder / "2_Dense" / "model.safetensors").write_bytes(b"none")


def another_width(folder: Path) -> None:
    save_file({"linear.weight": torch.eye(3), "linear.bias": torch.zeros(3)}, folder / "2_Dense" / "model.safetensors")


def not_named(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))


def no_list(folder: Path) -> None:
    (folder / "modules.json").unlink()


@pytest.mark.parametrize("damage", [without_weights, cut_off, another_width, not_named, no_list])
def test_a_head_that_is_lost_is_not_left_out_in_silence(run: Run, tmp_path: Path, damage: Any) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    damage(copy)
    for load in (SentenceEncoder.load, load_encoder):
        with pytest.raises(KitError, match=r"head.*get the model's files again"):
            load(copy)  # type: ignore[operator]
