"""The published numbers agree with each other; shipped runs are read as they were written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.config import PROFILES
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import PAPER_TASKS
from distillcse_kit.experiments.published import (
    OTHER_SYSTEMS,
    TABLE_1,
    TABLE_2,
    TABLE_4,
    TABLE_5,
    systems_above,
    table_4,
)
from distillcse_kit.experiments.shipped import BUILTIN_RUN, REAL_RUN, ShippedRun, markdown_table, shipped_run, write_run
from distillcse_kit.training.named_recipes import METHODS

MODELS = ["BERT-base", "BERT-large", "RoBERTa-base", "RoBERTa-large"]
# The kit's own addition is not in the paper; all its other rows have the paper's names.
PAPER_METHODS = ["SimCSE", *(title for name, title in METHODS.items() if name != "group_mean"), "DistillCSE, round 2"]


@pytest.mark.parametrize("row", TABLE_4, ids=lambda row: f"{row.model} {row.method}")
def test_an_average_is_that_of_its_row(row) -> None:
    """Printed scores and averages are rounded to 0.005 each, so they may differ by a little more than 0.005."""
    assert len(row.scores) == len(PAPER_TASKS)
    assert all(60 < score < 90 for score in row.scores)
    assert math.fsum(row.scores) / 7 == pytest.approx(row.average, abs=0.01)
    assert row.mean_over(PAPER_TASKS) == pytest.approx(row.average, abs=0.01)


def test_rows_are_in_the_order_of_the_paper() -> None:
    assert list(dict.fromkeys(row.model for row in TABLE_4)) == MODELS
    for model in MODELS:
        methods = [row.method for row in TABLE_4 if row.model == model]
        assert methods == [name for name in PAPER_METHODS if name in methods]  # no other name, the paper's order
        averages = [row.average for row in TABLE_4 if row.model == model]
        assert averages == sorted(averages)
    assert list(table_4()) == PAPER_METHODS


def test_a_mean_over_some_tasks() -> None:
    simcse = table_4("BERT-base")["SimCSE"]
    assert simcse.mean_over(["stsb"]) == 76.85
    assert simcse.mean_over(["sickr", "sts12", "kit"]) == pytest.approx((72.23 + 68.40) / 2)
    assert math.isnan(simcse.mean_over(["builtin", "kit"]))


def test_an_unknown_encoder_is_one_sentence() -> None:
    with pytest.raises(KitError, match="choose one of BERT-base, BERT-large"):
        table_4("BERT-tiny")


def test_table_5_agrees_with_table_4() -> None:
    rows = table_4("BERT-base")
    for method in ("vanilla distillation", "+ teacher components"):
        assert TABLE_5[method] == rows[method].average
    assert TABLE_5["raw teacher ensemble"] < TABLE_5["vanilla distillation"]


def test_the_text_claims_other_gains_than_the_tables_give() -> None:
    """The paper's text says 2.08 over vanilla and 2.87 over SimCSE; its own Table 4 gives 2.06 and 2.84."""
    rows = table_4("BERT-base")
    assert rows["DistillCSE"].average - rows["vanilla distillation"].average == pytest.approx(2.06, abs=0.001)
    assert rows["DistillCSE"].average - rows["SimCSE"].average == pytest.approx(2.84, abs=0.001)


def test_distillcse_is_not_the_best_on_bert_base() -> None:
    assert list(OTHER_SYSTEMS.values()) == sorted(OTHER_SYSTEMS.values())
    assert OTHER_SYSTEMS["SimCSE"] == table_4("BERT-base")["SimCSE"].average
    above = systems_above(table_4("BERT-base")["DistillCSE, round 2"].average)
    assert above == ["RankCSE-ListMLE", "DebCSE", "RankEncoder", "RankCSE-ListNet"]
    assert systems_above(100) == []


def test_table_1_has_the_coefficients_that_the_text_needs() -> None:
    """7% against 24%: why the paper's standard deviations cannot be compared on their own."""
    ratios = {name: round(abs(std / mean), 2) for name, (mean, std) in ((k, v["training"]) for k, v in TABLE_1.items())}
    assert ratios == {"1st order": 0.07, "2nd order": 0.24}
    assert 0.5 * math.log(2 * math.pi * math.e * TABLE_2["1st order"] ** 2) == pytest.approx(-9.3160, abs=2e-4)
    assert 0.5 * math.log(2 * math.pi * math.e * TABLE_2["2nd order"] ** 2) == pytest.approx(-1.7853, abs=2e-3)


def test_a_run_comes_back_with_its_rows_in_order(tmp_path: Path) -> None:
    assert shipped_run(tmp_path / "none.json") is None
    run = ShippedRun({"seeds": 5}, "distillcse course", {"vanilla": {"stsb": [50.0]}, "base": {"stsb": [51.0]}})
    write_run(tmp_path / "run.json", run)
    found = shipped_run(tmp_path / "run.json")
    assert found == run and list(found.table) == ["vanilla", "base"]


PIECES = ["{", "[]", '{"settings": {}, "table": {}}', '{"settings": {}, "rows": [], "table": {}}']


@pytest.mark.parametrize("text", PIECES)
def test_a_damaged_run_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "real.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KitError, match=r"real\.json"):
        shipped_run(path)


@pytest.mark.parametrize("path", [REAL_RUN, BUILTIN_RUN], ids=["real", "builtin"])
def test_a_shipped_run_has_the_settings_that_the_code_has_now(path: Path) -> None:
    run, profile = shipped_run(path), PROFILES["laptop"]
    assert run is not None
    settings = {name: run.settings[name] for name in ("seeds", "teachers", "steps", "learning_rate")}
    assert settings == {
        "seeds": profile.seeds,
        "teachers": profile.teachers,
        "steps": profile.training.steps,
        "learning_rate": profile.training.learning_rate,
    }
    for title in METHODS.values():
        assert all(len(scores) == profile.seeds >= 5 for scores in run.table[title].values())
    assert all(math.isfinite(score) for row in run.table.values() for scores in row.values() for score in scores)


def test_markdown_shows_mean_and_interval_as_scipy_has_them() -> None:
    values = [61.2, 60.1, 62.7, 61.9]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    lines = markdown_table({"base": {"stsb": [50.0]}, "ours": {"stsb": values}}).splitlines()
    assert lines[2] == "| base | 50.00 |"
    assert lines[3] == f"| ours | {np.mean(values):.2f} ± {(high - low) / 2:.2f} |"
