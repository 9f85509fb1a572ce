"""What the lab's rows would find: effects of a stated size, 90 times of 100, and false ones in at most 5 of 100."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.config import profile_named
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.planted_effects import PlantedEffects, Scatter, plant
from distillcse_kit.evaluation.power import detectable_difference
from distillcse_kit.evaluation.shared_teachers import SharedTeachers
from distillcse_kit.evaluation.statistics import holm
from distillcse_kit.evaluation.student_layout import Layout, Student
from distillcse_kit.experiments.students import scores_by_student, student_of
from distillcse_kit.experiments.sweep_result import shipped_sweep
from distillcse_kit.experiments.sweeps import sweep_named
from distillcse_kit.training.named_recipes import group_p, vanilla
from distillcse_kit.training.named_recipes import teacher as simcse_teacher
from distillcse_kit.training.recipe import First, These

LAPTOP = profile_named("laptop")


def of(m: int) -> list[Student]:
    """Student s learns from the set of m teachers that holds teacher s, and draws from seed 100 + s."""
    return [Student(tuple(range(s // m * m, s // m * m + m)), 100 + s) for s in range(16)]


LAB = Layout({f"{m}{shuffle}": of(m) for m in (1, 4, 8, 16) for shuffle in ("", " Group-P")})


def shipped() -> SharedTeachers:
    """Four-set averages of the shipped rows with 16 seeds, and of the shipped ensembles."""
    found: dict[str, dict[Student, float]] = {}
    for name in ("ensembles", "smoothing"):
        sweep, result = sweep_named(name), shipped_sweep(name)
        assert result is not None
        found |= {
            f"{name}: {row}": scores
            for row, scores in scores_by_student(result.table, sweep, LAPTOP, "average").items()
            # its rows of one teacher are runs of the other sweep
            if name == "smoothing" or max(len(student.teachers) for student in scores) > 1
        }
    return SharedTeachers(found)


@pytest.fixture(scope="module")
def lab() -> Scatter:
    return Scatter.of(shipped())


# ---------------------------------------------------------------- the lab's own scatter


def test_the_scatter_of_the_shipped_rows_is_that_of_their_scores(lab: Scatter) -> None:
    """Its parts make up the variance of a row of one teacher, and of the paired differences of two."""
    rows = [list(scores.values()) for row, scores in shipped().table.items() if row.startswith("smoothing")]
    total = math.sqrt(sum(d**2 for d in astuple(lab)))
    assert total == pytest.approx(np.sqrt(np.var(rows, axis=1, ddof=1).mean()), rel=0.2)
    own = math.sqrt(2 * (lab.teacher_by_row**2 + lab.rest**2))
    differences = [np.subtract(rows[a], rows[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert own == pytest.approx(np.sqrt(np.var(differences, axis=1, ddof=1).mean()), rel=0.2)


@pytest.mark.parametrize("row", ["1 Group-P", "4", "8", "16", "16 Group-P"])
def test_an_effect_of_the_stated_size_is_found_and_none_is_claimed_without(lab: Scatter, row: str) -> None:
    """Group-P over vanilla, and averages of M teachers over one, alone: the stated size is below 0.6 points."""
    lots = PlantedEffects(LAB, "1", lab, [row])
    size = lots.smallest(row)
    fresh = PlantedEffects(LAB, "1", lab, [row], tables=2_000, seed=1)  # not the tables that the size was chosen on
    assert size < 0.6
    assert fresh.chance(row, size) >= 0.9 - 3 * math.sqrt(0.09 / 2_000) - 3 * math.sqrt(0.09 / 1_000)
    assert fresh.chance(row, 1.1 * size) >= 0.9
    assert fresh.chance(row, 0.5 * size) < 0.7
    assert fresh.chance(row, -size) == pytest.approx(fresh.chance(row, size), abs=0.03)
    assert fresh.false_claims() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2_000)


def test_a_family_of_rows_after_holm(lab: Scatter) -> None:
    """Seven rows compared with one teacher, not shuffled: one effect among them is found, none is claimed without."""
    family = PlantedEffects(LAB, "1", lab)
    assert len(family.rows) == 7
    assert family.false_claims() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1_000)
    for row in ("1 Group-P", "16"):
        alone, size = PlantedEffects(LAB, "1", lab, [row]).smallest(row), family.smallest(row)
        assert alone < size < 1
        assert PlantedEffects(LAB, "1", lab, seed=1).chance(row, 1.1 * size) >= 0.9


@pytest.mark.parametrize("k", [1, 5])
def test_rows_of_one_teacher_claim_in_5_percent_and_find_what_power_says(lab: Scatter, k: int) -> None:
    layout = Layout({str(row): of(1) for row in range(k + 1)})
    found = PlantedEffects(layout, "0", lab, tables=2_000)
    assert 0.03 <= found.false_claims() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2_000)
    if k == 1:
        deviation = math.sqrt(2 * (lab.teacher_by_row**2 + lab.rest**2))
        assert found.smallest("1", 0.8) == pytest.approx(detectable_difference(deviation, 16, 0.8), abs=0.02)


EXTREMES = {
    "all the teacher's": Scatter(0.4, 0, 0, 0, 0.2),
    "all the teacher's, by number": Scatter(0, 0.4, 0, 0, 0.2),
    "all the teacher's, by row": Scatter(0, 0, 0.4, 0, 0.2),
    "all the draw's": Scatter(0, 0, 0, 0.4, 0.2),
}


@pytest.mark.parametrize("case", EXTREMES)
def test_wherever_the_scatter_comes_from_no_more_than_5_percent_are_claimed(case: str) -> None:
    for row in ("4", "8", "16"):
        found = PlantedEffects(LAB, "1 Group-P", EXTREMES[case], [row], tables=2_000)
        assert found.false_claims() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2_000)


# ---------------------------------------------------------------- that it does what it says


def test_planted_scores_have_the_covariance_of_their_effects() -> None:
    """Students that share a teacher, its number or row, or a draw, by the formula of ``Layout``."""
    scatter = Scatter(0.5, 0.4, 0.3, 0.7, 0.2)
    layout = Layout({"a": [Student((0,), 0), Student((1,), 1)], "b": [Student((0, 1), 0), Student((0,), 2)]})
    scores = plant(layout, scatter, 200_000)
    a, by_number, by_row, b, rest = (d**2 for d in astuple(scatter))
    expected = np.array(
        [
            [a + by_number + by_row + b + rest, 0, a / 2 + b, a + by_number],
            [0, a + by_number + by_row + b + rest, a / 2, 0],
            [a / 2 + b, a / 2, (a + by_number + by_row) / 2 + b + rest, (a + by_row) / 2],
            [a + by_number, 0, (a + by_row) / 2, a + by_number + by_row + b + rest],
        ]
    )
    assert np.abs(np.cov(scores.T) - expected).max() < 0.01
    assert np.abs(scores.mean(axis=0)).max() < 0.01
    assert np.array_equal(plant(layout, scatter, 3, 5), plant(layout, scatter, 3, 5))
    assert not np.array_equal(plant(layout, scatter, 3, 5), plant(layout, scatter, 3, 6))


def test_claims_are_those_of_the_comparison_of_one_table() -> None:
    scatter, effects = Scatter(0.2, 0.1, 0.1, 0.2, 0.3), {"1 Group-P": 0.4, "8": -0.4}
    claimed = PlantedEffects(LAB, "1", scatter, tables=40, seed=3).claimed(effects)
    assert 0 < claimed.sum() < claimed.size
    for number, scores in enumerate(plant(LAB, scatter, 40, 3)):
        table = {
            row: dict(zip(students, (scores[LAB.slices[row]] + effects.get(row, 0)).tolist(), strict=True))
            for row, students in LAB.rows.items()
        }
        compared = SharedTeachers(table).compare("1")
        decided = [
            one.decided and (row not in effects or one.difference.mean * effects[row] > 0)
            for row, one in compared.items()
        ]
        assert claimed[number].tolist() == decided


def test_without_shared_teachers_it_is_the_paired_t_test_and_holm() -> None:
    layout = Layout({name: of(1) for name in "abc"})
    scatter = Scatter(0.3, 0, 0.1, 0.2, 0.3)
    scores = plant(layout, scatter, 50, 2).reshape(50, 3, 16)
    scores[:, 1] += 0.3
    p_values = np.stack([stats.ttest_rel(scores[:, row], scores[:, 0], axis=1).pvalue for row in (1, 2)], axis=1)
    expected = np.array([holm(row) for row in p_values]) < 0.05
    expected[:, 0] &= scores[:, 1].mean(axis=1) > scores[:, 0].mean(axis=1)
    found = PlantedEffects(layout, "a", scatter, tables=50, seed=2)
    assert np.array_equal(found.claimed({"b": 0.3}), expected)
    assert found.chance("b", 0.3) == expected[:, 0].mean()


def test_the_smallest_effect_is_the_first_that_is_found_often_enough() -> None:
    found = PlantedEffects(Layout({"a": of(1), "b": of(1)}), "a", Scatter(0, 0, 0, 0, 1.0))
    for wanted in (0.5, 0.9):
        size = found.smallest("b", wanted)
        assert found.chance("b", size) >= wanted > found.chance("b", size - 0.01)
    assert found.smallest("b", digits=1) == pytest.approx(found.smallest("b") + 0.05, abs=0.05)


def test_a_claim_of_the_wrong_sign_is_no_find() -> None:
    """Of an effect of almost nothing, about half of the claims have its sign."""
    found = PlantedEffects(Layout({"a": of(1), "b": of(1)}), "a", Scatter(0, 0, 0, 0, 1.0), tables=2_000)
    assert found.chance("b", 1e-9) + found.chance("b", -1e-9) == pytest.approx(found.false_claims())
    assert 0.01 < found.chance("b", 1e-9) < 0.04 < found.false_claims()


def test_what_cannot_be_simulated_is_one_sentence() -> None:
    scatter = Scatter(1, 0, 0, 0, 1)
    for wrong in ((0, 0, 0, 0, 0), (1, -1, 0, 0, 1), (math.nan, 0, 0, 0, 1)):
        with pytest.raises(KitError, match="is no scatter"):
            Scatter(*wrong)
    with pytest.raises(KitError, match="tables is 0"):
        plant(LAB, scatter, 0)
    with pytest.raises(KitError, match="There is no row 'x'"):
        PlantedEffects(LAB, "x", scatter)
    found = PlantedEffects(LAB, "1", scatter, ["4"], tables=5)
    with pytest.raises(KitError, match="No row '8' is compared; choose from 4"):
        found.claimed({"8": 1.0})
    with pytest.raises(KitError, match="wanted share is 1"):
        found.smallest("4", 1)


# ---------------------------------------------------------------- students of a sweep


def test_a_student_is_its_recipes_teachers_and_seed() -> None:
    plain = vanilla(LAPTOP).changed(seed=3)
    alone = student_of(plain, LAPTOP)
    assert alone == Student(tuple(one.seed for one in plain.taught_by(LAPTOP.training)), 3) and len(alone.teachers) == 1
    assert student_of(group_p(LAPTOP).changed(seed=3), LAPTOP) == alone
    assert student_of(plain.changed(teachers=First(4)), LAPTOP) == Student((0, 1, 2, 3), 3)
    named = plain.changed(teachers=These((simcse_teacher(LAPTOP).changed(seed=7), "some/model")))
    assert student_of(named, LAPTOP) == Student((7, "some/model"), 3)
    with pytest.raises(KitError, match="give the recipe of a student"):
        student_of(simcse_teacher(LAPTOP), LAPTOP)


def test_a_sweeps_column_by_student_keeps_every_score() -> None:
    result, sweep = shipped_sweep("smoothing"), sweep_named("smoothing")
    assert result is not None
    found = scores_by_student(result.table, sweep, LAPTOP, "stsb")
    assert {row: list(scores.values()) for row, scores in found.items()} == {
        row: columns["stsb"] for row, columns in result.table.items()
    }
    strong, with_teacher = shipped_sweep("strong-teacher"), sweep_named("strong-teacher")
    assert strong is not None
    students = scores_by_student(strong.table, with_teacher, LAPTOP, "stsb")
    assert list(students) == [row for row in strong.table if row.startswith("student")]  # neither base nor teacher
    with pytest.raises(KitError, match="give the profile that made them"):
        scores_by_student(result.table, sweep, profile_named("smoke"), "stsb")
