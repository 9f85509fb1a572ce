"""Teachers: stored embeddings, the mean of cosines, and the laboratory that makes all of them by name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distillcse_kit.config import PROFILES, Profile, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.ensemble_encoder import EnsembleEncoder
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.store import Store
from distillcse_kit.training.named_recipes import METHODS
from distillcse_kit.training.recipe import Own
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# ---------------------------------------------------------------- stored embeddings


@pytest.mark.parametrize("folder", ["tiny", "other_vocabulary"])
def test_stored_embeddings_are_those_of_the_sentences_in_the_teachers_own_word_pieces(
    folder: str, corpus: Corpus, store: Store, request: pytest.FixtureRequest
) -> None:
    encoder = SentenceEncoder.load(request.getfixturevalue(folder))
    stored = embed_corpus(store, encoder.name, corpus, None, chunk=33)
    assert stored.dtype == np.float16 and isinstance(stored, np.memmap) and not stored.flags.writeable
    expected = unit(encoder.encode(corpus.sentences))
    wide = np.asarray(stored, dtype=np.float64)
    assert np.abs(unit(wide) @ unit(wide).T - expected @ expected.T).max() < (5e-3 if _bfloat16() else 1e-3)


def test_a_teacher_reads_no_further_than_max_tokens(tiny: Path, corpus: Corpus, store: Store, tmp_path: Path) -> None:
    encoder = SentenceEncoder.load(SentenceEncoder.load(tiny, "avg").save(tmp_path / "averaging"))
    whole = embed_corpus(store, encoder.name, corpus, None)
    cut = embed_corpus(store, encoder.name, corpus, None, max_tokens=5)
    expected = unit(encoder.encode_tokens(encoder.tokenize(corpus.sentences, max_tokens=5)))
    far, near = (np.abs(np.asarray(stored, dtype=np.float64) - expected).max() for stored in (whole, cut))
    assert near < 0.01 < 0.1 < far


def _bfloat16() -> bool:
    from distillcse_kit.encoder.devices import computes_in_bfloat16

    return computes_in_bfloat16(torch.device("cpu"))


def test_embeddings_are_computed_once(
    tiny: Path, corpus: Corpus, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed_corpus(store, str(tiny), corpus, None)
    monkeypatch.setattr(SentenceEncoder, "load", None)  # the second time the teacher is not even loaded
    assert np.array_equal(first, embed_corpus(store, str(tiny), corpus, None))


def test_a_teacher_with_other_weights_is_embedded_anew(
    tiny: Path, other_vocabulary: Path, corpus: Corpus, store: Store, tmp_path: Path
) -> None:
    """The name stays the same: a hash of the files decides."""
    folder = tmp_path / "teacher"
    shutil.copytree(tiny, folder)
    first = embed_corpus(store, str(folder), corpus, None)
    shutil.rmtree(folder)
    shutil.copytree(other_vocabulary, folder)
    assert embed_corpus(store, str(folder), corpus, None).shape != first.shape


# ---------------------------------------------------------------- ensembles


def two_widths() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {"narrow": draw.normal(size=(9, 5)).astype(np.float32), "wide": draw.normal(size=(9, 8)).astype(np.float32)}


@pytest.mark.parametrize("weights", [None, {"narrow": 3.0, "wide": 1.0}, {"narrow": 0.0, "wide": 2.0}])
def test_the_mean_of_cosines_whatever_the_widths(weights: dict[str, float] | None) -> None:
    teachers, rows = two_widths(), np.array([7, 0, 3])
    share = weights or {"narrow": 1.0, "wide": 1.0}
    total = sum(share.values())
    expected = np.zeros((3, 3))
    for name, vectors in teachers.items():
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                x, y = vectors[a].astype(float), vectors[b].astype(float)
                expected[i, j] += share[name] / total * (x @ y) / np.sqrt((x @ x) * (y @ y))
    found = TeacherEnsemble(teachers, weights).cosines(rows)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"narrow": 1.0}, "do not match at 'wide'"),
        ({"narrow": 1.0, "wide": 1.0, "third": 1.0}, "do not match at 'third'"),
        ({"narrow": -1.0, "wide": 2.0}, "0 or more"),
        ({"narrow": 0.0, "wide": 0.0}, "not all 0"),
    ],
)
def test_weights_that_do_not_fit(weights: dict[str, float], message: str) -> None:
    with pytest.raises(KitError, match=message):
        TeacherEnsemble(two_widths(), weights)


def test_teachers_of_different_corpora() -> None:
    with pytest.raises(KitError, match="different numbers of sentences"):
        TeacherEnsemble({"a": np.ones((3, 2)), "b": np.ones((4, 2))})
    with pytest.raises(KitError, match="at least one teacher"):
        TeacherEnsemble({})


def test_the_raw_ensemble_is_an_encoder(tiny: Path, other_vocabulary: Path, corpus: Corpus) -> None:
    encoders = [SentenceEncoder.load(tiny), SentenceEncoder.load(other_vocabulary)]
    texts = corpus.sentences[:6]
    both = EnsembleEncoder(encoders, [1, 3]).encode(texts)
    separate = [unit(encoder.encode(texts)) for encoder in encoders]
    np.testing.assert_allclose(
        both @ both.T, 0.25 * separate[0] @ separate[0].T + 0.75 * separate[1] @ separate[1].T, atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-6)
    with pytest.raises(KitError, match="one weight"):
        EnsembleEncoder(encoders, [1])
    with pytest.raises(KitError, match="at least one"):
        EnsembleEncoder([])


# ---------------------------------------------------------------- the laboratory


@pytest.fixture(scope="module")
def bench(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "text.txt").write_text("\n".join(f"the cook washes bowl number {i}" for i in range(60)))
    training = TrainingSettings(base=str(tiny), steps=3, batch_size=8, evaluate_every=3, precision="float32")
    profile = Profile("tiny", training, sentences=50, teachers=3, seeds=2, dev_pairs=20, test_pairs=20)
    return Laboratory(profile, None, folder / "text.txt", None, folder / "store")


def teachers_of(run_about: dict) -> list[str]:
    return [entry["teacher"] for entry in run_about["teachers"]]


@pytest.mark.parametrize("name", METHODS)
def test_each_method_has_its_teachers_and_its_shuffle(bench: Laboratory, name: str) -> None:
    teachers, recipe = bench.teachers(), bench.recipe(name)
    students = bench.students(name)
    assert [run.seed for run in students] == [0, 1]
    for seed, run in enumerate(students):
        assert run.distillation == recipe.distillation
        expected = [teachers[seed]] if isinstance(recipe.teachers, Own) else teachers
        assert teachers_of(run.about) == [teacher.key for teacher in expected]
    assert teachers[0].distillation is None


def test_the_second_round_learns_from_the_first(bench: Laboratory) -> None:
    first, second = bench.rounds(2)
    assert [run.key for run in first] == [run.key for run in bench.students("distillcse")]
    assert all(teachers_of(run.about) == [teacher.key for teacher in first] for run in second)


def test_the_main_table_has_all_rows_and_every_set(bench: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    table = bench.main_table()
    assert list(table) == [
        "tf-idf word overlap",
        "base, no training",
        "SimCSE teachers (3)",
        *METHODS.values(),
        "DistillCSE, round 2",
    ]
    assert all(list(row) == ["dev", "builtin", "kit"] for row in table.values())
    counts = [len(row["kit"]) for row in table.values()]
    assert counts == [1, 1, 3, 2, 2, 2, 2, 2, 2]
    monkeypatch.setattr("distillcse_kit.training.run.Trainer", None)  # a second time trains nothing
    assert bench.main_table() == table


def test_parallel_gives_the_same_table(bench: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillcse_kit.training.parallel.cpu_count", lambda: 2)
    other = Laboratory(replace(bench.profile, parallel=True), None, bench.corpus_source, None, tmp_path / "store")
    vanilla = other.scores(other.students("vanilla"))
    for task, scores in bench.scores(bench.students("vanilla")).items():
        assert vanilla[task] == pytest.approx(scores, abs=0.5)  # two threads add up in another order than one


def test_a_laboratory_says_what_it_works_on(bench: Laboratory) -> None:
    about = bench.describe()
    assert about["corpus"]["sentences"] == 50 and about["tests"] == {"builtin": 20, "kit": 20}
    assert (about["teachers"], about["seeds"], about["steps"]) == (3, 2, 3)
    assert bench.headline == "builtin" and not bench.real


def test_errors_of_a_laboratory(bench: Laboratory) -> None:
    with pytest.raises(KitError, match="Unknown method 'magic'; choose one of vanilla"):
        bench.students("magic")
    with pytest.raises(KitError, match="give 2 teachers instead of 1"):
        bench.students("vanilla", bench.teachers(1))
    with pytest.raises(KitError, match="Unknown setting 'tau'"):
        bench.student(bench.teachers(1), 0, tau=1)
    with pytest.raises(KitError, match="Unknown profile 'huge'"):
        Laboratory("huge")


def test_profiles_are_large_enough_for_the_lessons() -> None:
    for profile in PROFILES.values():
        assert profile.teachers >= profile.seeds >= 2
    assert PROFILES["laptop"].teachers == 16 and PROFILES["laptop"].seeds >= 5


def test_cosines_of_pairs_and_batches_are_those_of_the_encoder(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Laboratory(Profile("smoke", TrainingSettings(base=str(tiny), max_tokens=6)), store=store.root)
    lab.__dict__.update(corpus=corpus, dev=dev, tests={})
    encoder = SentenceEncoder.load(tiny, "avg")
    first, second = (unit(encoder.encode(side)) for side in (dev.first, dev.second))
    assert np.abs(lab.pair_cosines(encoder, "dev") - (first * second).sum(1)).max() < 1e-6
    cut = unit(encoder.encode_tokens(encoder.tokenize(corpus.sentences[:20], 6)))
    found = lab.batch_cosines(encoder, corpus.sentences[:23], 10)
    expected = np.stack([cut[:10] @ cut[:10].T, cut[10:] @ cut[10:].T])
    assert found.shape == (2, 10, 10) and np.abs(found.numpy() - expected).max() < 1e-5
    monkeypatch.setattr(SentenceEncoder, "encode", None)
    assert len(lab.pair_cosines(encoder, "dev")) == len(dev)  # computed once
