"""One argument chooses the device of everything. A stand-in for an Apple GPU shows what is computed where."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import power_cut
from safetensors.torch import load_file
from stand_in import PLACE, OnStandIn, stand_in
from torch import Tensor

from distillcse_kit.command import main as cli
from distillcse_kit.config import DistillationSettings, Profile, TrainingSettings
from distillcse_kit.course.execution import kernel_of_this_python
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.devices import chosen_device, has_fused_optimiser, random_states, seeded, use_bfloat16
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.geometry import dropout_views
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.method import shuffling
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.store import Store
from distillcse_kit.training.loop import Trainer
from distillcse_kit.training.parallel import processes_for
from distillcse_kit.training.pretraining import pretrain
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.run import Run, train
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable is set, and "auto" is float32 on every device, so that two devices compute the same."""
    monkeypatch.delenv("DISTILLCSE_DEVICE", raising=False)
    monkeypatch.setattr("distillcse_kit.encoder.devices.computes_in_bfloat16", lambda device: False)


def has(monkeypatch: pytest.MonkeyPatch, gpus: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)


@pytest.fixture
def apple() -> Iterator[torch.Generator]:
    with stand_in() as generator:
        yield generator


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "gpus", "mps", "expected"),
    [
        ("auto", 0, False, "cpu"),
        ("auto", 0, True, "mps:0"),
        ("auto", 2, True, "cuda:0"),
        ("cpu", 2, True, "cpu"),
        ("mps", 2, True, "mps:0"),
        ("cuda", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"),
    ],
)
def test_a_name_means_a_device(name: str, gpus: int, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, gpus, mps)
    assert str(chosen_device(name)) == expected
    assert chosen_device(chosen_device(name)) == chosen_device(name)


@pytest.mark.parametrize(
    ("name", "gpus", "sentence"),
    [
        ("cuda", 0, "The device is cuda, but torch finds none on this machine; choose auto or cpu."),
        ("cuda:2", 2, "The device is cuda:2, but torch finds only 2 of that kind"),
        ("mps", 2, "The device is mps, but torch finds none"),
        ("gpu", 2, "Unknown device 'gpu'; choose one of auto, cpu, cuda, cuda:1 and so on, mps."),
        ("cuda:", 2, "Unknown device 'cuda:'"),
        ("CPU", 0, "Unknown device 'CPU'"),
    ],
)
def test_what_is_not_there_is_refused(
    name: str, gpus: int, sentence: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, gpus)
    for ask in (chosen_device, lambda name: SentenceEncoder.load(tiny, device=name)):
        with pytest.raises(KitError) as refused:
            ask(name)
        assert str(refused.value).startswith(sentence)


def test_the_environment_says_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, gpus=2)
    monkeypatch.setenv("DISTILLCSE_DEVICE", "cpu")
    assert str(chosen_device()) == "cpu" and str(chosen_device("cuda:1")) == "cuda:1"
    monkeypatch.setenv("DISTILLCSE_DEVICE", "auto")
    assert str(chosen_device()) == "cuda:0"
    monkeypatch.setenv("DISTILLCSE_DEVICE", "tpu")
    with pytest.raises(KitError, match="Unknown device 'tpu'"):
        chosen_device()


