"""The README is true: its Python runs, its numbers are those that ship, its commands and links exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from distillcse_kit.command.main import NAMES
from distillcse_kit.evaluation.statistics import paired_difference
from distillcse_kit.experiments.shipped import markdown_table, shipped_run
from distillcse_kit.experiments.sweep_result import shipped_sweep, with_average

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short() -> None:
    assert 800 <= len(README.split()) <= 1_000


def test_its_python_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) == 10
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    said = re.search(r"# Spearman x 100: ([\d.]+), ([\d.]+)", block)
    assert said
    kit, builtin = re.findall(r"'(?:kit|builtin)': ([\d.]+)", printed)
    assert (f"{float(kit):.2f}", f"{float(builtin):.2f}") == said.groups()


def test_its_table_is_the_shipped_run() -> None:
    run = shipped_run()
    assert run is not None
    rows = list(run.table)[2:]  # without word overlap and the untrained base
    table = with_average(run.table)
    shown = {row: {column: table[row][column] for column in ("dev", "average")} for row in rows}
    assert markdown_table(shown) in README


def test_its_findings_are_the_shipped_results() -> None:
    smoothing, run = shipped_sweep("smoothing"), shipped_run()
    assert smoothing is not None and run is not None
    table = with_average(run.table)
    found = {
        "Group-P gains": (smoothing.table["Group-P"], smoothing.table["not shuffled"]),
        "Group-P minus group mean is": (smoothing.table["Group-P"], smoothing.table["group mean"]),
        "does not show a gain here**:": (table["+ teacher components"], table["vanilla distillation"]),
    }
    text = " ".join(README.split())
    for claim, (row, baseline) in found.items():
        difference = paired_difference(row["average"], baseline["average"])
        assert f"{claim} {difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]" in text
    assert len(smoothing.table["Group-P"]["average"]) == 16


def test_its_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)(?=[` ])", README)) <= targets
    assert set(re.findall(r"distillcse ([a-z]+) ", README)) <= set(NAMES)


def test_it_names_each_lesson() -> None:
    lessons = {path.stem for path in (ROOT / "notebooks" / "src").glob("*.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == lessons


def test_it_names_no_folder_of_ours() -> None:
    assert "/shared" not in README


def test_the_picture_of_the_idea_can_be_drawn_again() -> None:
    spec = importlib.util.spec_from_file_location("idea", ROOT / "figures" / "idea.py")
    assert spec and spec.loader
    idea = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(idea)
    teachers = idea.made_up_teachers()
    assert teachers.shape == (idea.TEACHERS, idea.SENTENCES)
    assert [len(axes.patches) for axes in idea.draw().axes] == [0, idea.SENTENCES - 1, idea.SENTENCES - 1]
