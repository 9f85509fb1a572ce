"""Sweeps: what they train is what the paper varied, and what they say is what the runs scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from distillcse_kit.command import main as cli
from distillcse_kit.config import profile_named, with_changes
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.power import detectable_difference
from distillcse_kit.evaluation.statistics import compare_with
from distillcse_kit.experiments.names import SWEEP_NAMES
from distillcse_kit.experiments.sweep_design import BASE, STRONG, Analysis, Curve, Sweep
from distillcse_kit.experiments.sweep_result import (
    SweepResult,
    run_sweep,
    shipped_sweep,
    sweep_key,
    sweep_result,
    with_average,
)
from distillcse_kit.experiments.sweeps import SWEEPS, sweep_named
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.store import write_json
from distillcse_kit.training.recipe import First
from distillcse_kit.training.training_text import Corpus


def test_the_list_of_names_has_all_sweeps_in_order() -> None:
    assert tuple(SWEEPS) == SWEEP_NAMES


TRAINED = [name for name, sweep in SWEEPS.items() if isinstance(sweep, Sweep)]


@pytest.mark.parametrize("name", TRAINED)
def test_every_setting_can_be_trained(name: str) -> None:
    sweep = SWEEPS[name]
    assert isinstance(sweep, Sweep)
    recipes = sweep.recipes(profile_named("laptop"))
    assert set(sweep.published) <= set(recipes)
    assert len(set(recipes.values())) == len(recipes) > 1
    assert all(recipe.seed == 0 for recipe in recipes.values())
    # A strong teacher's students are compared with SimCSE, which needs no teacher.
    assert [label for label, one in recipes.items() if not one.is_student] == list(recipes)[
        : bool(sweep.strong_teacher)
    ]


def test_the_bands_of_table_3_cover_all_ranks_once() -> None:
    ranks = []
    sweep = SWEEPS["table3"]
    assert isinstance(sweep, Sweep)
    for label, recipe in list(sweep.recipes(profile_named("laptop")).items())[1:]:
        wanted = recipe.distillation
        assert wanted is not None and wanted.shuffle == "rank_band"
        assert label == f"ranks {wanted.band_start + 1}-{wanted.band_end}"
        ranks += range(wanted.band_start, wanted.band_end)
    assert ranks == list(range(63))  # the other sentences of a batch of 64
    assert sweep.published["ranks 1-12"] == {"average": 77.85}


def test_table_7_is_the_whole_grid_with_the_papers_choice_first() -> None:
    sweep = SWEEPS["table7"]
    assert isinstance(sweep, Sweep)
    settings = [recipe.distillation for recipe in sweep.recipes(profile_named("laptop")).values()]
    pairs = [(wanted.student_temperature, wanted.teacher_temperature) for wanted in settings if wanted]
    assert pairs[0] == (0.02, 0.01)
    assert sorted(pairs) == sorted((s, t) for s in (0.05, 0.02, 0.01) for t in (0.05, 0.02, 0.01))


def test_a_sweep_scores_the_students_of_its_settings(lab: Laboratory) -> None:
    result = run_sweep(lab, "smoothing")
    assert list(result.table) == ["Group-P", "group mean", "not shuffled"]
    for label, shuffle in (("Group-P", "group_p"), ("group mean", "group_mean"), ("not shuffled", "none")):
        students = [lab.student([lab.teacher(seed)], seed, shuffle=shuffle) for seed in range(2)]
        assert result.table[label] == lab.scores(students)
    assert result.settings == lab.describe() | {"headline": "builtin"} and "torch" in result.made["versions"]
    scores = {label: tasks["builtin"] for label, tasks in result.table.items()}
    assert result.compared("builtin") == compare_with(scores, "Group-P")


def test_settings_with_more_teachers_than_there_are_are_left_out(lab: Laboratory) -> None:
    result = run_sweep(lab, "ensembles")
    assert list(result.table) == ["1 teacher", "1 teacher, Group-P", "2 teachers", "2 teachers, Group-P"]
    both = lab.teachers()
    assert result.table["2 teachers"]["dev"] == lab.scores([lab.student(both, seed) for seed in range(2)])["dev"]
    first = lab.scores([lab.student(both[:1], seed) for seed in range(2)])["dev"]
    assert result.table["1 teacher"]["dev"] == first


def test_a_second_start_trains_nothing(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_sweep(lab, "cut")
    monkeypatch.setattr("distillcse_kit.training.run.Trainer", None)
    assert run_sweep(lab, "cut").table == first.table


def test_seeds_beyond_the_profiles_teachers_have_teachers_of_their_own(lab: Laboratory) -> None:
    lab.profile = with_changes(lab.profile, seeds=3)
    assert SWEEPS["smoothing"].seeds(lab.profile) == 3
    run_sweep(lab, "smoothing")
    student = lab.run(lab.recipe("group_p", 2))
    assert [entry["teacher"] for entry in student.about["teachers"]] == [lab.teacher(2).key]


RESULT = SweepResult(
    "cut",
    "0123",
    {"headline": "stsb"},
    {},
    {
        "cut at 1": {"dev": [70.0, 71.0, 72.0], "stsb": [1.0, 2.0, 3.0]},
        "cut at tau_t": {"dev": [60.0, 61.1, 62.0], "stsb": [1.5, 2.0, 3.0]},
    },
)


def test_the_lines_hold_means_differences_and_significance() -> None:
    first, second = RESULT.lines("dev")
    assert first.split() == ["cut", "at", "1", "71.00", "±", "2.48"]
    assert "61.03" in second and "-9.97 ± 0.14" in second and "not significant" not in second
    assert "not significant" in RESULT.lines("stsb")[1]


def test_the_tidy_table_has_a_row_for_each_score() -> None:
    tidy = RESULT.tidy()
    assert list(tidy.columns) == ["setting", "task", "seed", "value"] and len(tidy) == 12
    wide = tidy.pivot_table("value", ["setting", "task"], "seed")
    assert wide.loc[("cut at tau_t", "dev")].tolist() == [60.0, 61.1, 62.0]


def test_the_command_prints_and_writes_the_result(
    tiny: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def found(lab: Laboratory, name: str, teacher: str | None) -> SweepResult:
        assert teacher is None
        asked.append(name)
        return RESULT

    monkeypatch.setattr("distillcse_kit.experiments.sweep_result.run_sweep", found)
    files = ["--json", str(tmp_path / "cut.json"), "--csv", str(tmp_path / "cut.csv")]
    assert cli.main(["sweep", "cut", "--profile", "smoke", "--store", str(tmp_path / "store"), *files]) == 0
    printed = capsys.readouterr().out
    assert asked == ["cut"] and "where the groups are cut" in printed and "-9.97 ± 0.14" in printed
    assert "3 seeds show" in printed
    assert SweepResult.from_json(json.loads((tmp_path / "cut.json").read_text())) == RESULT
    read = pd.read_csv(tmp_path / "cut.csv")
    assert np.isclose(read[(read.setting == "cut at tau_t") & (read.task == "dev")].value.mean(), 61.0333, atol=1e-4)


def test_an_unknown_sweep_is_one_sentence() -> None:
    with pytest.raises(KitError, match="choose one of table3"):
        sweep_named("table4")


def test_a_sweep_without_a_second_row_is_refused() -> None:
    with pytest.raises(KitError, match="at least two rows"):
        Sweep("Alone", "", lambda plain: {"a": plain}).recipes(profile_named("laptop"))
    with pytest.raises(KitError, match="this profile leaves 1"):  # the other row needs more teachers than there are
        Sweep("Many", "", lambda plain: {"a": plain, "b": plain.changed(teachers=First(99))}).recipes(
            profile_named("laptop")
        )


def test_some_sweeps_have_as_many_seeds_as_teachers() -> None:
    laptop = profile_named("laptop")
    assert [SWEEPS[name].seeds(laptop) for name in ("smoothing", "cut", "table3", "table8")] == [16, 16, 5, 5]


@pytest.mark.parametrize("name", ["table5", "table8", "table9", "figure2"])
def test_an_analysis_is_a_sweep_like_any_other(lab: Laboratory, name: str) -> None:
    result = run_sweep(lab, name)
    analysis = SWEEPS[name]
    assert isinstance(analysis, Analysis) and result.table == analysis.compute(lab)
    for column in result.columns:
        assert any(column in row for row in result.table.values())
        assert len(result.lines(column)) == sum(column in row for row in result.table.values())
    assert (
        result.columns
        == {
            "table5": ["dev", "builtin"],
            "table8": list(analysis.published.get("shuffled", ())),
            "table9": [c for c in result.columns if "," in c],
            "figure2": ["3"],
        }[name]
    )


def test_rows_with_another_number_of_values_are_shown_and_not_compared() -> None:
    result = replace(RESULT, name="table5", table=RESULT.table | {"single": {"dev": [3.0], "stsb": [2.0]}})
    assert set(result.compared("dev")) == {"cut at tau_t"} and len(result.lines("dev")) == 3


def test_the_conclusion_names_significant_and_detectable_differences() -> None:
    differences = np.array([-10.0, -9.9, -10.0])
    words = RESULT.conclusion("dev")
    assert "3 seeds show a significant difference from cut at 1 for cut at tau_t (-9.97) (5% level)." in words
    assert f"{detectable_difference(float(differences.std(ddof=1)), 3):.2f}" in words
    assert "3 seeds show no significant difference from cut at 1" in RESULT.conclusion("stsb")


def test_the_key_depends_on_every_setting() -> None:
    laptop = profile_named("laptop")
    others = [
        with_changes(laptop, seeds=6),
        with_changes(laptop, teachers=17),
        with_changes(laptop, training=with_changes(laptop.training, learning_rate=1.0)),
        with_changes(laptop, distillation=with_changes(laptop.distillation, weight=3.0)),
    ]
    keys = {sweep_key("table3", profile) for profile in (laptop, *others)} | {sweep_key("table7", laptop)}
    assert len(keys) == 6


@pytest.mark.parametrize("name", SWEEPS)
def test_shipped_results_have_the_settings_that_the_code_has_now(name: str) -> None:
    """Where this fails, the code's settings have changed since: make the shipped results again (see CONTRIBUTING)."""
    shipped = shipped_sweep(name)
    assert shipped is not None and shipped.name == name
    laptop, sweep = profile_named("laptop"), SWEEPS[name]
    assert shipped.key == sweep_key(name, laptop)
    assert shipped.settings["steps"] == laptop.training.steps and shipped.made["versions"]["torch"]
    if isinstance(sweep, Sweep):
        trained = list(sweep.recipes(laptop))
        assert list(shipped.table) == trained + [BASE, STRONG] * bool(sweep.strong_teacher)
        assert {len(values) for row in trained for values in shipped.table[row].values()} == {sweep.seeds(laptop)}


