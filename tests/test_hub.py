"""Hub names, against a cache laid out as the hub's own library lays it out; the hub itself is never asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from conftest import SENTENCES, make_model_folder

from distillcse_kit.command.main import main
from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.hub import hub_folder, hub_revision
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store
from distillcse_kit.training.recipe import Recipe, These
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.training.workplace import Workplace

NAME = "stand-in/averaging-encoder"
FIRST, SECOND = "a" * 40, "b" * 40


def forget() -> None:
    """As a new process begins."""
    hub_revision.cache_clear()
    hub_folder.cache_clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache in place of the user's, and no network."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    forget()
    yield folder
    forget()


def publish(cache: Path, model: Path, commit: str, branch: str = "main", name: str = NAME) -> None:
    """Put a model folder into the cache as one commit, and let a branch point to it."""
    repository = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(model, repository / "snapshots" / commit)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / branch).write_text(commit)


@pytest.fixture(scope="module")
def averaging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that its maker means to be pooled by the mean, scaled to length 1 and cut at 16 tokens."""
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = tmp_path_factory.mktemp("hub")
    transformer = Transformer(str(make_model_folder(folder / "plain")), max_seq_length=16)
    library.SentenceTransformer(modules=[transformer, Pooling(32, "mean"), Normalize()]).save(str(folder / "model"))
    return folder / "model"


def test_a_hub_name_is_pooled_as_its_folder_says(cache: Path, averaging: Path) -> None:
    import sentence_transformers

    publish(cache, averaging, FIRST)
    texts = [*SENTENCES[:5], "an apple " * 30]
    theirs = sentence_transformers.SentenceTransformer(str(averaging), device="cpu").encode(texts)
    by_name = SentenceEncoder.load(NAME)
    assert (by_name.pooling, by_name.normalised, by_name.max_tokens) == ("avg", True, 16)
    np.testing.assert_allclose(by_name.encode(texts), theirs, atol=1e-5)
    assert np.abs(SentenceEncoder.load(NAME, "cls").encode(texts) - theirs).max() > 0.1  # what it was before


def test_the_command_gives_a_name_the_score_of_its_folder(
    cache: Path, averaging: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(cache, averaging, FIRST)
    found = []
    for model in (NAME, str(averaging)):
        assert main(["evaluate", model, "--tasks", "kit", "--json", str(tmp_path / "scores.json")]) == 0
        found.append(json.loads((tmp_path / "scores.json").read_text())["spearman"]["kit"])
    assert found[0] == found[1]
    capsys.readouterr()


def test_a_name_stands_for_its_branchs_commit_or_a_named_one(cache: Path, tiny: Path, averaging: Path) -> None:
    publish(cache, averaging, FIRST)
    publish(cache, tiny, SECOND, "with-safetensors")
    assert hub_revision(NAME) == FIRST and hub_folder(NAME).name == FIRST
    assert hub_revision(f"{NAME}@with-safetensors") == SECOND == hub_folder(f"{NAME}@{SECOND}").name
    assert SentenceEncoder.load(f"{NAME}@with-safetensors").pooling == "cls"
    with pytest.raises(KitError, match="could not be found"):
        hub_revision(f"{NAME}@no-such-branch")


def test_a_process_stays_with_one_commit(cache: Path, tiny: Path, averaging: Path) -> None:
    """A branch that moves on during a run must not mix two models under one key."""
    publish(cache, averaging, FIRST)
    assert hub_revision(NAME) == FIRST
    publish(cache, tiny, SECOND)
    assert hub_folder(NAME).name == FIRST


def test_bases_and_teachers_are_keyed_by_their_commit(
    cache: Path, tiny: Path, averaging: Path, store: Store, corpus: Corpus, dev: SentencePairs
) -> None:
    publish(cache, averaging, FIRST)
    place = Workplace(store, corpus, dev)
    as_base = Recipe(TrainingSettings(base=NAME))
    as_teacher = Recipe(TrainingSettings(base=str(tiny)), DistillationSettings(), These((NAME,)))
    base, student = (recipe.content(place.inputs) for recipe in (as_base, as_teacher))
    assert base["base"] == student["teachers"][0]["teacher"] == f"{NAME}@{FIRST}"
    before = [recipe.key(place.inputs) for recipe in (as_base, as_teacher)]
    embedded = place.embeddings(NAME, progress=False)

    forget()  # another day, another process
    publish(cache, tiny, SECOND)
    later = Workplace(store, corpus, dev)
    assert not set(before) & {recipe.key(later.inputs) for recipe in (as_base, as_teacher)}
    assert not np.array_equal(later.embeddings(NAME, progress=False), embedded)


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json"])
def test_a_snapshot_with_files_missing_is_one_sentence(cache: Path, tiny: Path, missing: str) -> None:
    publish(cache, tiny, FIRST)
    (hub_folder(NAME) / missing).unlink()
    for other in ("tokenizer_config.json", "vocab.txt") if missing == "tokenizer.json" else ():
        (hub_folder(NAME) / other).unlink(missing_ok=True)
    with pytest.raises(KitError, match=f"{NAME} has no (weights|tokenizer)"):
        SentenceEncoder.load(NAME)


def test_pickled_weights_name_the_way_to_another_revision(cache: Path, tiny: Path) -> None:
    publish(cache, tiny, FIRST)
    (hub_folder(NAME) / "model.safetensors").rename(hub_folder(NAME) / "pytorch_model.bin")
    with pytest.raises(KitError, match=r"pickle only .*NAME@REVISION"):
        SentenceEncoder.load(NAME)
