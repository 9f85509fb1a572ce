"""The measurement beside a busy program: the program comes and goes, and the ratio is of the times with and without."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from distillcse_kit.bench import load
from distillcse_kit.bench.load import busy_program, measure_load, slowdown
from distillcse_kit.bench.workshop import Extent


def test_a_busy_program_works_until_the_end() -> None:
    with busy_program() as program:
        process = psutil.Process(program.pid)
        before = sum(process.cpu_times()[:2])
        while sum(process.cpu_times()[:2]) < before + 0.2:  # the time limit of a test ends this if it does nothing
            assert program.poll() is None
    assert not psutil.pid_exists(program.pid)


def test_it_goes_when_the_work_fails() -> None:
    with pytest.raises(ZeroDivisionError), busy_program() as program:
        _ = 1 / 0
    assert not psutil.pid_exists(program.pid)


def test_the_ratio_is_that_of_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that says 2 seconds alone, and 3, 4, 5 beside the program."""
    beside = {"it": False}
    loaded = itertools.count(3)

    @contextmanager
    def pretended() -> Iterator[None]:
        beside["it"] = True
        yield
        beside["it"] = False

    monkeypatch.setattr(load, "busy_program", pretended)
    monkeypatch.setattr(load, "calls_for", lambda work: 7)
    monkeypatch.setattr(load, "seconds", lambda work, times: float(next(loaded)) if beside["it"] else 2.0)
    found = slowdown(lambda: None, 3)
    assert (found.median, found.low, found.high, found.repeats) == (2.0, 1.75, 2.25, 3)


def test_every_work_has_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillcse_kit.bench.measure.SHORTEST", 0.01)
    lines: list[str] = []
    found = measure_load(Extent(1, 1, 200), lines.append)
    assert len(lines) == len(found) == 14
    assert all(line.startswith(what) for line, what in zip(lines, found, strict=True))
    assert all(figure["median"] > 0 and figure["repeats"] == 1 for figure in found.values())