def test_shipped_results_are_shown_unless_others_are_asked_for(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distillcse_kit.experiments.sweep_result.SHIPPED", tmp_path)
    assert shipped_sweep("cut") is None
    own = sweep_result(lab, "cut")
    assert own.settings["profile"] == "smoke"
    write_json(tmp_path / "cut.json", RESULT.as_json())
    assert sweep_result(lab, "cut") == RESULT
    assert sweep_result(lab, "cut", recompute=True).table == own.table
    (tmp_path / "cut.json").write_text('{"name": "cut"}')
    with pytest.raises(KitError, match="install the kit again"):
        shipped_sweep("cut")


def test_the_average_is_over_the_papers_tasks_seed_by_seed() -> None:
    table = {"a": {"dev": [1.0, 2.0], "stsb": [4.0, 6.0], "kit": [0.0, 9.0], "sts12": [2.0, 3.0]}}
    assert with_average(table)["a"] == table["a"] | {"average": [3.0, 4.5]}
    few = {"a": {"dev": [1.0], "stsb": [4.0], "kit": [0.0]}}
    assert with_average(few) == few
    averaged = replace(RESULT, table={row: found | {"average": found["dev"]} for row, found in RESULT.table.items()})
    assert (averaged.columns, RESULT.columns) == (["dev", "average"], ["dev", "stsb"])


def test_a_quantity_is_compared_with_the_same_quantity() -> None:
    table = {
        Curve("not shuffled", "dev"): {"9": [60.0, 61.0, 62.5]},
        Curve("not shuffled", "loss"): {"9": [1.0, 1.1, 1.3]},
        Curve("Group-P", "dev"): {"9": [60.1, 61.3, 62.2]},
        Curve("Group-P", "loss"): {"9": [2.0, 2.2, 2.3]},
    }
    result = replace(RESULT, name="figure2", table=table)
    found = result.compared("9")
    assert list(found) == ["Group-P: dev", "Group-P: loss"]
    assert found["Group-P: loss"].difference.mean == pytest.approx(3.1 / 3)
    alone = compare_with(
        {row: table[row]["9"] for row in ("not shuffled: loss", "Group-P: loss")}, "not shuffled: loss"
    )
    assert found["Group-P: loss"].adjusted == pytest.approx(2 * alone["Group-P: loss"].p_value)
    assert "from not shuffled for Group-P: loss (+1.03) (5% level, corrected for 2 comparisons)" in result.conclusion(
        "9"
    )


def test_the_label_of_a_curve_keeps_its_parts_in_the_file() -> None:
    label = Curve("Group-P", "kl", "unread")
    result = replace(RESULT, name="figure2", table={label: {"9": [1.0]}, Curve("Group-P", "dev"): {"9": [2.0]}})
    read = SweepResult.from_json(json.loads(json.dumps(result.as_json())))
    assert read == result
    one, other = read.table
    assert isinstance(one, Curve) and (one.setting, one.quantity, one.where) == ("Group-P", "kl", "unread")
    assert (one, other) == ("Group-P: unread, kl", "Group-P: dev")
