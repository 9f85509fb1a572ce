"""Sweeps: what they train is what the paper varied, and what they say is what the runs scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from distillcse_kit import cli
from distillcse_kit.config import DistillationSettings, Profile, TrainingSettings, with_changes
from distillcse_kit.data.pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import compare_with
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.store import Store
from distillcse_kit.sweep import OWN, SWEEPS, Setting, Sweep, SweepResult, run_sweep, sweep_named
from distillcse_kit.training import Corpus


@pytest.fixture
def lab(tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store) -> Laboratory:
    training = TrainingSettings(base=str(tiny), steps=3, batch_size=16, evaluate_every=3, learning_rate=1e-3)
    made = Laboratory(Profile("smoke", training, teachers=2, seeds=2), store=store.root)
    made.__dict__.update(corpus=corpus, dev=dev, tests={"builtin": replace(dev, name="builtin")})
    return made


@pytest.mark.parametrize("name", SWEEPS)
def test_every_setting_is_one_that_can_be_trained(name: str) -> None:
    sweep = SWEEPS[name]
    for setting in sweep.settings:
        with_changes(DistillationSettings(), **setting.distillation)
    assert set(sweep.published) <= {setting.label for setting in sweep.settings}
    changes = [(setting.teachers, tuple(sorted(setting.distillation.items()))) for setting in sweep.settings]
    assert len(set(changes)) == len(changes)


def test_the_bands_of_table_3_cover_all_ranks_once() -> None:
    ranks = []
    for setting in SWEEPS["table3"].settings[1:]:
        assert setting.distillation["shuffle"] == "rank_band"
        start, end = setting.distillation["band_start"], setting.distillation["band_end"]
        assert setting.label == f"ranks {start + 1}-{end}"
        ranks += range(start, end)
    assert ranks == list(range(63))  # the other sentences of a batch of 64
    assert SWEEPS["table3"].published["ranks 1-12"] == 77.85


def test_table_7_is_the_whole_grid_with_the_papers_choice_first() -> None:
    pairs = [
        (setting.distillation["student_temperature"], setting.distillation["teacher_temperature"])
        for setting in SWEEPS["table7"].settings
    ]
    assert pairs[0] == (0.02, 0.01)
    assert sorted(pairs) == sorted((s, t) for s in (0.05, 0.02, 0.01) for t in (0.05, 0.02, 0.01))


def test_a_sweep_scores_the_students_of_its_settings(lab: Laboratory) -> None:
    result = run_sweep(lab, "smoothing")
    assert list(result.table) == ["Group-P", "group mean", "not shuffled"]
    for label, shuffle in (("Group-P", "group_p"), ("group mean", "group_mean"), ("not shuffled", "none")):
        students = [lab.student([lab.teacher(seed)], seed, shuffle=shuffle) for seed in range(2)]
        assert result.table[label] == lab.scores(students)
    assert result.settings == lab.describe() and "torch" in result.made["versions"]
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
    monkeypatch.setattr("distillcse_kit.training.Trainer.__init__", None)
    assert run_sweep(lab, "cut").table == first.table


def test_students_with_a_teacher_each_need_as_many_teachers_as_seeds(lab: Laboratory) -> None:
    lab.profile = with_changes(lab.profile, seeds=3)
    with pytest.raises(KitError, match="3 seeds need 3 teachers"):
        run_sweep(lab, "smoothing")


RESULT = SweepResult(
    "cut",
    {},
    {},
    {
        "cut at 1": {"dev": [70.0, 71.0, 72.0], "stsb": [1.0, 2.0, 3.0]},
        "cut at tau_t": {"dev": [60.0, 61.1, 62.0], "stsb": [1.5, 2.0, 3.0]},
    },
)


def test_the_lines_hold_means_differences_and_what_is_told() -> None:
    first, second = RESULT.lines("dev")
    assert first.split() == ["cut", "at", "1", "71.00", "±", "2.48"]
    assert "61.03" in second and "-9.97 ± 0.14" in second and "not told" not in second
    assert "not told from 0" in RESULT.lines("stsb")[1]


def test_the_tidy_table_has_a_row_for_each_score() -> None:
    tidy = RESULT.tidy()
    assert list(tidy.columns) == ["setting", "task", "seed", "spearman"] and len(tidy) == 12
    wide = tidy.pivot_table("spearman", ["setting", "task"], "seed")
    assert wide.loc[("cut at tau_t", "dev")].tolist() == [60.0, 61.1, 62.0]


def test_the_command_prints_and_writes_the_result(
    tiny: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def found(lab: Laboratory, name: str) -> SweepResult:
        asked.append(name)
        return SweepResult(
            name, {}, {}, {label: rows | {lab.headline: rows["dev"]} for label, rows in RESULT.table.items()}
        )

    monkeypatch.setattr("distillcse_kit.sweep.run_sweep", found)
    files = ["--json", str(tmp_path / "cut.json"), "--csv", str(tmp_path / "cut.csv")]
    assert cli.main(["sweep", "cut", "--profile", "smoke", "--store", str(tmp_path / "store"), *files]) == 0
    printed = capsys.readouterr().out
    assert asked == ["cut"] and "where the groups are cut" in printed and "-9.97 ± 0.14" in printed
    assert json.loads((tmp_path / "cut.json").read_text())["table"]["cut at 1"]["dev"] == [70.0, 71.0, 72.0]
    read = pd.read_csv(tmp_path / "cut.csv")
    assert np.isclose(read[(read.setting == "cut at tau_t") & (read.task == "dev")].spearman.mean(), 61.0333, atol=1e-4)


def test_an_unknown_sweep_is_one_sentence() -> None:
    with pytest.raises(KitError, match="choose one of table3"):
        sweep_named("table4")


def test_a_sweep_without_a_second_setting_is_none() -> None:
    with pytest.raises(KitError, match="at least two settings"):
        Sweep("", "", (Setting("a", OWN),))
    with pytest.raises(KitError, match="label of its own"):
        Sweep("", "", (Setting("a", OWN), Setting("a", 1)))
