"""The training monitor: what it says about made-up steps, by hand, and about a real run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from distillcse_kit.config import TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.explorers import HEADLESS, TrainingMonitor, base
from distillcse_kit.store import Store
from distillcse_kit.training.loop import Cancelled, Progress
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.run import train
from distillcse_kit.training.training_text import Corpus

LOSSES = [3.0, 2.0, 2.5, 1.0, 0.5, 0.75]
ROWS = [{"step": 2, "dev": 50.0}, {"step": 4, "dev": 54.5}, {"step": 6, "dev": 52.25}]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(monitor: TrainingMonitor, clock: Clock, steps: int, seconds: float = 2.0) -> None:
    for step in range(1, steps + 1):
        clock.now += seconds
        losses = {"loss": LOSSES[step - 1] + 1, "contrastive": LOSSES[step - 1]}
        monitor.on_step(Progress(step, len(LOSSES), losses, [dict(row) for row in ROWS[: step // 2]]))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(clock: Clock) -> TrainingMonitor:
    return TrainingMonitor("a <teacher>", 16, clock=clock)


def test_before_the_first_step(monitor: TrainingMonitor) -> None:
    assert "a &lt;teacher&gt;: not started yet." in monitor.words.value and monitor.controls["smoothing"].disabled


@pytest.mark.parametrize("smoothing", [1, 3, 50])
def test_loss_score_bound_and_time_left(monitor: TrainingMonitor, clock: Clock, smoothing: int) -> None:
    told(monitor, clock, 4)
    monitor.controls["smoothing"].value = smoothing
    mean = np.mean(LOSSES[max(4 - smoothing, 0) : 4])
    words = monitor.words.value
    assert "step 4 of 6, about 4 seconds left" in words
    over = {1: "", 3: " over the last 3 steps", 50: " over the last 4 steps"}[smoothing]
    assert f"Loss {mean + 1:.3f}{over}, dev 54.50 (best 54.50 at step 4)." in words
    assert f"at least {math.log(16) - mean:.2f} nats; a batch of 16 can show at most {math.log(16):.2f}." in words
    steps, curve = monitor.curve("contrastive")
    assert steps.tolist() == [1, 2, 3, 4]
    assert curve == pytest.approx([np.mean(LOSSES[max(end - smoothing, 0) : end]) for end in range(1, 5)])


def test_the_end_names_the_best_score(monitor: TrainingMonitor, clock: Clock) -> None:
    told(monitor, clock, 6)
    assert "step 6 of 6, finished." in monitor.words.value
    assert "dev 52.25 (best 54.50 at step 4)" in monitor.words.value


def test_it_repaints_at_intervals_and_at_once_for_a_score(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = TrainingMonitor("run", 16, every=5, clock=clock)
    painted: list[int] = []
    repaint = monitor.repaint
    monkeypatch.setattr(monitor, "repaint", lambda: (painted.append(monitor.steps[-1].step), repaint()))
    for step in range(1, 13):
        clock.now += 2
        history = ROWS[: int(step >= 5)]
        monitor.on_step(Progress(step, 12, {"loss": 1.0}, list(history)))
    assert painted == [1, 4, 5, 8, 11, 12]  # at the start, every 5 seconds (3 steps), the score of step 5, the end


def test_a_run_without_a_contrastive_loss_says_so(monitor: TrainingMonitor) -> None:
    monitor.on_step(Progress(1, 2, {"loss": 1.0, "distillation": 1.0}, []))
    assert "no contrastive loss" in monitor.words.value and "no dev score yet" in monitor.words.value


def test_a_run_is_watched_live_and_one_from_the_store_by_its_history(
    tiny: Path,
    corpus: Corpus,
    dev: SentencePairs,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(HEADLESS, "1")
    recipe = Recipe(TrainingSettings(base=str(tiny), steps=4, batch_size=8, evaluate_every=2, precision="float32"))
    live, later = (TrainingMonitor("run", 8) for _ in range(2))
    first = live.watch(lambda on_step: train(store, recipe, corpus, dev, label=None, on_step=on_step), "live", tmp_path)
    assert [step.step for step in live.steps] == [1, 2, 3, 4] and live.history == first.history
    for row, (begin, end) in zip(first.history, ((0, 2), (2, 4)), strict=True):
        assert row["loss"] == pytest.approx(np.mean([step.losses["loss"] for step in live.steps[begin:end]]))
    assert f"dev {first.history[-1]['dev']:.2f}" in capsys.readouterr().out and (tmp_path / "live.png").is_file()

    second = later.watch(lambda on_step: train(store, recipe, corpus, dev, label=None, on_step=on_step), "later")
    assert second.folder == first.folder and later.steps == []
    assert (
        "loaded from the store" in later.words.value and f"Loss {first.history[-1]['loss']:.3f}," in later.words.value
    )
    assert later.controls["smoothing"].disabled


def test_with_a_front_end_it_is_shown_before_the_run_begins(
    monitor: TrainingMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distillcse_kit.explorers import training_monitor

    monkeypatch.delenv(HEADLESS, raising=False)
    order: list[object] = []
    monkeypatch.setattr(training_monitor, "display", order.append)
    monkeypatch.setattr(base, "display", lambda *_: pytest.fail("shown twice"))

    def stopped(_: object) -> None:
        order.append("trained")
        raise Cancelled

    with pytest.raises(Cancelled):
        monitor.watch(stopped, "name")  # type: ignore[arg-type]
    assert order == [monitor.box, "trained"]


def test_values_outside_their_range_are_refused(monitor: TrainingMonitor) -> None:
    for value in (0, 51):
        with pytest.raises(KitError, match=f"smoothing is {value}"):
            monitor.smoothing = value
    with pytest.raises(KitError, match="batch_size is 1"):
        TrainingMonitor("run", 1)
