"""torch.compile changes only the speed, and a run goes on where there is no compiler."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._inductor.config
from conftest import SENTENCES
from torch import Tensor

from distillcse_kit.config import TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.fast.compiling import STEPS_THAT_REPAY, Compiled, repays
from distillcse_kit.store import Store
from distillcse_kit.training import loop as training
from distillcse_kit.training.objective import Trainee
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.run import Run, train
from distillcse_kit.training.training_text import Corpus

THE_FIX = "Install a C++ compiler (on a GPU, triton), or set compile to off."


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def settings_of(base: Path, **changes: Any) -> TrainingSettings:
    settings = {"steps": 3, "batch_size": 8, "evaluate_every": 1, "precision": "float32", "learning_rate": 1e-3}
    return TrainingSettings(base=str(base), **(settings | changes))  # type: ignore[arg-type]


def batch_of(trainee: Trainee, sentences: list[str]) -> dict[str, Tensor]:
    return trainee.encoder.pad(trainee.encoder.tokenize(sentences))


def messages(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines on standard output since the last look that speak of compiling."""
    return [line for line in capsys.readouterr().out.splitlines() if "compile" in line]


@pytest.mark.parametrize(
    ("setting", "device", "steps", "expected"),
    [
        ("auto", "cuda", STEPS_THAT_REPAY, True),
        ("auto", "cuda", 15_625, True),
        ("auto", "cuda", STEPS_THAT_REPAY - 1, False),
        ("auto", "cpu", 1_000_000, False),
        ("on", "cpu", 1, True),
        ("on", "cuda", 1, True),
        ("off", "cpu", 1_000_000, False),
        ("off", "cuda", 1_000_000, False),
    ],
)
def test_what_is_compiled(setting: Any, device: str, steps: int, expected: bool) -> None:
    assert repays(TrainingSettings(compile=setting, steps=steps), torch.device(device)) is expected


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(KitError, match=r"Unknown compile 'yes'; choose one of auto, on, off\."):
        TrainingSettings(compile="yes")  # type: ignore[arg-type]


class Counting:
    """One of torch's own backends that need no compiler, and how often it was called."""

    def __init__(self, name: str) -> None:
        self.backend, self.graphs = torch._dynamo.lookup_backend(name), 0

    def __call__(self, graph: Any, inputs: Any, **options: Any) -> Any:
        self.graphs += 1
        return self.backend(graph, inputs, **options)