@pytest.mark.parametrize(("name", "gpus", "mps", "expected"), [("auto", 1, False, 1), ("auto", 0, True, 1)])
def test_runs_side_by_side_share_cores_only(
    name: str, gpus: int, mps: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distillcse_kit.training.parallel.cpu_count", lambda: 3)
    has(monkeypatch, gpus, mps)
    assert processes_for(9, name) == expected
    assert processes_for(9, "cpu") == 3  # beside a GPU, too


def test_precision_and_optimiser_of_an_apple_gpu() -> None:
    assert not use_bfloat16("auto", PLACE) and use_bfloat16("bfloat16", PLACE)
    assert [has_fused_optimiser(torch.device(kind)) for kind in ("cpu", "cuda", "mps")] == [True, True, False]


# ---------------------------------------------------------------- the stand-in


def test_the_stand_in_refuses_what_mps_refuses(apple: torch.Generator) -> None:
    there = torch.arange(6.0).view(2, 3).to(PLACE)
    assert isinstance(there, OnStandIn) and there.device == PLACE and (there * 2).device == PLACE
    assert torch.equal((there * 2).cpu(), torch.arange(0.0, 12.0, 2.0).view(2, 3))
    for wide in (there.double, lambda: torch.zeros(2, dtype=torch.float64, device=PLACE)):
        with pytest.raises(TypeError, match="float64"):
            wide()
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(2, 3)
    with pytest.raises((TypeError, RuntimeError)):
        there.numpy()


# ---------------------------------------------------------------- shuffling

SHUFFLES: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "plain": lambda t, g: shuffling.plain_group_p(t, 0.1, 1.0, g),
    "group_p": lambda t, g: shuffling.group_p_shuffle(t, 0.1, 1.0, g),
    "group_p, not fast": lambda t, g: shuffling.group_p_shuffle(t, 0.1, 1.0, generator=g, fast=False),
    "group_mean": lambda t, g: shuffling.group_mean(t, 0.1),
    "group_mean, not fast": lambda t, g: shuffling.group_mean(t, 0.1, fast=False),
    "assignments": lambda t, g: shuffling.group_p_assignments(t, 0.1),
    "fixed": lambda t, g: shuffling.fixed_group_shuffle(t, 4, g),
    "band": lambda t, g: shuffling.rank_band_shuffle(teacher_cosines=t, start=2, end=9, generator=g),
}


@pytest.mark.parametrize("name", SHUFFLES)
def test_shuffling_gives_the_same_numbers_without_float64(name: str, apple: torch.Generator) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    cosines = vectors @ vectors.T
    expected = SHUFFLES[name](cosines, torch.Generator().manual_seed(2))
    found = SHUFFLES[name](cosines.to(PLACE), torch.Generator().manual_seed(2))
    assert found.device == PLACE and torch.equal(found.cpu(), expected)
    assert not torch.equal(expected, cosines.to(expected.dtype))


# ---------------------------------------------------------------- training, embedding, scoring


def recipe_of(base: Path, lesson: DistillationSettings | None = None, seed: int = 0, **changes: Any) -> Recipe:
    settings = {"steps": 4, "batch_size": 8, "evaluate_every": 1, "precision": "float32", "learning_rate": 1e-3}
    return Recipe(TrainingSettings(base=str(base), **(settings | changes)), lesson, seed=seed)  # type: ignore[arg-type]


def trained(
    folder: Path, recipe: Recipe, corpus: Corpus, dev: SentencePairs, teacher: Path, device: str, **options: Any
) -> Run:
    store = Store(folder)
    teachers = None
    if recipe.is_student:
        # On the processor for both: a cosine that rounds otherwise may change places with its neighbour.
        embeddings = embed_corpus(store, str(teacher), corpus, None, 32, device="cpu")
        teachers = TeacherEnsemble({"teacher": embeddings})
    return train(store, recipe, corpus, dev, teachers, label=None, device=device, **options)


LESSONS: dict[str, tuple[DistillationSettings | None, dict[str, Any]]] = {
    "SimCSE": (None, {}),
    "masked LM": (None, {"mlm_weight": 0.1}),
    "the mean of tokens": (None, {"pooling": "avg"}),
    "the head kept": (None, {"keep_head": True}),
    "pairs": (DistillationSettings(), {}),
    "not fast": (None, {"fast": False}),
    "Group-P": (DistillationSettings(shuffle="group_p"), {}),
    "group mean": (DistillationSettings(shuffle="group_mean", divergence="js"), {}),
    "fixed groups": (DistillationSettings(shuffle="fixed_groups", divergence="kl"), {}),
    "ranking hinge": (DistillationSettings(objective="ranking_hinge", shuffle="rank_band"), {}),
}


