"""Intervals over teachers and batches: coverage of planted noise, and the t interval where the figure is a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from distillcse_kit import analysis
from distillcse_kit.analysis.noise_intervals import (
    agreement_figures,
    table_1_figures,
    table_2_figures,
    teacher_jackknife,
)
from distillcse_kit.errors import KitError

# Scatter of the teachers' noise (in logs), that of the batches' noise, and each teacher's shift of all its values.
TRUTHS = {
    "teachers differ in noise": (0.3, 0.0, 0.0),
    "batches differ in noise": (0.0, 0.3, 0.0),
    "teachers rate all higher or lower": (0.0, 0.0, 0.3),
    "all of it": (0.1, 0.1, 0.2),
    "nothing differs": (0.0, 0.0, 0.0),
}


def planted(draw: np.random.Generator, case: str, teachers: int = 16, batches: int = 12, items: int = 20) -> np.ndarray:
    """[M, B, P]: items that all teachers see, and each teacher's own noise of 0.5 times its and the batch's level."""
    of_teachers, of_batches, shift = TRUTHS[case]
    levels = draw.normal(0, of_teachers, (teachers, 1, 1)) + draw.normal(0, of_batches, (batches, 1))
    own = 0.5 * np.exp(levels) * draw.normal(size=(teachers, batches, items))
    return draw.normal(size=(batches, items)) + own + draw.normal(0, shift, (teachers, 1, 1))


def noise(values: np.ndarray) -> dict[str, float]:
    found = analysis.spread("planted", values)
    return {"noise": found.over_teachers, "mean": found.mean}


@pytest.mark.parametrize("case", TRUTHS)
def test_95_percent_intervals_hold_the_planted_noise(case: str) -> None:
    """The variance over teachers is 0.25 E[level^2] + shift^2, with levels that are log-normal."""
    of_teachers, of_batches, shift = TRUTHS[case]
    truth = math.sqrt(0.25 * math.exp(2 * of_teachers**2 + 2 * of_batches**2) + shift**2)
    draw, hits, batches_alone = np.random.default_rng(1), np.zeros(2), 0
    for _ in range(300):
        found = teacher_jackknife(noise, planted(draw, case))
        hits += found["noise"].low <= truth <= found["noise"].high, found["mean"].low <= 0 <= found["mean"].high
        one = found["noise"]
        batches_alone += abs(one.value - truth) <= stats.t.ppf(0.975, 11) * one.over_batches  # as it was before
    assert hits.min() >= 300 * 0.95 - 2 * math.sqrt(300 * 0.05 * 0.95)
    if "teachers" in case:
        assert batches_alone < 0.7 * 300


def test_95_percent_intervals_hold_the_agreement_of_all_teachers() -> None:
    """Teachers of unlike noise: the truth is the agreement of 40 others on many batches."""
    draw = np.random.default_rng(2)

    def cosines(teachers: int, batches: int) -> np.ndarray:
        level = 0.7 * np.exp(draw.normal(0, 0.4, (teachers, 1, 1, 1)))
        return draw.normal(size=(batches, 7, 7)) + level * draw.normal(size=(teachers, batches, 7, 7))

    truth, hits, reps = agreement_figures(4)(cosines(40, 60))["top 4"], 0, 60
    for _ in range(reps):
        found = teacher_jackknife(agreement_figures(4), cosines(5, 5))["top 4"]
        hits += found.low <= truth <= found.high
    assert hits >= reps * 0.95 - 2 * math.sqrt(reps * 0.05 * 0.95)


def test_for_a_mean_the_errors_are_those_of_the_mean() -> None:
    values = planted(np.random.default_rng(3), "all of it")
    found = teacher_jackknife(noise, values)["mean"]
    teachers, batches = stats.sem(values.mean(axis=(1, 2))), stats.sem(values.mean(axis=(0, 2)))
    assert (found.over_teachers, found.over_batches) == pytest.approx((teachers, batches))
    assert found.value == pytest.approx(values.mean())
    half_width = stats.t.ppf(0.975, 5.5) * math.sqrt(teachers**2 + batches**2)
    assert (found.low, found.high) == pytest.approx((values.mean() - half_width, values.mean() + half_width))
    by_group = teacher_jackknife(noise, values, groups=4, confidence=0.8)["mean"]
    groups = stats.sem(values.reshape(16, 4, 60).mean(axis=(0, 2)))
    assert by_group.over_batches == pytest.approx(groups)
    assert by_group.high - by_group.value == pytest.approx(stats.t.ppf(0.9, 1.5) * math.sqrt(teachers**2 + groups**2))


def test_figures_are_those_of_the_tables() -> None:
    draw = np.random.default_rng(4)
    vectors = analysis.unit(draw.normal(size=(3, 9, 12)) + 0.5 * draw.normal(size=(4, 3, 9, 12)) + 0.3)
    spreads = analysis.teacher_spread(vectors)
    found = teacher_jackknife(table_2_figures, vectors)
    assert list(found) == [f"{one.name}, {what}" for one in spreads for what in ("noise", "noise to signal")]
    assert [found[f"{one.name}, noise"].value for one in spreads] == [one.over_teachers for one in spreads]
    assert [found[f"{one.name}, noise to signal"].value for one in spreads] == [one.noise_to_signal for one in spreads]
    without = [analysis.teacher_spread(np.delete(vectors, m, axis=0))[2].over_teachers for m in range(4)]
    error = math.sqrt(3 / 4 * sum((one - np.mean(without)) ** 2 for one in without))
    assert found[f"{spreads[2].name}, noise"].over_teachers == pytest.approx(error)

    orders = [analysis.compare_orders(own, draw.normal(size=(5, 12)), draw.normal(size=(5, 12))) for own in vectors]
    first = table_1_figures(vectors)
    for number, name in enumerate(("1st order", "2nd order")):
        moments = [pair[number].train_moments for pair in orders]
        assert first[f"{name}, mean"] == pytest.approx(np.mean([one.mean for one in moments]))
        assert first[f"{name}, deviation"] == pytest.approx(np.mean([one.std for one in moments]))
    cosines = analysis.batch_cosines(vectors)
    assert agreement_figures(5)(cosines) == {"top 5": analysis.top_agreement(cosines, 5).mean}


def test_what_gives_no_interval_is_one_sentence() -> None:
    for shape, groups in (((2, 5, 3), 20), ((5, 2, 3), 20), ((5, 5, 3), 2), ((5,), 20)):
        with pytest.raises(KitError, match="at least three of each, and three groups"):
            teacher_jackknife(noise, np.zeros(shape), groups)
    for confidence in (0, 1, math.nan):
        with pytest.raises(KitError, match="it must lie in"):
            teacher_jackknife(noise, np.zeros((4, 4, 3)), confidence=confidence)