def test_outputs_and_gradients_are_those_of_the_module(
    other_vocabulary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainee, backend = Trainee(settings_of(other_vocabulary)).eval(), Counting("aot_eager")
    compiled = Compiled(trainee, backend)
    assert backend.graphs == 0  # not before the first call
    for sentences in (SENTENCES[:5], ["an apple", *SENTENCES[7:14], "the cook washes a red bowl " * 4]):
        batch, both = batch_of(trainee, sentences), []
        for model in (trainee, compiled):
            trainee.zero_grad(set_to_none=True)
            output = model(batch)
            output.pow(3).sum().backward()
            gradients = {name: weight.grad for name, weight in trainee.named_parameters() if weight.grad is not None}
            both.append((output.detach(), gradients))
        assert len(both[0][1]) > 15
        torch.testing.assert_close(both[1], both[0], rtol=1e-5, atol=1e-5)
        assert backend.graphs > 0
    assert messages(capsys) == []


def test_all_else_is_that_of_the_module(tiny: Path) -> None:
    trainee = Trainee(settings_of(tiny))
    compiled = Compiled(trainee, "aot_eager")
    assert compiled.encoder is trainee.encoder and compiled.masked_lm is None
    assert {id(weight) for weight in compiled.parameters()} == {id(weight) for weight in trainee.parameters()}
    compiled.eval()
    assert not trainee.training and not compiled.training
    compiled.train()
    assert trainee.training and trainee.encoder.model.training
    with pytest.raises(AttributeError, match="nonsense"):
        _ = compiled.nonsense


@pytest.fixture
def no_dropout(other_vocabulary: Path, tmp_path: Path) -> Path:
    """A model whose training is the same whatever draws the masks."""
    folder = tmp_path / "no_dropout"
    shutil.copytree(other_vocabulary, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def trained_alike(run: Run, other: Run) -> bool:
    """The same loss, and the same embeddings but for rounding. The optimiser magnifies rounding: it takes a full step
    even where a gradient is nothing but rounding. There is one dev score, so no tie of two scores decides."""
    untrained = SentenceEncoder.load(run.about["training"]["base"]).encode(SENTENCES[:9])
    one, two = (each.encoder().encode(SENTENCES[:9]) for each in (run, other))
    (loss,), (other_loss,) = ([row["contrastive"] for row in each.history] for each in (run, other))
    moved = np.abs(one - untrained).max()
    assert moved > 0.1  # they learned something
    return loss == pytest.approx(other_loss, rel=1e-4) and bool(np.abs(one - two).max() < 0.02 * moved)


def test_a_compiled_run_trains_as_one_that_is_not(
    no_dropout: Path,
    corpus: Corpus,
    dev: SentencePairs,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = Counting("eager")
    monkeypatch.setattr(training, "Compiled", partial(Compiled, backend=backend))
    expected = train(store, Recipe(settings_of(no_dropout, evaluate_every=3, compile="off")), corpus, dev, label=None)
    assert backend.graphs == 0
    found = train(store, Recipe(settings_of(no_dropout, evaluate_every=3, compile="on")), corpus, dev, label=None)
    assert backend.graphs > 0 and messages(capsys) == []
    assert found.folder != expected.folder and trained_alike(found, expected)


# ---------------------------------------------------------------- where there is no compiler


def broken(graph: Any, inputs: Any) -> Callable[..., Any]:
    raise RuntimeError("this compiler is broken\nand says so at length")


def test_where_the_compiler_fails_the_module_runs_and_one_sentence_says_so(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainee = Trainee(settings_of(tiny)).eval()
    compiled = Compiled(trainee, broken)
    for sentences in (SENTENCES[:5], SENTENCES[2:9]):
        batch = batch_of(trainee, sentences)
        assert torch.equal(compiled(batch), trainee(batch))
    assert compiled(batch).requires_grad
    (message,) = messages(capsys)
    assert "(RuntimeError: this compiler is broken)" in message
    assert message.endswith(THE_FIX) and "at length" not in message


def test_a_run_without_a_compiler_finishes_and_one_sentence_says_how_to_fix_it(
    no_dropout: Path,
    corpus: Corpus,
    dev: SentencePairs,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Nothing that was compiled before, here or in another process, stands in for the compiler.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    found = train(store, Recipe(settings_of(no_dropout, evaluate_every=3, compile="on")), corpus, dev, label=None)
    (message,) = messages(capsys)
    assert "no-such-compiler" in message and message.endswith(THE_FIX)
    expected = train(store, Recipe(settings_of(no_dropout, evaluate_every=3, compile="off")), corpus, dev, label=None)
    assert messages(capsys) == [] and trained_alike(found, expected)


# ---------------------------------------------------------------- mistakes of the model itself


class Refusing(torch.nn.Module):
    def forward(self, numbers: Tensor) -> Tensor:
        if len(numbers) > 2:
            raise KitError("Too many numbers.")
        return 2 * numbers


def test_an_error_of_the_module_itself_arrives() -> None:
    compiled = Compiled(Refusing(), "aot_eager")
    assert compiled(torch.ones(2)).tolist() == [2, 2]
    for _ in range(2):
        with pytest.raises(KitError, match="Too many numbers"):
            compiled(torch.ones(3))
    assert compiled(torch.ones(2)).tolist() == [2, 2]


def test_a_wrong_shape_is_torchs_own_error(capsys: pytest.CaptureFixture[str]) -> None:
    compiled = Compiled(torch.nn.Linear(3, 2), "aot_eager")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            compiled(torch.ones(2, 5))
    assert messages(capsys) == []
    assert compiled(torch.ones(2, 3)).shape == (2, 2)