@pytest.mark.filterwarnings("ignore::distillcse_kit.errors.KitWarning")
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_run_there_is_the_run_of_the_processor(
    lesson: str, tiny: Path, other_vocabulary: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path
) -> None:
    """Without dropout, whose masks each device draws for itself. Dev is scored there as well."""
    distillation, changes = LESSONS[lesson]
    if lesson == "pairs":
        partners = [Corpus([f"{text} {word}" for text in corpus.sentences], word) for word in ("again", "never")]
        corpus = replace(corpus, partners=tuple(partners))
    recipe = recipe_of(tiny, distillation, dropout=0.0, **changes)
    expected = trained(tmp_path / "cpu", recipe, corpus, dev, other_vocabulary, "cpu")
    with stand_in():
        found = trained(tmp_path / "mps", recipe, corpus, dev, other_vocabulary, "mps")
    assert found.key == expected.key
    assert (expected.about["device"], found.about["device"]) == ("cpu", "mps:0")
    # The stand-in unties tied weights, so with a masked-LM head only the first step is the same.
    rows = slice(0, 1 if "masked_lm" in expected.history[0] else None)
    for row, other in zip(found.history[rows], expected.history[rows], strict=True):
        assert {name: row[name] for name in other if name != "dev"} == pytest.approx(
            {name: value for name, value in other.items() if name != "dev"}, rel=1e-3, abs=1e-5
        )
        assert row["dev"] == pytest.approx(other["dev"], abs=1.0) or rows.stop


@pytest.mark.parametrize("fast", [True, False])
def test_a_run_there_has_dropout_and_leaves_the_random_states_alone(
    fast: bool, tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, apple: torch.Generator
) -> None:
    before = torch.get_rng_state(), apple.get_state()
    run = trained(tmp_path, recipe_of(tiny, fast=fast), corpus, dev, tiny, "mps")
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.equal(apple.get_state(), before[1])
    assert all(np.isfinite(row["loss"]) for row in run.history)
    config = json.loads((run.folder / "config.json").read_text())
    assert config["hidden_dropout_prob"] == 0.1


def test_a_checkpoint_has_the_random_state_of_the_device(
    tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, apple: torch.Generator
) -> None:
    expected = trained(tmp_path / "whole", recipe_of(tiny), corpus, dev, tiny, "mps")
    states = []

    def draw() -> None:
        torch.rand((), generator=apple)  # as dropout there would draw
        states.append(apple.get_state())

    with power_cut(draw):
        trained(tmp_path / "cut", recipe_of(tiny), corpus, dev, tiny, "mps")
    (checkpoint,) = (tmp_path / "cut" / "runs").glob("*.checkpoint")
    saved = load_file(checkpoint)
    assert torch.equal(saved["random.mps"], states[0]) and "random.cuda" not in saved

    def seen(progress: Any) -> None:
        states.append(apple.get_state())

    found = trained(tmp_path / "cut", recipe_of(tiny), corpus, dev, tiny, "mps", on_step=seen)
    assert torch.equal(states[1], states[0])  # goes on from where it was
    assert found.history == expected.history


def test_seeding_leaves_other_states_alone(apple: torch.Generator) -> None:
    before = random_states(PLACE)
    assert set(before) == {"cpu", "mps"} and set(random_states(torch.device("cpu"))) == {"cpu"}
    draws = []
    for _ in range(2):
        with seeded(PLACE, 3):
            draws.append((torch.rand(()).item(), torch.rand((), generator=apple).item()))
    assert draws[0] == draws[1]
    assert all(torch.equal(state, before[kind]) for kind, state in random_states(PLACE).items())


