"""A strong teacher: the recipe is what the pages say, the shipped scores are what they claim, any model can teach."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from distillcse_kit.command import main as cli
from distillcse_kit.command.shared import laboratory_of
from distillcse_kit.course.notebook_files import from_source
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import score_pairs
from distillcse_kit.evaluation.statistics import seed_interval
from distillcse_kit.experiments.shipped import STRONG_TEACHER_SEARCH, markdown_table, shipped_run
from distillcse_kit.experiments.sweep_design import BASE, STRONG
from distillcse_kit.experiments.sweep_result import run_sweep, shipped_sweep, with_average
from distillcse_kit.experiments.sweeps import sweep_named
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.sweep_plots import show_sweep
from distillcse_kit.training.model_names import encoder_name
from distillcse_kit.training.named_recipes import PRESETS, STRONG_TEACHER
from distillcse_kit.training.recipe import Recipe, These

ROOT = Path(__file__).resolve().parents[1]
SIMCSE, STUDENT, SHUFFLED = "SimCSE, recipe", "student, recipe", "student, Group-P"
DEFAULTS = "student, defaults"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.fixture
def strong(other_vocabulary: Path, tmp_path: Path) -> str:
    """A model folder as sentence-transformers writes it: other words, another width, the mean over tokens."""
    library = pytest.importorskip("sentence_transformers")
    parts = pytest.importorskip("sentence_transformers.models")
    transformer = parts.Transformer(str(other_vocabulary))
    pooling = parts.Pooling(transformer.get_word_embedding_dimension(), pooling_mode="mean")
    library.SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(tmp_path / "strong"))
    return str(tmp_path / "strong")


# ---------------------------------------------------------------- the recipe


def test_the_recipe_is_what_the_page_says(lab: Laboratory) -> None:
    """The page writes its settings out as changes of plain distillation, for the laptop profile."""
    [said] = re.findall(r'lab\.recipe\("vanilla", (.*?), teachers=MODEL\)', page("python.md"))
    laptop = Laboratory("laptop", store=lab.store.root)
    written = eval(f"dict({said})")
    assert laptop.recipe("strong_teacher") == laptop.recipe("vanilla", teachers=These((STRONG_TEACHER,)), **written)
    assert PRESETS["strong-teacher"] == laptop.recipe("strong_teacher")


def test_it_changes_pooling_steps_and_shuffle_and_nothing_else(lab: Laboratory) -> None:
    recipe = lab.recipe("strong_teacher", seed=1, teachers=These(("micro",)))
    assert recipe.training == replace(lab.profile.training, pooling="avg", steps=lab.profile.training.steps // 3)
    assert recipe.distillation == replace(lab.profile.distillation, shuffle="none")
    assert (recipe.seed, recipe.teachers) == (1, These(("micro",)))


def test_a_model_of_sentence_transformers_teaches_by_its_own_cosines(lab: Laboratory, strong: str) -> None:
    library = pytest.importorskip("sentence_transformers")
    theirs = library.SentenceTransformer(strong, device="cpu").encode(list(lab.corpus.sentences[:20]))
    student = lab.run(lab.recipe("strong_teacher", teachers=These((strong,))))
    ensemble = lab.workplace.ensemble(lab.recipe("strong_teacher", teachers=These((strong,))))
    assert ensemble is not None
    cosines = library.util.cos_sim(theirs, theirs).numpy()
    assert ensemble.cosines(list(range(20))).numpy() == pytest.approx(cosines, abs=2e-3)
    assert [one["teacher"] for one in student.about["teachers"]] == [encoder_name(strong)]
    assert student.about["training"]["pooling"] == "avg"


def test_the_ten_lines_of_the_page_run(lab: Laboratory, strong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = [b for b in re.findall(r"```python\n(.*?)```", page("python.md"), re.DOTALL) if "strong_teacher" in b]
    assert len([line for line in block.splitlines() if line.strip()]) <= 10 and STRONG_TEACHER in block
    monkeypatch.setattr("distillcse_kit.Laboratory", lambda *_, **__: lab)
    monkeypatch.chdir(Path(strong).parent)
    space: dict[str, Any] = {}
    exec(compile(block.replace(STRONG_TEACHER, strong), "python.md", "exec"), space)
    wanted = [lab.recipe("strong_teacher", seed, These((strong,))) for seed in range(5)]
    assert [run.key for run in space["students"]] == [recipe.key(lab.workplace.inputs) for recipe in wanted]


# ---------------------------------------------------------------- the command


def test_the_preset_has_the_models_that_are_named_or_the_hubs(
    tiny: Path, strong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--steps", "2", "--evaluate-every", "2", "--batch-size", "8", "--sentences", "40", "--base", str(tiny)]
    words = ["distill", "--preset", "strong-teacher", "--seeds", "0", "--store", str(tmp_path / "store"), *small]
    assert cli.main([*words, "--teachers", strong]) == 0
    [about] = (tmp_path / "store" / "runs").glob("*/run.json")
    assert encoder_name(strong) in about.read_text() and '"pooling": "avg"' in about.read_text()
    assert cli.main(words) == 2  # tests have no hub
    assert STRONG_TEACHER in capsys.readouterr().err


def test_a_teacher_is_refused_where_the_sweep_trains_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cut", "table5"):
        with pytest.raises(KitError, match=f"The sweep {name} trains its own teachers; name a teacher for strong-"):
            sweep_named(name, "micro")
    assert cli.main(["sweep", "cut", "--profile", "smoke", "--teacher", "micro"]) == 2
    assert "trains its own teachers" in capsys.readouterr().err


# ---------------------------------------------------------------- the sweep


def test_the_sweep_scores_each_row_as_if_it_were_made_alone(lab: Laboratory, strong: str, tiny: Path) -> None:
    result = run_sweep(lab, "strong-teacher", strong)
    teachers = These((strong,))
    recipe = lab.recipe("strong_teacher", teachers=teachers)
    alone: dict[str, Callable[[int], Recipe]] = {
        SIMCSE: lambda seed: Recipe(recipe.training, seed=seed),
        STUDENT: lambda seed: recipe.changed(seed=seed),
        SHUFFLED: lambda seed: recipe.changed(seed=seed, shuffle="group_p"),
        DEFAULTS: lambda seed: lab.recipe("group_p", seed, teachers),
    }
    assert list(result.table) == [*alone, BASE, STRONG]
    for row, made in alone.items():
        assert result.table[row] == lab.scores([lab.run(made(seed)) for seed in range(2)])
    for row, encoder in ((BASE, SentenceEncoder.load(tiny, "avg")), (STRONG, SentenceEncoder.load(strong))):
        assert result.table[row]["builtin"] == [score_pairs(encoder, lab.tests["builtin"])]
    assert result.settings["strong_teacher"] == encoder_name(strong)
    assert set(result.compared("builtin")) == {STUDENT, SHUFFLED, DEFAULTS}


def test_another_teacher_gives_other_students(lab: Laboratory, strong: str) -> None:
    tables = [run_sweep(lab, "strong-teacher", teacher).table for teacher in (strong, "micro")]
    assert tables[0][SIMCSE] == tables[1][SIMCSE] and tables[0][STUDENT] != tables[1][STUDENT]


# ---------------------------------------------------------------- the shipped scores


def searched() -> dict[str, dict[int, float]]:
    """{flags: {seed: dev score}} of the search that chose the recipe."""
    run = shipped_run(STRONG_TEACHER_SEARCH)
    assert run is not None
    return {
        row: {int(name.removeprefix("dev, seed ")): score for name, [score] in scores.items()}
        for row, scores in run.table.items()
    }


def test_the_search_is_the_table_of_the_page() -> None:
    run, text = shipped_run(STRONG_TEACHER_SEARCH), page("sweeps.md")
    assert run is not None and run.settings["dev"] == "stsb-dev" and run.command in text
    for row, scores in searched().items():
        cells = [f"{scores[seed]:.2f}" if seed in scores else "" for seed in (100, 101)]
        assert f"| `{row}` | {' | '.join(cells)} |" in text
    shown = text.partition("| flags |")[2].partition("\n\n")[0]
    assert shown.count("| `--pooling") == len(searched())


def test_each_row_of_the_search_can_be_run_again_and_one_is_the_recipe() -> None:
    run = shipped_run(STRONG_TEACHER_SEARCH)
    assert run is not None
    profiles = {}
    for row in run.table:
        words = f"{run.command.removeprefix('distillcse distill ').partition(' --data-dir')[0]} {row}"
        profiles[row] = laboratory_of(cli.parser_of("distill").parse_args(words.split())).profile
    preset = PRESETS["strong-teacher"]
    same = [
        row
        for row, one in profiles.items()
        if (one.training, one.distillation) == (preset.training, preset.distillation)
    ]
    assert same == ["--pooling avg --steps 50"]
    assert len({(one.training, one.distillation) for one in profiles.values()}) == len(profiles)


def test_the_search_used_no_seed_that_is_shown() -> None:
    sweep = shipped_sweep("strong-teacher")
    assert sweep is not None
    used = {seed for scores in searched().values() for seed in scores}
    assert not used & set(range(sweep.settings["seeds"]))


def test_what_the_page_says_about_the_search() -> None:
    found, text = searched(), " ".join(page("sweeps.md").split())
    gain = {
        other: [round(found[row][seed] - found[start][seed], 2) for seed in found[row] if seed in found[start]]
        for other, (row, start) in {
            "mean": ("--pooling avg", "--pooling cls"),
            "layers": ("--pooling avg_first_last --steps 50", "--pooling avg --steps 50"),
            "Group-P": ("--pooling avg --shuffle group_p", "--pooling avg"),
            "longer": ("--pooling avg --steps 600", "--pooling avg --steps 50"),
        }.items()
    }
    assert min(gain["mean"]) > 3 and "more than three points above [CLS] with both seeds" in text
    assert "higher still, by {:.1f} and {:.1f}".format(*gain["layers"]) in text
    assert "hurts**, by {:.2f} and {:.2f}".format(*(-change for change in gain["Group-P"])) in text
    assert max(gain["longer"]) < 0 and "to 600 steps, gained nothing" in text
    rest = {
        row: scores[100] - found["--pooling avg --steps 50" if "--steps 50" in row else "--pooling avg"][100]
        for row, scores in found.items()
        if not re.search(r"group_p|pooling (cls|avg_)", row) and not re.fullmatch(r"--pooling avg( --steps \d+)?", row)
    }
    near = [row for row, change in rest.items() if abs(change) < 0.1]
    assert sorted(near) == ["--pooling avg --steps 50 --weight 3", "--pooling avg --teacher-temperature 0.02"]
    lower = [-change for row, change in rest.items() if row not in near]
    assert f"{min(lower):.1f} to {max(lower):.1f} points lower" in text


def test_what_the_page_says_about_the_students() -> None:
    sweep, run, text = shipped_sweep("strong-teacher"), shipped_run(), " ".join(page("sweeps.md").split())
    assert sweep is not None and run is not None
    columns = ("dev", "sts12", "sts13", "stsb", "sickr", "average")
    shown = {row: {column: values[column] for column in columns} for row, values in sweep.table.items()}
    assert markdown_table(shown) in page("sweeps.md")
    compared = {column: sweep.compared(column)[STUDENT] for column in columns}
    assert compared["average"].decided and compared["average"].difference.mean > 0
    gains = [compared[column].difference.mean for column in columns[1:5]]
    assert f"the gain lies between {min(gains):.2f} and {max(gains):.2f}" in text
    simcse, student, base, teacher = (
        seed_interval(sweep.table[row]["average"]).mean for row in (SIMCSE, STUDENT, BASE, STRONG)
    )
    table = with_average(run.table)
    by_cls = seed_interval(next(table[row] for row in table if row.startswith("SimCSE"))["average"]).mean
    assert simcse < base < student and by_cls < student
    assert f"it scores {simcse:.2f}, and the untrained base {base:.2f}. SimCSE with [CLS] and 150 steps scores" in text
    assert f"scores {by_cls:.2f} ([Results]" in text and f"It scores {teacher:.2f}." in text
    at_defaults = seed_interval(sweep.table[DEFAULTS]["average"])
    assert f"score {at_defaults}, near SimCSE's {by_cls:.2f}." in text and abs(at_defaults.mean - by_cls) < 1
    assert f"the student has {100 * (student - base) / (teacher - base):.0f}%" in text


# ---------------------------------------------------------------- the notebook


def lesson(lab: Laboratory, model: str) -> None:
    """Run the code of the lesson's section on strong teachers, with the parameter ``strong_teacher``."""
    cells = from_source(ROOT / "notebooks" / "src" / "05_full_distillation.py")["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    heads = [place for place, text in enumerate(texts) if re.search("^## ", text, re.MULTILINE)]
    start = next(place for place in heads if "## A strong teacher\n" in texts[place])
    end = heads[heads.index(start) + 1]
    space = {"lab": lab, "pd": pd, "show_sweep": show_sweep, "figures": "", "strong_teacher": model}
    for cell, text in zip(cells[start:end], texts[start:end], strict=True):
        if cell["cell_type"] == "code":
            exec(compile(text, "05_full_distillation", "exec"), space)


def test_the_lesson_trains_with_the_model_that_is_named(
    lab: Laboratory, strong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson(lab, strong)
    told = capsys.readouterr().out
    assert "strong-teacher: profile smoke, 100 sentences" in told and "2 seeds show" in told
    students = [json.loads(path.read_text()) for path in (lab.store.root / "runs").glob("*/run.json")]
    assert sum("distillation" in about for about in students) == 6  # two seeds of three settings


def test_the_lesson_without_a_model_shows_what_ships_and_the_command(
    lab: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson(lab, "")
    told = capsys.readouterr().out
    assert "strong-teacher: profile laptop, 40,000 sentences" in told and "5 seeds show" in told
    assert "distillcse distill --preset strong-teacher --teachers MODEL" in told
    assert not (lab.store.root / "runs").exists()
