"""The figures of the tricks: each compares a step without one trick to the same step with it."""

from __future__ import annotations

import pytest

from distillcse_kit.bench import tricks
from distillcse_kit.bench.workshop import Extent
from distillcse_kit.fast.switches import Switches

NAMES = ("packing", "dropout", "threads", "sorting")


def on(switches: Switches) -> set[str]:
    return {name for name in NAMES if getattr(switches, name)}


@pytest.mark.parametrize("trick", NAMES)
def test_each_trick_is_measured_alone(trick: str) -> None:
    without, those = tricks.STEPS[trick]
    assert on(those) - on(without) == {trick} and on(without) < on(those)


def test_the_last_figure_is_all_tricks_against_none() -> None:
    without, those = tricks.STEPS["all"]
    assert on(without) == set() and on(those) == set(NAMES) and set(tricks.STEPS) == {*NAMES, "all"}


def test_every_figure_is_a_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillcse_kit.bench.measure.SHORTEST", 1e-6)
    lines: list[str] = []
    found = tricks.measure_tricks(Extent(1, 1, 128), lines.append)
    assert set(found) == {"step", "group_p", "encode"} and set(found["group_p"]) == {"64", "256", "512"}
    spreads = [*found["step"].values(), *found["group_p"].values(), found["encode"]]
    assert len(lines) == len(spreads) == 9
    assert all(spread["low"] <= spread["median"] <= spread["high"] and spread["repeats"] == 1 for spread in spreads)
