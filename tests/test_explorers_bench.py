"""The bench of explorers moves every control and prints its times in milliseconds."""

from __future__ import annotations

import pytest

from distillcse_kit.bench import repaints as bench
from distillcse_kit.command import main as cli
from distillcse_kit.explorers import Explorer


def test_every_move_is_of_a_control_and_changes_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, make in bench.MAKERS.items():
        explorer, moves = make()
        assert {trait for trait, _ in moves} <= set(explorer.controls), name
        before, times = explorer.image.value, list(bench.repaints(explorer, moves, 2))
        assert len(times) == 2 and min(times) > 0 and explorer.image.value != before, name


def test_all_explorers_are_measured() -> None:
    made = {type(make()[0]).__name__ for make in bench.MAKERS.values()}
    assert made == {kind.__name__ for kind in Explorer.__subclasses__() if kind.__module__.startswith("distillcse_kit")}


def test_times_are_printed_beside_the_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "MAKERS", {"fast": bench.MAKERS["training monitor"], "slow": bench.MAKERS["Group-P"]})
    taken = iter([[0.01] * 19 + [0.5], [0.01] * 18 + [0.2] * 2])
    monkeypatch.setattr(bench, "repaints", lambda *_: next(taken))
    assert cli.main(["bench", "--explorers", "--quick"]) == 0
    _, fast, slow = capsys.readouterr().out.splitlines()
    assert "median    10 ms" in fast and "goal" not in fast and "longest   500 ms" in fast
    assert "95%   200 ms   (goal: 100 ms)" in slow
