"""The bench compares things that do the same work, and its numbers are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from scipy import stats

from distillcse_kit import cli
from distillcse_kit.bench import run as bench
from distillcse_kit.bench.baselines import PlainTraining, group_p_loop, plain_model
from distillcse_kit.bench.measure import Spread, calls_for, compare, ratio
from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.encoder import SentenceEncoder
from distillcse_kit.shuffling import group_p_assignments


def cosines_of(n: int) -> torch.Tensor:
    vectors = torch.nn.functional.normalize(torch.randn(n, 9, generator=torch.Generator().manual_seed(n)), dim=-1)
    return vectors @ vectors.T


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK", bench.Extent(1, 1, 200))
    monkeypatch.setattr(bench, "BATCH_SIZES", (64, 256, 512))
    monkeypatch.setattr(bench, "MEMORY_TASKS", ())
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
    assert 100 < bench.peak_of("encode", "builtin") < 20_000
