"""Runs trained side by side equal runs trained one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store
from distillcse_kit.training.parallel import processes_for, side_by_side
from distillcse_kit.training.recipe import First, Recipe
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.training.workplace import Workplace


def teacher(base: Path, seed: int, **changes: float) -> Recipe:
    small = {"steps": 4, "batch_size": 8, "evaluate_every": 2} | changes
    return Recipe(TrainingSettings(base=str(base), precision="float32", **small), seed=seed)  # type: ignore[arg-type]


def workplace(store: Store, corpus: Corpus, dev: SentencePairs, base: Path) -> Workplace:
    return Workplace(store, corpus, dev, teacher(base, 0).training)


def all_runs(place: Workplace, parallel: bool) -> list[Path]:
    """Two students of three teachers, and the teachers that are trained for them."""
    student = Recipe(place.teacher, DistillationSettings(shuffle="group_p"), First(3))
    students = place.run_all([student.changed(seed=seed) for seed in range(2)], "students", parallel)
    taught_by = [place.folder(model) for model in student.taught_by(place.teacher) if isinstance(model, Recipe)]
    assert all((folder / "run.json").is_file() for folder in taught_by)
    return taught_by + [run.folder for run in students]


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillcse_kit.training.parallel.cpu_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def test_side_by_side_makes_the_same_runs(
    tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, two_processes: None
) -> None:
    """The runs one after the other read sentences from a list, those side by side from a file."""
    (tmp_path / "corpus.txt").write_text("\n".join(corpus.sentences))
    stores = [Store(tmp_path / name) for name in ("serial", "parallel")]
    on_disk = Corpus(load_corpus(tmp_path / "corpus.txt", store=stores[1])["sentence"], corpus.fingerprint)
    serial = all_runs(workplace(stores[0], corpus, dev, tiny), parallel=False)
    parallel = all_runs(workplace(stores[1], on_disk, dev, tiny), parallel=True)
    assert [folder.name for folder in serial] == [folder.name for folder in parallel]
    for one, other in zip(serial, parallel, strict=True):
        weights, others = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
        assert weights.keys() == others.keys()
        assert all(abs(weights[name] - others[name]).max() < 1e-5 for name in weights)


def test_other_processes_did_the_work_and_only_what_was_missing(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, two_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workplace(store, corpus, dev, tiny)
    recipes = [teacher(tiny, seed) for seed in range(3)]
    first = place.run(recipes[0])
    written = (first.folder / "run.json").stat().st_mtime_ns

    def none_here(*_arguments: object) -> None:
        raise AssertionError("this process trained")

    monkeypatch.setattr("distillcse_kit.training.run.Trainer", none_here)
    runs = place.run_all(recipes, "teachers", parallel=True)
    assert [run.seed for run in runs] == [0, 1, 2]
    assert (first.folder / "run.json").stat().st_mtime_ns == written
    assert all(place.is_done(recipe) for recipe in recipes)


def test_an_error_in_one_process_reaches_the_caller(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, two_processes: None
) -> None:
    place = workplace(store, corpus, dev, tiny)
    recipes = [teacher(tiny, seed, learning_rate=1e30) for seed in range(2)]
    with pytest.raises(KitError, match=r"loss is .* lower the learning rate"):
        place.run_all(recipes, "teachers", parallel=True)
    assert not any(place.is_done(recipe) for recipe in recipes)


def test_one_call_is_left_to_the_caller() -> None:
    calls: list[int] = []
    side_by_side(calls.append, [(1,)], "one")
    assert calls == []


@pytest.mark.parametrize(("jobs", "cores", "expected"), [(5, 2, 2), (1, 8, 1)])
def test_processes(jobs: int, cores: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillcse_kit.training.parallel.cpu_count", lambda: cores)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert processes_for(jobs) == expected
    assert processes_for(100) <= 4
