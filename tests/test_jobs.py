"""Runs side by side are the runs one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store
from distillcse_kit.training.corpus import Corpus
from distillcse_kit.training.parallel import processes_for, side_by_side
from distillcse_kit.training.workplace import Job, Workplace


def training(base: Path, seed: int, **changes: float) -> TrainingSettings:
    small = {"steps": 4, "batch_size": 8, "evaluate_every": 2} | changes
    return TrainingSettings(base=str(base), seed=seed, precision="float32", **small)  # type: ignore[arg-type]


def all_runs(place: Workplace, base: Path, parallel: bool) -> list[Path]:
    """Three teachers, then two students of all of them."""
    teachers = [Job(training(base, seed), f"teacher {seed}") for seed in range(3)]
    made = [run.folder for run in place.make_all(teachers, "teachers", parallel)]
    settings = DistillationSettings(shuffle="group_p")
    students = [Job(training(base, seed), f"student {seed}", settings, tuple(made)) for seed in range(2)]
    return made + [run.folder for run in place.make_all(students, "students", parallel)]


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillcse_kit.training.parallel.cpu_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def test_side_by_side_makes_the_same_runs(
    tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, two_processes: None
) -> None:
    """One after the other with the sentences in a list, side by side with them in a file."""
    (tmp_path / "corpus.txt").write_text("\n".join(corpus.sentences))
    stores = [Store(tmp_path / name) for name in ("serial", "parallel")]
    on_disk = Corpus(load_corpus(tmp_path / "corpus.txt", store=stores[1])["sentence"], corpus.fingerprint)
    serial = all_runs(Workplace(stores[0], corpus, dev), tiny, parallel=False)
    parallel = all_runs(Workplace(stores[1], on_disk, dev), tiny, parallel=True)
    assert [folder.name for folder in serial] == [folder.name for folder in parallel]
    for one, other in zip(serial, parallel, strict=True):
        weights, others = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
        assert weights.keys() == others.keys()
        assert all(abs(weights[name] - others[name]).max() < 1e-5 for name in weights)


def test_other_processes_did_the_work_and_only_what_was_missing(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, two_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Workplace(store, corpus, dev)
    jobs = [Job(training(tiny, seed), f"teacher {seed}") for seed in range(3)]
    first = place.make(jobs[0])
    written = (first.folder / "run.json").stat().st_mtime_ns

    def none_here(*_arguments: object) -> None:
        raise AssertionError("this process trained")

    monkeypatch.setattr("distillcse_kit.training.loop.Trainer", none_here)
    runs = place.make_all(jobs, "teachers", parallel=True)
    assert [run.seed for run in runs] == [0, 1, 2]
    assert (first.folder / "run.json").stat().st_mtime_ns == written
    assert all(place.is_done(job) for job in jobs)


def test_a_mistake_in_one_process_reaches_the_caller(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, two_processes: None
) -> None:
    place = Workplace(store, corpus, dev)
    jobs = [Job(training(tiny, seed, learning_rate=1e30), f"teacher {seed}") for seed in range(2)]
    with pytest.raises(KitError, match=r"loss is .* lower the learning rate"):
        place.make_all(jobs, "teachers", parallel=True)
    assert not any(place.is_done(job) for job in jobs)


def test_one_call_is_left_to_the_caller() -> None:
    calls: list[int] = []
    side_by_side(calls.append, [(1,)], "one")
    assert calls == []


@pytest.mark.parametrize(("jobs", "cores", "gpu", "expected"), [(5, 2, False, 2), (1, 8, False, 1), (9, 8, True, 1)])
def test_processes(jobs: int, cores: int, gpu: bool, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillcse_kit.training.parallel.cpu_count", lambda: cores)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    assert processes_for(jobs) == expected
    assert processes_for(100) <= 4
