"""The bench compares things that do the same work, and its numbers are what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy import stats
from transformers import BertConfig

from distillcse_kit.bench import gpu, growth
from distillcse_kit.bench import ratios as bench
from distillcse_kit.bench.measure import Spread, calls_for, compare, ratio
from distillcse_kit.bench.memory import peak_of_process
from distillcse_kit.bench.plain_way import PlainTraining, group_p_loop, plain_model
from distillcse_kit.bench.scores import compare_students
from distillcse_kit.bench.workshop import Extent
from distillcse_kit.command import main as cli
from distillcse_kit.config import DistillationSettings, Profile, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.method.shuffling import group_p_assignments
from distillcse_kit.store import Store
from distillcse_kit.training.run import Run
from distillcse_kit.training.training_text import Corpus


def cosines_of(n: int) -> torch.Tensor:
    vectors = torch.nn.functional.normalize(torch.randn(n, 9, generator=torch.Generator().manual_seed(n)), dim=-1)
    return vectors @ vectors.T


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times a single call, since these tests do not check durations."""
    monkeypatch.setattr("distillcse_kit.bench.measure.SHORTEST", 0.0)


@pytest.mark.parametrize("n", [2, 7, 40])
@pytest.mark.parametrize("p", [0.1, 0.3, 1.0])
def test_the_loop_is_group_p(n: int, p: float) -> None:
    torch.manual_seed(0)
    cosines = cosines_of(n)
    shuffled, groups = group_p_loop(cosines, p), group_p_assignments(cosines, p)
    for i in range(n):
        assert shuffled[i, i] == cosines[i, i]
        for group in groups[i].unique():
            inside = groups[i] == group
            assert sorted(shuffled[i, inside].tolist()) == sorted(cosines[i, inside].tolist())
    if n == 40:
        assert not torch.equal(shuffled, cosines)


def test_the_plain_model_is_the_micro_encoder() -> None:
    encoder = SentenceEncoder.load("micro")
    batch = encoder.pad(encoder.tokenize(["A cook cuts onions.", "Rain."]))
    with torch.no_grad():
        expected = plain_model().eval()(**batch).last_hidden_state[:, 0]
        torch.testing.assert_close(encoder.eval()(batch), expected, atol=2e-5, rtol=1e-4)


def test_the_plain_loop_learns() -> None:
    torch.manual_seed(0)
    plain = PlainTraining(TrainingSettings(learning_rate=1e-3), DistillationSettings(), teachers=1)
    before = {name: weight.clone() for name, weight in plain.model.named_parameters()}
    ids, mask = torch.randint(5, 100, (4, 32)), torch.ones(4, 32, dtype=torch.long)
    plain.step(ids, mask)
    changed = [name for name, weight in plain.model.named_parameters() if not torch.equal(weight, before[name])]
    assert len(changed) > 0.9 * len(before)
    assert all(parameter.grad is None for teacher in plain.teachers for parameter in teacher.parameters())


def test_times_are_taken_in_turns_and_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    order: list[str] = []

    def work(name: str, takes: float) -> None:
        order.append(name)
        clock[0] += takes

    monkeypatch.setattr("distillcse_kit.bench.measure.SHORTEST", 0.02)
    slow, fast = lambda: work("slow", 0.03), lambda: work("fast", 0.01)
    assert calls_for(slow) == 1 and calls_for(fast) == 2
    order.clear()
    found = compare(slow, fast, repeats=2)
    assert order[-6:] == ["slow", "fast", "fast", "slow", "fast", "fast"]
    assert found[0] == pytest.approx([0.03] * 2) and found[1] == pytest.approx([0.01] * 2)
    assert ratio(slow, fast, 3).median == pytest.approx(3)


def test_a_spread_is_median_and_quartiles() -> None:
    values = [5.0, 1.0, 2.0, 9.0, 4.0]
    found = Spread.of(values)
    assert (found.low, found.median, found.high, found.repeats) == (
        stats.scoreatpercentile(values, 25),
        4.0,
        stats.scoreatpercentile(values, 75),
        5,
    )


def test_mixed_text_has_many_lengths() -> None:
    lengths = [len(text.split()) for text in bench.mixed_text(300)]
    assert min(lengths) < 8 and max(lengths) > 50 and len(lengths) == 300
    assert bench.mixed_text(20) == bench.mixed_text(20)


