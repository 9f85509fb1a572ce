"""Intervals over shared teachers: against the paired t test, a mixed model of statsmodels, and planted effects."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import seed_interval, verdict
from distillcse_kit.evaluation.shared_teachers import SharedTeachers, difference_by_set, variance_of_sets
from distillcse_kit.evaluation.statistics import compare_with
from distillcse_kit.evaluation.student_layout import Layout, Student, enough_alone

TABLES = 2_000
# Variances of the parts: teacher, teacher by number, teacher by row, draw, rest. The first is about the lab's own.
TRUTHS = {
    "lab": (0.049, 0.049, 0.003, 0.027, 0.072),
    "teachers act afresh in each row": (0.0, 0.0, 0.08, 0.054, 0.045),
    "teachers act afresh for each number": (0.0, 0.12, 0.0, 0.054, 0.045),
    "teachers do the same to all": (0.1, 0.0, 0.0, 0.05, 0.045),
    "teachers do not matter": (0.0, 0.0, 0.0, 0.1, 0.08),
    "the rest is nothing": (0.05, 0.05, 0.05, 0.0, 0.001),
}


def of(m: int, n: int = 16) -> list[Student]:
    """Student s learns from the set of m teachers that holds teacher s, and draws from seed 100 + s."""
    return [Student(tuple(range(s // m * m, s // m * m + m)), 100 + s) for s in range(n)]


LAB = {f"{m}{shuffle}": of(m) for m in (1, 4, 8, 16) for shuffle in ("", " Group-P")}


def planted(
    draw: np.random.Generator, rows: dict[str, list[Student]], variances: Sequence[float], tables: int = TABLES
) -> np.ndarray:
    """Scores [tables, N] with mean 0, effect by effect, as the docstring of ``Layout`` has them."""
    a, by_number, by_row, b, rest = np.sqrt(variances)
    teacher, seeds = draw.normal(0, a, (tables, 16)), draw.normal(0, b, (tables, 16))
    numbers = {len(s.teachers): draw.normal(0, by_number, (tables, 16)) for students in rows.values() for s in students}
    found = []
    for students in rows.values():
        own = draw.normal(0, by_row, (tables, 16))
        for student in students:
            effects = (teacher + numbers[len(student.teachers)] + own)[:, list(student.teachers)].mean(axis=1)
            found.append(effects + seeds[:, student.draw - 100] + draw.normal(0, rest, tables))
    return np.stack(found, axis=1)


def one_table(rows: dict[str, list[Student]], scores: np.ndarray) -> dict[str, dict[Student, float]]:
    values = iter(scores.tolist())
    return {row: {student: next(values) for student in students} for row, students in rows.items()}


def covered(layout: Layout, weights: np.ndarray, scores: np.ndarray) -> float:
    found = layout.estimate(weights, scores)
    half_width = stats.t.ppf(0.975, found.freedom) * np.sqrt(found.variance)
    return float((np.abs(found.value) <= half_width).mean())


# ---------------------------------------------------------------- coverage


@pytest.mark.parametrize("truth", TRUTHS)
def test_95_percent_intervals_hold_the_truth_with_shared_teachers(truth: str) -> None:
    """At least 95 of 100, within two standard errors of the simulation, for all rows: never too narrow."""
    layout = Layout(LAB)
    scores = planted(np.random.default_rng(1), LAB, TRUTHS[truth])
    for row in LAB:
        assert covered(layout, layout.weights(row), scores) >= 0.94
        for baseline in ("1", "4 Group-P"):
            if row != baseline:
                assert covered(layout, layout.weights(row, baseline), scores) >= 0.94


def test_a_paired_t_interval_over_students_is_too_narrow() -> None:
    """What the model is for: if averaged teachers act in their own way, paired students hold the truth in under 92%."""
    scores = planted(np.random.default_rng(2), LAB, TRUTHS["teachers act afresh for each number"])
    differences = scores[:, 6 * 16 : 7 * 16] - scores[:, :16]  # 16 teachers, not shuffled, minus one teacher
    half_width = stats.t.ppf(0.975, 15) * stats.sem(differences, axis=1)
    assert (np.abs(differences.mean(axis=1)) <= half_width).mean() < 0.92


def test_the_old_layout_with_teachers_from_0_on_covers_now() -> None:
    """Five students of teachers 0 to M - 1 each: intervals over seeds held the mean over teachers in 68%."""
    rows = {"1": of(1)} | {str(m): [Student(tuple(range(m)), 100 + s) for s in range(5)] for m in (2, 4, 8, 16)}
    layout, draw = Layout(rows), np.random.default_rng(3)
    scores = planted(draw, rows, TRUTHS["teachers do the same to all"])
    assert covered(layout, layout.weights("4"), scores) >= 0.94
    alone = scores[:, layout.slices["4"]]
    half_width = stats.t.ppf(0.975, 4) * stats.sem(alone, axis=1)
    assert (np.abs(alone.mean(axis=1)) <= half_width).mean() < 0.93


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("m", [4, 8])
def test_an_interval_by_set_is_exact_and_wide(truth: str, m: int) -> None:
    rows = {"1": of(1), "m": of(m)}
    scores = planted(np.random.default_rng(m), rows, TRUTHS[truth], 600)
    hits = 0
    for row in scores:
        table = one_table(rows, row)
        found = difference_by_set(table["m"], table["1"])
        hits += found.low <= 0 <= found.high
    assert 0.925 <= hits / 600 <= 0.975


def test_estimates_of_the_parts_are_unbiased() -> None:
    truth = TRUTHS["lab"]
    found = Layout(LAB).variances(planted(np.random.default_rng(4), LAB, truth))
    assert (np.abs(found.mean(axis=0) - truth) < 4 * found.std(axis=0, ddof=1) / math.sqrt(TABLES)).all()


# ---------------------------------------------------------------- against scipy and statsmodels


def test_two_rows_of_one_teacher_each_give_the_paired_t_interval() -> None:
    scores = planted(np.random.default_rng(5), LAB, TRUTHS["lab"], 1)[0] + 56
    table = one_table(LAB, scores)
    found = SharedTeachers(table).difference("1 Group-P", "1", 0.9)
    test = stats.ttest_rel(scores[16:32], scores[:16])
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.9)), rel=1e-12)
    assert (found.p_value, found.freedom, found.n) == (pytest.approx(test.pvalue), 15, 16)
    assert (found.teachers, found.sets) == (16, 16)
    alone = SharedTeachers(table).mean("1")
    assert (alone.low, alone.high) == (seed_interval(scores[:16]).low, seed_interval(scores[:16]).high)
    assert alone.p_value == pytest.approx(stats.ttest_1samp(scores[:16], 0).pvalue)


def test_the_model_itself_reduces_to_the_paired_t_interval() -> None:
    """Also without the short way: on these two rows alone it has the same variance, and 15 degrees of freedom."""
    rows = {"a": of(1), "b": of(1)[::-1]}
    scores = np.random.default_rng(6).normal(56, 1, 32)
    layout = Layout(rows)
    found = layout.estimate(layout.weights("a", "b"), scores)
    differences = scores[:16] - scores[16:][::-1]
    assert float(found.variance) == pytest.approx(stats.sem(differences) ** 2)
    assert float(found.freedom) == pytest.approx(15)


def test_rows_of_four_teachers_agree_with_statsmodels() -> None:
    """REML of a balanced table is the analysis of variance, as long as no variance is below 0; so is ours."""
    rows = {"a": of(4), "b": of(4)}
    scores = planted(np.random.default_rng(8), rows, (1.0, 0.0, 1.5, 1.0, 0.3), 1)[0]
    frame = pd.DataFrame(
        [
            {
                "score": score,
                "row": row,
                "set": str(s.teachers),
                "cell": f"{row} {s.teachers}",
                "seed": s.draw,
                "all": 1,
            }
            for (row, s), score in zip(((row, s) for row in rows for s in rows[row]), scores, strict=True)
        ]
    )
    parts = {"set": "0 + C(set)", "cell": "0 + C(cell)", "seed": "0 + C(seed)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixedLM.from_formula("score ~ C(row)", frame, groups="all", vc_formula=parts).fit(reml=True)
    assert model.vcomp.min() > 0.01  # else REML and analysis of variance differ
    found = SharedTeachers(one_table(rows, scores)).difference("b", "a")
    assert found.mean == pytest.approx(model.params["C(row)[T.b]"])
    error = found.half_width / stats.t.ppf(0.975, found.freedom)
    assert error == pytest.approx(model.bse["C(row)[T.b]"], rel=1e-3)
    assert found.freedom == pytest.approx(3)  # four sets
    by_set = difference_by_set(*(one_table(rows, scores)[row] for row in ("b", "a")))
    assert (found.low, found.high) == pytest.approx((by_set.low, by_set.high))


def test_satterthwaites_freedom_is_two_squared_means_over_the_variance() -> None:
    """By simulation: 2 E[v]^2 / Var[v] of the estimated variance, before parts below 0 are cut off."""
    layout, weights = Layout(LAB), Layout(LAB).weights("4", "1")
    scores = planted(np.random.default_rng(9), LAB, (0.3, 0.3, 0.3, 0.3, 0.3), 6_000)
    share = [weights @ part @ weights for part in layout.parts.values()]
    variance = layout.variances(scores) @ share
    by_simulation = 2 * variance.mean() ** 2 / variance.var()
    assert np.median(layout.estimate(weights, scores).freedom) == pytest.approx(by_simulation, rel=0.15)


def test_a_mean_of_sets_is_the_plain_mean_and_a_swap_turns_the_sign() -> None:
    scores = planted(np.random.default_rng(10), LAB, TRUTHS["lab"], 1)[0]
    table = SharedTeachers(one_table(LAB, scores))
    there, back = table.difference("16", "1"), table.difference("1", "16")
    assert there.mean == pytest.approx(scores[96:112].mean() - scores[:16].mean())
    assert (there.low, there.high, there.p_value) == pytest.approx((-back.high, -back.low, back.p_value))
    assert (there.sets, there.teachers) == (1, 16)
    narrow, wide = table.difference("16", "1", 0.5), table.difference("16", "1", 0.99)
    assert narrow.half_width < there.half_width < wide.half_width
    assert table.difference("16", "1", 1 - there.p_value).low * table.difference("16", "1", 1 - there.p_value).high == (
        pytest.approx(0, abs=1e-9)
    )  # an interval of confidence 1 - p ends at 0
    assert "16 seeds" in verdict(there, "A", "B")


def test_a_table_of_rows_of_one_teacher_is_compared_as_before() -> None:
    rows = {name: of(1) for name in "abc"}
    scores = planted(np.random.default_rng(11), rows, TRUTHS["lab"], 1)[0]
    lists = {name: scores[i * 16 : i * 16 + 16].tolist() for i, name in enumerate("abc")}
    found, before = SharedTeachers(one_table(rows, scores)).compare("a"), compare_with(lists, "a")
    assert list(found) == list(before)
    for row in found:
        assert (found[row].adjusted, found[row].p_value) == (before[row].adjusted, before[row].p_value)
        assert found[row].difference.low == before[row].difference.low
    assert list(SharedTeachers(one_table(rows, scores)).compare("a", ["c"])) == ["c"]


# ---------------------------------------------------------------- whether teachers add up


def test_the_variance_of_sets_covers_where_teachers_add_up() -> None:
    truth = (0.05, 0.03, 0.02, 0.06, 0.04)
    for m in (1, 4, 8):
        scores = planted(np.random.default_rng(m), {"row": of(m)}, truth, 400)
        found = [variance_of_sets(dict(zip(of(m), row.tolist(), strict=True))) for row in scores]
        assert 0.92 <= np.mean([one.low <= sum(truth) <= one.high for one in found]) <= 0.98
        assert np.mean([one.variance for one in found]) == pytest.approx(sum(truth), rel=0.25)
        assert found[0].freedom == 16 // m - 1


def test_the_variance_of_sets_grows_where_a_set_has_an_effect_of_its_own() -> None:
    draw = np.random.default_rng(12)
    found = {}
    for m in (1, 4):
        sets = draw.normal(0, 1, (200, 16 // m)).repeat(m, axis=1)
        found[m] = np.mean([variance_of_sets(dict(zip(of(m), r.tolist(), strict=True))).variance for r in sets])
    assert found[4] == pytest.approx(4 * found[1], rel=0.3)


# ---------------------------------------------------------------- what gives no interval


def test_one_set_of_teachers_alone_shows_nothing_of_teachers() -> None:
    table = one_table({"1": of(1), "16": of(16)}, np.random.default_rng(0).normal(size=32))
    with pytest.raises(KitError, match="add rows with several sets of teachers"):
        SharedTeachers(table).difference("16", "1")
    with pytest.raises(KitError, match="add rows with several sets of teachers"):
        SharedTeachers({"16": table["16"]}).mean("16")


def test_what_is_no_table_is_one_sentence() -> None:
    student = Student((0,), 1)
    for rows, message in (
        ({}, "There is no row"),
        ({"a": []}, "a has no student"),
        ({"a": [Student((), 1)]}, "name the teachers"),
        ({"a": [student, student]}, "the same student twice"),
        ({"a": [Student((0, 1), 1), Student((1, 0), 1)]}, "the same student twice"),
    ):
        with pytest.raises(KitError, match=message):
            Layout(rows)
    with pytest.raises(KitError, match="not finite; look for a failed run"):
        SharedTeachers({"a": {student: math.nan}})
    table = SharedTeachers(one_table({"a": of(1), "b": of(4)}, np.arange(32.0)))
    with pytest.raises(KitError, match="There is no row 'c'; choose one of a, b"):
        table.difference("a", "c")
    with pytest.raises(KitError, match="cannot be compared with itself"):
        table.difference("a", "a")
    for confidence in (0, 1, math.nan):
        with pytest.raises(KitError, match="it must lie in"):
            table.difference("b", "a", confidence)


def test_sets_that_are_tied_together_are_refused() -> None:
    rows = one_table({"1": of(1), "4": of(4), "16": of(16)}, np.arange(48.0))
    with pytest.raises(KitError, match="1 sets of teachers give no interval"):
        difference_by_set(rows["16"], rows["1"])
    with pytest.raises(KitError, match="swap the two rows"):
        difference_by_set(rows["1"], rows["4"] | rows["1"])
    with pytest.raises(KitError, match="no student in the other row"):
        difference_by_set(rows["4"], {Student((0,), 100): 1.0})
    tied = {Student(s.teachers, 100 + s.draw % 4): 1.0 for s in rows["4"]}
    with pytest.raises(KitError, match="share a draw"):
        difference_by_set(tied, rows["1"])
    cancels = {Student((s.teachers[0],), s.draw): 2.0 for s in tied}
    assert difference_by_set(tied, cancels).mean == -1  # the same draws on both sides of each set
    for wrong in (rows["16"], rows["4"] | rows["1"], {s: 1.0 for s in of(4) if s.draw % 4}):
        with pytest.raises(KitError, match="disjoint sets of M teachers, with M students"):
            variance_of_sets(wrong)


def test_scores_that_are_all_equal_differ_by_nothing() -> None:
    table = SharedTeachers({row: dict.fromkeys(students, 50.0) for row, students in LAB.items()})
    found = table.difference("16", "1")
    assert found.mean == 0 and found.half_width == pytest.approx(0, abs=1e-9) and found.p_value == 1


def test_only_rows_that_share_nothing_are_enough_alone() -> None:
    assert enough_alone(of(1)) and enough_alone(of(1), of(1)[::-1])
    assert not enough_alone(of(4)) and not enough_alone(of(1), of(1, 15)) and not enough_alone(of(1, 1))
    assert not enough_alone([Student((0,), 1), Student((1,), 1)])
