"""The command: what it prints, its exit status, and one sentence for every mistake."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SENTENCES

import distillcse_kit
from distillcse_kit.command import machine as doctor
from distillcse_kit.command import main as cli
from distillcse_kit.command.completion import SHELLS
from distillcse_kit.command.flags import field_help
from distillcse_kit.command.machine import Finding
from distillcse_kit.command.shared import laboratory_of
from distillcse_kit.config import PROFILES, DistillationSettings, TrainingSettings
from distillcse_kit.course.notebook_files import find_notebooks
from distillcse_kit.course.runner import TIME_LIMITS
from distillcse_kit.errors import KitError
from distillcse_kit.training.pretraining_settings import PretrainingSettings

ROOT = Path(__file__).resolve().parents[1]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of the command in this process."""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as stopped:  # this is how argparse ends
        status = int(stopped.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def files(tmp_path: Path, tiny: Path) -> dict[str, Path]:
    """Good data, and files that each have one thing wrong."""
    corpus, dev = tmp_path / "corpus.txt", tmp_path / "dev.tsv"
    corpus.write_text("\n".join(SENTENCES[:120]), encoding="utf-8")
    rows = zip(SENTENCES[:30], SENTENCES[7:37], range(30), strict=True)
    dev.write_text("".join(f"{first}\t{second}\t{score % 6}\n" for first, second, score in rows), encoding="utf-8")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "one.txt").write_text("one sentence only\n", encoding="utf-8")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    (tmp_path / "nan.tsv").write_text("a\tb\tnan\nc\td\t1\n", encoding="utf-8")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    return {"tiny": tiny, "corpus": corpus, "dev": dev, "folder": tmp_path, "store": tmp_path / "store"}


# ---------------------------------------------------------------- help


HEAVY = ("torch", "numpy", "transformers", "datasets", "matplotlib", "papermill", "statsmodels")


