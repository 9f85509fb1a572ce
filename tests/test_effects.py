"""Effects by data set: the paired t tests of scipy, corrected for the whole table, and false ones in at most 5%."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.effects import Effects, effects, effects_by_student
from distillcse_kit.evaluation.shared_teachers import SharedTeachers
from distillcse_kit.evaluation.statistics import compare_with, holm
from distillcse_kit.evaluation.student_layout import Student
from distillcse_kit.experiments.sweep_result import shipped_sweep

SETS = ("dev", "sts12", "stsb")


def drawn(draw: np.random.Generator, rows: str = "abcd", seeds: int = 16) -> dict[str, dict[str, list[float]]]:
    """Scores without any effect. A seed moves all data sets of all rows, and each row's data sets together."""
    shared = 56 + draw.normal(0, 0.5, seeds)
    found = {}
    for row in rows:
        own = draw.normal(0, 0.3, seeds)
        found[row] = {name: (shared + own + draw.normal(0, 0.4, seeds)).tolist() for name in SETS}
    return found


def test_cells_are_scipys_paired_tests_corrected_together() -> None:
    table = drawn(np.random.default_rng(0))
    found = effects(table, "b")
    assert found.rows == ["a", "c", "d"] and found.datasets == list(SETS)
    tests = {cell: stats.ttest_rel(table[cell[0]][cell[1]], table["b"][cell[1]]) for cell in found.cells}
    adjusted = holm([test.pvalue for test in tests.values()])
    for (cell, test), p_value in zip(tests.items(), adjusted, strict=True):
        one, interval = found.cells[cell], test.confidence_interval(0.95)
        assert (one.difference.low, one.difference.high) == pytest.approx((interval.low, interval.high))
        assert one.p_value == pytest.approx(test.pvalue) and one.adjusted == pytest.approx(p_value)
    assert list(effects(table, "b", ["stsb"]).cells) == [("a", "stsb"), ("c", "stsb"), ("d", "stsb")]
    one_set = compare_with({row: columns["stsb"] for row, columns in table.items()}, "b")
    assert {row: one for (row, _), one in effects(table, "b", ["stsb"]).cells.items()} == one_set


def test_without_effects_a_whole_table_claims_one_in_at_most_5_percent() -> None:
    """Nine cells, 600 tables. Tested alone, far more tables would hold a false claim."""
    draw, claims, alone, hits = np.random.default_rng(1), 0, 0, 0
    for _ in range(600):
        found = effects(drawn(draw), "a")
        claims += bool(found.decided)
        alone += min(one.p_value for one in found.cells.values()) < 0.05
        hits += sum(one.difference.low <= 0 <= one.difference.high for one in found.cells.values())
    assert claims <= 30 + 2 * math.sqrt(600 * 0.05 * 0.95)
    assert alone > 100
    assert 0.935 <= hits / (9 * 600) <= 0.965  # each cell's interval is its own


def test_a_planted_effect_on_one_data_set_is_found_there_only() -> None:
    draw, found = np.random.default_rng(2), np.zeros(2)
    for _ in range(100):
        table = drawn(draw)
        table["c"]["stsb"] = [score + 0.9 for score in table["c"]["stsb"]]
        decided = effects(table, "a").decided
        found += ("c", "stsb") in decided, any(cell != ("c", "stsb") for cell in decided)
    assert found[0] >= 90 and found[1] <= 10


def test_the_sentence_counts() -> None:
    table = drawn(np.random.default_rng(3))
    table["c"] = {name: [score + 3 for score in scores] for name, scores in table["b"].items()}
    found = effects(table, "b")
    alone = sum(one.p_value < 0.05 for one in found.cells.values())
    assert [cell for cell in found.decided if cell[0] == "c"] == [("c", name) for name in SETS]
    assert found.statement() == (
        f"{len(found.decided)} of 9 differences stay significant after correction for all 9 (5% level, Holm). "
        f"Tested alone, {alone} of them would be significant."
    )
    one = Effects({("c", "dev"): effects(table, "b", ["dev"]).cells["c", "dev"]})
    assert one.statement() == "The one difference is significant (5% level)."
    with_one = effects({"b": table["b"], "c": table["c"] | {"dev": table["b"]["dev"]}}, "b", ["dev", "stsb"])
    assert with_one.statement().startswith("1 of 2 differences stays significant")
    assert with_one.lines() == [
        "c  dev   +0.00 [+0.00, +0.00]   p = 1.000   (not significant)",
        "c  stsb  +3.00 [+3.00, +3.00]   p < 0.001",
    ]


def test_students_that_share_teachers_are_corrected_over_all_data_sets() -> None:
    def of(m: int) -> list[Student]:
        return [Student(tuple(range(s // m * m, s // m * m + m)), s) for s in range(16)]

    draw = np.random.default_rng(4)
    tables = {
        name: SharedTeachers(
            {f"{m}{x}": dict(zip(of(m), draw.normal(0, 1, 16).tolist(), strict=True)) for m in (1, 4) for x in "ab"}
        )
        for name in SETS
    }
    found = effects_by_student(tables, "1a")
    assert list(found.cells) == [(row, name) for row in ("1b", "4a", "4b") for name in SETS]
    for (row, name), one in found.cells.items():
        assert one.difference == tables[name].difference(row, "1a")
        assert one.p_value == tables[name].difference(row, "1a").p_value
    assert [one.adjusted for one in found.cells.values()] == holm([one.p_value for one in found.cells.values()])


def test_a_sweeps_effects_are_those_of_its_table() -> None:
    result = shipped_sweep("smoothing")
    assert result is not None
    found = result.effects()
    assert found == effects(result.table, "Group-P", [c for c in result.table["Group-P"] if c != "average"])
    assert set(result.effects(["stsb", "dev"]).datasets) == {"stsb", "dev"}
    curves = shipped_sweep("figure2")
    assert curves is not None
    for row, _ in curves.effects().cells:
        assert curves.baseline(row) != row


def test_what_cannot_be_compared_is_one_sentence() -> None:
    table = drawn(np.random.default_rng(5))
    with pytest.raises(KitError, match="There is no row 'x'; choose one of a, b, c, d"):
        effects(table, "x")
    with pytest.raises(KitError, match="a has no scores on sts13"):
        effects(table, "a", ["sts13"])
    del table["c"]["dev"]
    with pytest.raises(KitError, match="c has no scores on dev"):
        effects(table, "a")
    with pytest.raises(KitError, match="cannot be paired"):
        effects({"a": {"dev": [1.0, 2.0]}, "b": {"dev": [1.0]}}, "a")