def test_embedding_scoring_and_views_happen_there(
    tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = np.array(embed_corpus(Store(tmp_path / "cpu"), str(tiny), corpus, None, device="cpu"))
    run = trained(tmp_path / "runs", recipe_of(tiny), corpus, dev, tiny, "cpu")
    score = run.score(SentencePairs("other", dev.first, dev.second, dev.score), "cpu")
    places: list[torch.device] = []
    forward = SentenceEncoder.forward

    def watched(self: SentenceEncoder, batch: Any) -> Tensor:
        places.append(batch["input_ids"].device)
        return forward(self, batch)

    monkeypatch.setattr(SentenceEncoder, "forward", watched)
    with stand_in():
        found = embed_corpus(Store(tmp_path / "mps"), str(tiny), corpus, None, device="mps")
        np.testing.assert_allclose(np.array(found), expected, atol=2e-3)
        assert run.score(SentencePairs("again", dev.first, dev.second, dev.score), "mps") == pytest.approx(score)
        assert run.encoder("mps").device == PLACE and run.encoder("cpu").device.type == "cpu"
        first, second = dropout_views(run.encoder("mps"), corpus.sentences[:4])
        assert first.shape == second.shape and not np.allclose(first, second)
    assert len(places) > 3 and set(places) == {PLACE}


def test_a_laboratory_has_one_device(
    tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with an Apple GPU; "cpu" beside it is the processor for everything."""
    training = recipe_of(tiny).training
    profile = Profile("own", training, DistillationSettings(shuffle="group_p"), 100, 2, 1)
    places: set[str] = set()
    forward = SentenceEncoder.forward

    def watched(self: SentenceEncoder, batch: Any) -> Tensor:
        places.add(str(batch["input_ids"].device))
        return forward(self, batch)

    monkeypatch.setattr(SentenceEncoder, "forward", watched)
    for name, expected in (("cpu", "cpu"), ("mps", "mps:0"), ("auto", "mps:0")):
        places.clear()
        with stand_in():
            lab = Laboratory(profile, store=tmp_path / name, device=name)
            lab.corpus, lab.dev, lab.tests = corpus, dev, {"dev2": dev}
            student = lab.run(lab.recipe("distillcse"), progress=False)
            for what in (student, lab.base):
                lab.score(what, "dev2")
                lab.pair_cosines(what)
                lab.batch_cosines(what, corpus.sentences, 8)
            lab.scores([student])
        assert places == {expected}


def test_pretraining_runs_there(corpus: Corpus, tmp_path: Path) -> None:
    """No float64, no mixture of devices, and the same numbers from the same vocabulary and vectors."""
    settings = PretrainingSettings(
        vocabulary_size=120, hidden_size=8, layers=1, heads=2, max_tokens=24, steps=1, tokens_per_batch=96
    )
    found = {}
    for name in ("cpu", "mps"):
        with stand_in():
            store, out = Store(tmp_path / "store"), tmp_path / name
            pretrain(corpus.sentences, "text", out, settings, store, False, lambda line: None, name)
        found[name] = json.loads((out / "pretraining.json").read_text())["curve"][-1]["loss"]
        assert SentenceEncoder.load(out, device="cpu").encode(corpus.sentences[:2]).shape == (2, 8)
    assert found["mps"] == pytest.approx(found["cpu"], abs=2e-4)


def test_the_optimiser_is_the_one_that_the_device_has(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store
) -> None:
    with stand_in():
        fused = [
            Trainer(store, recipe_of(tiny), corpus, dev, None, store.root / "none", device=name).optimiser.defaults[
                "fused"
            ]
            for name in ("cpu", "mps")
        ]
    assert fused == [True, False]


# ---------------------------------------------------------------- the command and the course

COMMANDS = {
    "teach": "teach --corpus {corpus} --base {tiny} --store {store}",
    "distill": "distill --corpus {corpus} --base {tiny} --store {store}",
    "evaluate": "evaluate {tiny} --tasks kit",
    "sweep": "sweep cut --store {store}",
    "pretrain": "pretrain {corpus} --out {store}/new --store {store}",
    "bench": "bench --gpu",
    "bench --scores": "bench --scores {store} --store {store}",
    "course": "course --out {store}/out",
}


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_every_command_that_computes_has_the_flag(
    line: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    has(monkeypatch, gpus=1)
    (tmp_path / "corpus.txt").write_text("one sentence\nanother one\n")
    store = tmp_path / "store"
    words = line.format(corpus=tmp_path / "corpus.txt", tiny=tiny, store=store).split()
    assert cli.main([*words, "--device", "cuda:1"]) == 2
    assert "The device is cuda:1, but torch finds only 1 of that kind" in capsys.readouterr().err
    assert not list(store.rglob("*.safetensors"))


def test_the_bench_of_the_processor_takes_no_other_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--tricks", "--device", "cuda"]) == 2
    assert "This measures the processor" in capsys.readouterr().err


def test_the_kernels_of_the_course_know_the_device() -> None:
    with kernel_of_this_python("cuda:1"):
        (spec,) = Path(os.environ["JUPYTER_PATH"].split(os.pathsep)[0]).rglob("kernel.json")
        assert json.loads(spec.read_text())["env"]["DISTILLCSE_DEVICE"] == "cuda:1"