def test_the_json_holds_every_number_that_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], short: None
) -> None:
    monkeypatch.setattr(bench, "QUICK", Extent(1, 1, 200))
    monkeypatch.setattr(bench, "BATCH_SIZES", (64, 256, 512))
    monkeypatch.setattr(bench, "TASKS", {})
    path = tmp_path / "bench.json"
    assert cli.main(["bench", "--quick", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert set(found["group_p_vs_loop"]) == {"64", "256", "512"} and set(found["step_vs_simcse"]) == {"1", "4", "16"}
    assert {"default", "float32"} <= set(found["encode_vs_sentence_transformers"])
    for name in (
        "shuffled_loss_share_of_step",
        "first_student_vs_every_step",
        "ablation8_vs_every_step",
        "train_vs_plain_loop",
    ):
        assert found[name] > 0 and found["spread"][name]["median"] == pytest.approx(found[name], abs=1e-4)
    assert found["store_bytes_per_sentence"] == 2 * 192
    assert found["lowest_cosine_with_sentence_transformers"]["auto"] > 0.999
    assert found["lowest_cosine_with_sentence_transformers"]["float32"] > 0.99999
    assert found["ablation8_vs_every_step"] > found["first_student_vs_every_step"]
    assert "train_vs_plain_loop" in capsys.readouterr().out


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    assert 100 < peak_of_process("encode", "builtin") < 20_000


# ---------------------------------------------------------------- growth


def test_growth_measures_every_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: None) -> None:
    asked: list[tuple[str, dict[str, int]]] = []
    monkeypatch.setattr(
        growth, "peak_of_process", lambda task, corpus, **sizes: asked.append((task, sizes)) or 500.0 + len(asked)
    )
    found = {
        "sentences a batch, N": growth.with_batch(tmp_path, "builtin", (8, 32)),
        "sentences of the corpus": growth.with_sentences(tmp_path, "builtin", (300, 900)),
    }
    step, loss, memory = found["sentences a batch, N"]
    assert step.sizes == (8, 32) and all(a > b > 0 for a, b in zip(step.values, loss.values, strict=True))
    assert memory.unit == "MB" and memory.values == (501.0, 502.0)
    assert asked[:2] == [("student step", {"batch_size": 8}), ("student step", {"batch_size": 32})]
    drawn = growth.figure(found)
    above, below = drawn.axes[0], drawn.axes[len(found)]
    assert above.lines[0].get_ydata().tolist() == list(step.values)
    assert below.lines[0].get_ydata().tolist() == list(memory.values)
    # The dotted line is proportional to the size, through the last point.
    assert above.lines[2].get_ydata().tolist() == pytest.approx([step.values[1] / 4, step.values[1]])
    assert json.loads(json.dumps(growth.as_json(found)))["sentences of the corpus"][0]["sizes"] == [300, 900]
    plt.close(drawn)


def test_stored_teachers_are_read_from_the_disk_and_not_kept(tmp_path: Path) -> None:
    stored = growth._empty(tmp_path / "stored.npy", 1_000, 4)
    assert isinstance(stored, np.memmap) and stored.shape == (1_000, 4) and not stored.any()


# ---------------------------------------------------------------- both ways' students, and the GPU


def test_both_ways_are_scored_on_the_same_seeds(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TrainingSettings(base=str(tiny), steps=4, batch_size=8, evaluate_every=2)
    lab = Laboratory(Profile("smoke", training, teachers=1, seeds=3), store=store.root)
    lab.__dict__.update(corpus=corpus, dev=dev, tests={"builtin": replace(dev, name="builtin")})
    lines: list[str] = []
    found = compare_students(lab, lines.append)
    assert [len(found[way][task]) for way in ("fast", "plain") for task in ("dev", "builtin")] == [3] * 4
    expected = np.subtract(found["fast"]["dev"], found["plain"]["dev"])
    assert found["difference"]["dev"]["mean"] == pytest.approx(expected.mean())
    low, high = stats.t.interval(0.95, 2, loc=expected.mean(), scale=stats.sem(expected))
    assert (found["difference"]["dev"]["low"], found["difference"]["dev"]["high"]) == pytest.approx((low, high))
    settings = [Run.load(path.parent).about["training"] for path in (store.root / "runs").glob("*/run.json")]
    settings = [each for each in settings if not each.get("fast", True)]
    assert {each["precision"] for each in settings} == {"float32"} and {each["seed"] for each in settings} == {0, 1, 2}
    assert len(lines) == 6


def test_the_gpu_command_says_that_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert cli.main(["bench", "--gpu"]) != 0
    assert "torch finds no GPU here" in capsys.readouterr().err


def test_the_gpu_measurement_and_its_estimate() -> None:
    """On the processor, with a small shape; the estimate follows from the measured speeds."""
    shape = BertConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
    lines: list[str] = []
    found = gpu.measure_gpu(lines.append, shape, device="cpu", steps=2)
    assert {"SimCSE", "student of 16", "embedding", "estimate"} <= set(found) and found["matrix_peak_teraflops"] > 0
    assert all(found[what]["share_of_peak"] > 0 for what in ("SimCSE", "student of 16", "embedding"))
    rates = {what: {"tokens_per_second": 1_000_000} for what in ("SimCSE", "student of 16", "embedding")}
    # 15,625 x 64 x 2 x 30 tokens at a million a second: 1 minute. 16 teachers, 5 + 5 students, 16 + 5 embeddings.
    run, embedding = 60.0, 30.0
    expected = (16 * (run + embedding) + 5 * run + 5 * (embedding + run)) / 3_600
    assert gpu.estimate(rates, 30.0)["hours"] == pytest.approx(expected, abs=0.01)