@pytest.mark.parametrize("words", [[], ["--help"], *([name, "--help"] for name in cli.NAMES)])
def test_help_is_quick_because_nothing_heavy_is_imported(words: list[str]) -> None:
    """Without words, only the import of the command is looked at."""
    code = (
        "import sys, distillcse_kit.command.main as c\n"
        f"try: {words} and c.main({words})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


BARE = [sys.executable, "-S", "-m", "distillcse_kit"]  # a Python without any package


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in cli.NAMES)])
def test_help_works_on_a_bare_python(words: list[str]) -> None:
    done = subprocess.run([*BARE, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout and done.stderr == ""


@pytest.mark.parametrize("command", ["doctor", "course", "teach", "notebooks"])
def test_on_a_bare_python_one_sentence_says_how_to_get_the_packages(command: str) -> None:
    done = subprocess.run([*BARE, command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(rf"distillcse {command}: This Python \(.+\) has no \w+; .+\n", done.stderr)


def test_a_missing_part_of_the_kit_itself_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only another package can be missing; that the kit lacks a part of its own is a mistake of ours."""
    monkeypatch.setitem(sys.modules, "distillcse_kit.command.machine", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["doctor"])


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    status, told, _ = run(capsys, "--version")
    assert status == 0 and told == f"distillcse {distillcse_kit.__version__}\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_every_command_and_flag(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, told, _ = run(capsys, "completion", shell)
    assert status == 0
    for name in cli.NAMES:
        assert name in told
        for action in cli.parser_of(name)._actions:
            for flag in action.option_strings:
                assert flag.lstrip("-") in told, f"{name} {flag}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_with_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(run(capsys, "completion", "bash")[1], encoding="utf-8")
    ask = (
        f"source {script}; function=$(complete -p distillcse | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        "complete_words() { COMP_WORDS=(distillcse $@); COMP_CWORD=$#; COMPREPLY=()\n"
        "$function; echo ${COMPREPLY[@]}; }\n"
        "complete_words te; complete_words distill --teacher-t; complete_words completion z"
    )
    told = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [set(line.split()) for line in told] == [{"teach", "test"}, {"--teacher-temperature"}, {"zsh"}]


def test_only_the_chosen_command_is_imported() -> None:
    code = (
        "import sys, distillcse_kit.command.main as c\n"
        "try: c.main(['teach', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in c.NAMES if f'distillcse_kit.command.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("['teach']\n")


def test_the_list_of_commands_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    status, told, _ = run(capsys, "--help")
    assert status == 0
    for name in cli.NAMES:
        assert re.search(rf"^ +{name} +{re.escape(cli.command_named(name).summary)}$", told, re.MULTILINE)
    modules = Path(cli.__file__).parent.glob("*.py")
    assert {path.stem for path in modules if "COMMAND = Command(" in path.read_text(encoding="utf-8")} == set(cli.NAMES)


@pytest.mark.parametrize("command", cli.NAMES)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, told, _ = run(capsys, command, "--help")
    assert status == 0
    assert cli.command_named(command).description in " ".join(told.split())


@pytest.mark.parametrize("command", cli.NAMES)
def test_each_flag_says_what_it_does_and_its_default(command: str) -> None:
    for action in cli.parser_of(command)._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        name, text = action.option_strings or action.dest, action.help or ""
        assert re.search(r"\w.* \((required|default: .+)\)$", text), f"{name}: {text}"
        assert ("(required)" in text) == action.required, name
        assert "``" not in text, f"{name} shows markup"


@pytest.mark.parametrize("command", cli.NAMES)
def test_the_first_line_of_the_help_names_what_is_required(command: str) -> None:
    parser = cli.parser_of(command)
    first = parser.format_help().splitlines()[0]
    assert first.startswith(f"usage: distillcse {command} ") and first.endswith("[flags]")
    shown = [action for action in parser._actions if action.required or not action.option_strings]
    marks = {"?": "[{}]", "*": "[{} ...]", None: "{}", "+": "{}"}
    words = [
        word
        for action in shown
        for word in (*action.option_strings, *marks[action.nargs].format(action.metavar).split())  # type: ignore[index]
    ]
    assert first.split()[3:-1] == words


def test_a_default_that_differs_between_profiles_names_each() -> None:
    helps = {action.dest: action.help or "" for action in cli.parser_of("distill")._actions}
    smoke, laptop, paper = (PROFILES[name].training.steps for name in ("smoke", "laptop", "paper"))
    assert helps["steps"].endswith(f"(default: {smoke} in smoke, {laptop} in laptop, {paper} in paper)")
    assert helps["teacher_temperature"].endswith("above 0; 0.01 in the paper (default: 0.01)")
    assert helps["shuffle"].endswith("(default: group_p)")
    assert helps["head"].endswith("(default: on)")


def test_the_course_names_the_time_limits_that_it_has() -> None:
    helps = {action.dest: action.help or "" for action in cli.parser_of("course")._actions}
    limits = ", ".join(f"{limit:.0f} in {name}" for name, limit in TIME_LIMITS.items())
    assert helps["time_limit"].endswith(f"(default: {limits})")


@pytest.mark.parametrize(
    ("command", "settings", "without"),
    [
        ("pretrain", PretrainingSettings, set()),
        ("teach", TrainingSettings, {"seed"}),
        ("distill", DistillationSettings, set()),
    ],
)
def test_each_setting_has_a_flag_with_its_explanation(
    command: str, settings: type, without: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, told, _ = run(capsys, command, "--help")
    words = " ".join(told.split())
    helps = field_help(settings)
    for name in set(settings.__dataclass_fields__) - without:  # type: ignore[attr-defined]
        assert re.search(rf"--{name.replace('_', '-')}[ ,]", words)
        assert helps.get(name), f"the docstring of {settings.__name__} says nothing about {name}"


INDENTED = """How it is done.

    Attributes:
        size: how large, 1 or more;
            2 in the paper.
        low, high: both ends.
    """


@pytest.mark.parametrize("kept", [INDENTED, inspect.cleandoc(INDENTED)], ids=["Python 3.12", "Python 3.13"])
def test_settings_are_explained_however_python_keeps_docstrings(kept: str) -> None:
    """Python 3.13 takes the indentation off docstrings; earlier ones keep it."""
    expected = {"size": "how large, 1 or more; 2 in the paper.", "low": "both ends.", "high": "both ends."}
    assert field_help(type("Settings", (), {"__doc__": kept})) == expected


# ---------------------------------------------------------------- mistakes

MISTAKES = {
    "no command": ("", "COMMAND"),
    "unknown command": ("tech", "invalid choice: 'tech'"),
    "unknown flag": ("teach --stepz 3", "--stepz"),
    "not a number": ("teach --steps many", "invalid int value: 'many'"),
    "unknown profile": ("teach --profile huge", "Unknown profile 'huge'; choose one of smoke, laptop, paper."),
    "unknown preset": (
        "teach --preset mine",
        "Unknown preset 'mine'; choose one of paper, authors-code, strong-teacher.",
    ),
    "unknown pooler": ("teach --pooling max", "Unknown pooling 'max'"),
    "no steps": ("teach --steps 0", "steps is 0; it must be greater than 0."),
    "temperature of 0": ("teach --temperature 0", "temperature is 0.0; it must be greater than 0."),
    "temperature below 0": ("distill --teacher-temperature -1", "teacher_temperature is -1.0"),
    "p above 1": ("distill --p 1.5", "p is 1.5; it must lie in (0, 1]."),
    "p of 0": ("distill --p 0", "p is 0.0"),
    "p nan": ("distill --p nan", "p is nan"),
    "unknown shuffle": ("distill --shuffle sort", "Unknown shuffle 'sort'"),
    "unknown divergence": ("distill --divergence mse", "Unknown divergence 'mse'"),
    "empty rank band": ("distill --shuffle rank_band --band-start 9 --band-end 9", "The rank band 9..9 is empty"),
    "no rounds": ("distill --rounds 0 {fast}", "--rounds is 0"),
    "weights without teachers": (
        "distill --teachers {tiny} --weights 1 2 {fast}",
        "The number of weights is 2 and the number of teachers is 1",
    ),
    "the same teacher twice": ("distill --teachers {tiny} {tiny} {fast}", "is named twice"),
    "no such teacher": ("distill --teachers {folder}/none {fast}", "There is no model folder"),
    "seed below 0": ("teach --seeds -1 {fast}", "The seeds are -1"),
    "seeds alike": ("teach --seeds 1 1 {fast}", "give different ones"),
    "missing corpus": ("teach --corpus {folder}/none.txt --base {tiny}", "none.txt: there is no such file"),
    "empty corpus": ("teach --corpus {folder}/empty.txt --base {tiny}", "empty.txt: no sentence in it"),
    "one sentence": ("teach --corpus {folder}/one.txt --base {tiny}", "one.txt: only one sentence"),
    "binary corpus": ("teach --corpus {folder}/binary.txt --base {tiny}", "binary.txt, line 1"),
    "csv without sentences": (
        "teach --corpus {folder}/columns.csv --base {tiny}",
        "columns.csv: none of the columns a, b",
    ),
    "no such column": ("teach --corpus {folder}/columns.csv --column c", "columns.csv: no column c"),
    "column of nothing": ("teach --column c", "name the corpus as well"),
    "scores nan": ("teach --dev {folder}/nan.tsv --corpus {corpus} --base {tiny}", "nan.tsv, line 1: the score is nan"),
    "missing data folder": ("teach --data-dir {folder}/none", "There is no data folder"),
    "missing data folder to score": ("evaluate {tiny} --data-dir {folder}/none", "There is no data folder"),
    "missing data folder of a sweep": ("sweep cut --data-dir {folder}/none", "There is no data folder"),
    "unknown sweep": ("sweep table4", "invalid choice: 'table4'"),
    "unknown split": ("evaluate {tiny} --tasks kit --split all", "all"),
    "base without weights": ("evaluate {folder}", "has no config.json"),
    "pickle weights only": ("evaluate {folder}/pickled", "as pickle only (pytorch_model.bin)"),
    "unknown set": ("evaluate {tiny} --tasks sts99", "sts99: there is no such set"),
    "evaluating with an unknown pooler": ("evaluate {tiny} --pooling max", "Unknown pooling 'max'"),
    "results into no folder": ("evaluate {tiny} --json {folder}/none/x.json", "cannot be written"),
    "pretrain without out": ("pretrain {corpus}", "--out"),
    "pretrain on nothing": ("pretrain {folder}/empty.txt --out {folder}/new", "no sentence in it"),
    "pretrain, heads": ("pretrain {corpus} --out {folder}/new --heads 5", "not a multiple of heads 5"),
    "unknown course profile": ("course --profile huge", "Unknown profile 'huge'"),
    "no parameter": ("course --parameters seed", "'seed' is not a parameter; write NAME=VALUE"),
}


@pytest.mark.parametrize(("line", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_status_2(
    line: str, sentence: str, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(files["folder"].rglob("*"))
    fast = "--profile smoke --corpus {corpus} --dev {dev} --base {tiny} --store {store}".format(**files)
    words = line.format(fast=fast, **files).split()
    if words and words[0] in ("teach", "distill") and "--store" not in words:
        words += ["--store", str(files["store"])]
    status, told, error = run(capsys, *words)
    assert status == 2
    assert told == "" and sentence in error
    assert error.startswith("distillcse") and error.count("\n") == 1 and "Traceback" not in error
    left = set(files["folder"].rglob("*")) - set(before)
    left = {path for path in left if path.is_file() and path.suffix != ".arrow"}  # a good corpus is kept
    assert not [path for path in left if not path.is_relative_to(files["store"] / "tokens")], "half-written"


def test_a_stopped_command_says_how_to_continue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(_: object) -> list[Finding]:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "examine", stopped)
    status, _, error = run(capsys, "doctor")
    assert status == 130 and "to continue from there" in error


# ---------------------------------------------------------------- doctor


def test_doctor_reports_and_fails_only_for_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    findings = [Finding("cores", "ok", "2"), Finding("C++ compiler", "note", "none")]
    monkeypatch.setattr(doctor, "examine", lambda store: findings)
    assert run(capsys, "doctor")[0] == 0
    findings.append(Finding("torch", "missing", "not installed"))
    status, told, _ = run(capsys, "doctor", "--json", tmp_path / "doctor.json")
    assert status == 1 and "Missing: torch." in told
    assert json.loads((tmp_path / "doctor.json").read_text())["missing"] == ["torch"]


def test_doctor_looks_at_everything(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 2**20)
    found = {finding.name: finding for finding in doctor.examine(tmp_path)}
    assert {"python", "cores", "memory", "bfloat16", "GPU", "C++ compiler", "built-in data", "store", "disk"} <= set(
        found
    )
    assert "micro encoder" in found
    assert found["store"].detail == f"{tmp_path}, 1 MiB"


def test_doctor_finds_that_notebooks_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._notebooks()[0].status == "ok" and doctor._notebooks()[0].detail.startswith("9 in ")
    monkeypatch.setattr(find_notebooks, "__defaults__", (tmp_path,))
    found = {finding.name: finding for finding in doctor.examine(tmp_path)}
    assert found["notebooks"].status == "missing" and "install the kit again" in found["notebooks"].detail


def test_doctor_advises_what_is_possible_outside_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no constraints.txt, so nothing is said about tested versions."""
    monkeypatch.setattr(doctor, "find_checkout", lambda: None)
    [found] = doctor._packages()
    assert found.status == "ok" and "tested" not in found.detail
    real = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "tqdm" else real(name))
    [found] = doctor._packages()
    assert found.status == "missing" and 'pip install "tqdm>=' in found.detail


def test_doctor_finds_packages_that_are_missing_old_or_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    versions: dict[str, str | None] = {"torch": None, "numpy": "1.0", "tqdm": "99.0"}
    real = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: versions.get(name, real(name)))
    found = {finding.name: finding for finding in doctor._packages()}
    assert found["torch"].status == "missing" and found["numpy"].detail.startswith("1.0 is too old")
    assert found["pinned versions"].status == "note" and "tqdm 99.0" in found["pinned versions"].detail


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is writable for root")
def test_doctor_finds_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert doctor._store(tmp_path / "store")[0].status == "missing"


# ---------------------------------------------------------------- work


def test_teach_distill_evaluate(
    files: dict[str, Path], other_vocabulary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two teachers, two rounds of students (one teacher with another vocabulary), and their scores."""
    shared = ["--profile", "smoke", "--corpus", files["corpus"], "--dev", files["dev"], "--base", files["tiny"]]
    shared += ["--store", files["store"], "--steps", 2, "--evaluate-every", 1, "--batch-size", 8, "--seeds", 0, 1]
    result = files["folder"] / "result.json"

    status, told, _ = run(capsys, "teach", *shared, "--json", result)
    teachers = [row["folder"] for row in json.loads(result.read_text())["runs"]]
    assert status == 0 and all(folder in told for folder in teachers)
    assert len(told.splitlines()) == 2 and "teacher 1" in told and "dev" in told

    mixed = ["--teachers", teachers[0], other_vocabulary, "--weights", 2, 1, "--rounds", 2, "--no-head", "--p", 0.5]
    status, told, _ = run(capsys, "distill", *shared, *mixed, "--json", result)
    rows = json.loads(result.read_text())["runs"]
    assert status == 0 and [(row["round"], row["seed"]) for row in rows] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    first, last = (json.loads((Path(rows[index]["folder"]) / "run.json").read_text()) for index in (0, -1))
    assert first["distillation"]["shuffle"] == "group_p" and first["distillation"]["p"] == 0.5
    assert [round(teacher["weight"], 3) for teacher in first["teachers"]] == [0.667, 0.333]
    assert first["training"]["head"] is False
    assert {teacher["teacher"] for teacher in last["teachers"]} == {Path(row["folder"]).name for row in rows[:2]}

    status, told, _ = run(capsys, "evaluate", rows[0]["folder"], "--tasks", files["dev"], "--json", result)
    scores = json.loads(result.read_text())
    assert status == 0 and scores["pooling"] == "cls"
    assert f"{scores['spearman'][str(files['dev'])]:.2f}" in told


def test_preset_and_single_flags_override_the_profile(files: dict[str, Path]) -> None:
    parser = cli.parser_of("distill")
    words = ["--preset", "authors-code", "--learning-rate", "0.5", "--store", str(files["store"])]
    profile = laboratory_of(parser.parse_args(words)).profile
    assert (profile.name, profile.training.steps, profile.training.learning_rate) == ("laptop", 5_000, 0.5)
    assert (profile.distillation.student_temperature, profile.distillation.shuffle) == (0.025, "group_p")
    profile = laboratory_of(parser.parse_args(["--shuffle", "none"])).profile
    assert profile.distillation.shuffle == "none"


@pytest.mark.parametrize("scale", ["--preset", "--profile"])
def test_the_papers_learning_rate_follows_the_base(scale: str, files: dict[str, Path]) -> None:
    parser = cli.parser_of("teach")
    words = [scale, "paper", "--store", str(files["store"]), "--base"]
    rates = {
        base: laboratory_of(parser.parse_args([*words, base])).profile.training.learning_rate
        for base in ("bert-base-uncased", "bert-large-uncased", "roberta-base", "roberta-large")
    }
    assert rates == {"bert-base-uncased": 3e-5} | dict.fromkeys(list(rates)[1:], 1e-5)
    with pytest.raises(KitError, match="The paper has no learning rate for micro"):
        laboratory_of(parser.parse_args([*words, "micro"]))
    own = laboratory_of(parser.parse_args([*words, "micro", "--learning-rate", "0.001"])).profile.training
    assert (own.base, own.learning_rate) == ("micro", 1e-3)


def test_pretrain_makes_an_encoder(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    small = [
        "--vocabulary-size",
        120,
        "--hidden-size",
        8,
        "--layers",
        1,
        "--heads",
        2,
        "--max-tokens",
        16,
        "--steps",
        2,
    ]
    small += ["--tokens-per-batch", 64, "--no-compile", "--store", files["store"]]
    status, told, _ = run(capsys, "pretrain", files["corpus"], "--out", files["folder"] / "new", *small)
    assert status == 0 and "distillcse teach --base" in told
    assert (files["folder"] / "new" / "model.safetensors").is_file()
