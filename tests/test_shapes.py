"""Every architecture: sentence-transformers' embeddings to 1e-5, or one sentence that refuses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import SENTENCES
from shapes import POSITIONS, SHAPES, TEXTS, differences, make_shape, saved_with_pooling, theirs

from distillcse_kit.command.main import main
from distillcse_kit.config import TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.architectures import ARCHITECTURES, FLOAT32_ONLY
from distillcse_kit.encoder.library_encoder import LibraryEncoder, load_encoder
from distillcse_kit.encoder.loading import load_masked_lm
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.run import train
from distillcse_kit.training.training_text import Corpus

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

DOCUMENT = Path(__file__).parent.parent / "docs" / "encoders.md"


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("shapes")
    return {kind: make_shape(kind, root / kind) for kind in SHAPES}


def test_every_architecture_of_the_kit_is_tried() -> None:
    assert set(ARCHITECTURES) == set(SHAPES) - {"t5", "qwen2"}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_embeddings_equal_sentence_transformers(folder_of: dict[str, Path], kind: str) -> None:
    """Short and long sentences, padded and cut, pooled by [CLS] and by the mean."""
    assert max(differences(folder_of[kind]).values()) < 1e-5


@pytest.mark.parametrize("kind", ["t5", "qwen2"])
@pytest.mark.parametrize("mode", ["mean", "lasttoken"])
def test_others_are_embedded_by_sentence_transformers(
    folder_of: dict[str, Path], tmp_path: Path, kind: str, mode: str
) -> None:
    folder = saved_with_pooling(folder_of[kind], tmp_path / "with", mode)
    encoder = load_encoder(folder)
    assert isinstance(encoder, LibraryEncoder)
    np.testing.assert_allclose(encoder.encode(TEXTS), theirs(folder), atol=1e-5)


@pytest.mark.parametrize("kind", ["t5", "qwen2"])
def test_others_without_a_pooling_are_refused_in_one_sentence(
    folder_of: dict[str, Path], kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = str(folder_of[kind])
    words = f"does not pool .* since its architecture is {kind}; give a folder that sentence-transformers has saved"
    for work in (load_encoder, load_masked_lm, lambda at: SentenceEncoder.load(at, "avg")):
        with pytest.raises(KitError, match=words):
            work(source)
    for command in (["evaluate", source], ["teach", "--base", source, "--profile", "smoke", "--store", str(tmp_path)]):
        assert main(command) == 2
        printed = capsys.readouterr().err
        assert re.search(words, printed) and printed.count("\n") == 1


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_bfloat16_gives_finite_numbers_near_those_of_float32(folder_of: dict[str, Path], kind: str) -> None:
    encoder = SentenceEncoder.load(folder_of[kind], "avg")
    full, half = (encoder.encode(TEXTS, normalize_embeddings=True, precision=kind) for kind in ("float32", "bfloat16"))
    assert (full * half).sum(1).min() > 0.99
    assert np.array_equal(full, half) == (kind in FLOAT32_ONLY)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_tokenizer_without_a_limit_stops_at_the_last_position(folder_of: dict[str, Path], kind: str) -> None:
    encoder = SentenceEncoder.load(folder_of[kind])
    assert encoder.tokenizer.model_max_length > 10**6
    like_roberta = kind in ("roberta", "xlm-roberta", "camembert", "mpnet", "data2vec-text")
    assert encoder.max_tokens == (POSITIONS - 2 if like_roberta else POSITIONS)
    assert np.isfinite(encoder.encode(["an apple " * POSITIONS])).all()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_training_with_the_masked_lm_loss(
    folder_of: dict[str, Path], kind: str, store: Store, dev: SentencePairs
) -> None:
    """Two steps, or one sentence where the architecture has no such head; the saved student embeds as it did."""
    settings = TrainingSettings(
        base=str(folder_of[kind]), steps=2, batch_size=8, evaluate_every=1, mlm_weight=0.1, precision="float32"
    )
    recipe, corpus = Recipe(settings), Corpus(SENTENCES[:40], "forty")
    try:
        run = train(store, recipe, corpus, dev, label=None)
    except KitError as error:
        assert re.search(f"{kind} has no masked-LM head; train .* with mlm_weight 0", str(error))
        run = train(store, recipe.changed(mlm_weight=0.0), corpus, dev, label=None)
    assert all(np.isfinite(row["loss"]) for row in run.history)
    np.testing.assert_allclose(run.encoder().encode(TEXTS), theirs(run.folder), atol=1e-5)


def test_the_table_in_the_documentation() -> None:
    """A row for each architecture, with the measured difference."""
    rows = re.findall(r"^\| ([\w-]+) +\| ([\d.e-]+) +\| ([\d.e-]+) +\|", DOCUMENT.read_text(encoding="utf-8"), re.M)
    assert {kind for kind, *_ in rows} == set(ARCHITECTURES)
    assert all(0 <= float(difference) < 1e-5 for _, *found in rows for difference in found)


def test_a_decoder_cannot_hide_behind_a_known_name(folder_of: dict[str, Path], tmp_path: Path) -> None:
    """In a BERT that reads from left to right, [CLS] is the same for all sentences."""
    folder = make_shape("bert", tmp_path / "decoder")
    config = json.loads((folder / "config.json").read_text()) | {"is_decoder": True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(KitError, match="its architecture is the decoder bert"):
        SentenceEncoder.load(folder)
