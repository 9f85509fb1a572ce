"""Every kind of bad input, on the command line: one sentence with the fix, status 2, and nothing left behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SENTENCES

from distillcse_kit.command import main as cli
from distillcse_kit.data.tasks import TASKS


def corpus_of(
    content: str | bytes, name: str = "corpus.txt", command: str = "teach", *further: str
) -> Callable[[Path], list[str]]:
    """Run a command that trains (teach, unless another is named) on a corpus file with this content."""

    def arguments(folder: Path) -> list[str]:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if command == "pretrain":
            return ["pretrain", str(path), "--out", str(folder / "new"), *further]
        return [command, "--profile", "smoke", "--corpus", str(path), *further]

    return arguments


def folder_of(*names: str) -> Callable[[Path], list[str]]:
    """Pretrain on a folder with these files."""

    def arguments(folder: Path) -> list[str]:
        for name in names:
            corpus_of("text\none\n", name)(folder)
        return ["pretrain", str(folder), "--out", str(folder / "new")]

    return arguments


def pairs_of(content: str) -> Callable[[Path], list[str]]:
    """Score on a file of pairs with this content."""

    def arguments(folder: Path) -> list[str]:
        path = folder / "pairs.tsv"
        path.write_text(content, encoding="utf-8")
        return ["evaluate", "micro", "--tasks", str(path)]

    return arguments


def dev_of(content: str) -> Callable[[Path], list[str]]:
    """Train a teacher whose checkpoint is chosen by a file of pairs with this content."""

    def arguments(folder: Path) -> list[str]:
        pairs_of(content)(folder)
        return [*corpus_of("\n".join(SENTENCES[:40]))(folder), "--dev", str(folder / "pairs.tsv")]

    return arguments


def set_of(task: str, file: str, content: str) -> Callable[[Path], list[str]]:
    """Score on a set that is one file with this content in the user's data folder."""

    def arguments(folder: Path) -> list[str]:
        (folder / "data" / task).mkdir(parents=True)
        (folder / "data" / task / file).write_text(content, encoding="utf-8")
        return ["evaluate", "micro", "--tasks", task, "--data-dir", str(folder / "data")]

    return arguments


def folder_without_sets(*arguments: str) -> Callable[[Path], list[str]]:
    """Run a command with a data folder that holds only sentences."""

    def with_folder(folder: Path) -> list[str]:
        (folder / "data").mkdir()
        (folder / "data" / "mine.txt").write_text("One sentence.\nAnother one.\n" * 50, encoding="utf-8")
        return [*arguments, "--data-dir", str(folder / "data")]

    return with_folder


def year_with(gold: str) -> Callable[[Path], list[str]]:
    """Score on a year of STS with two pairs in each input file and this content in each gold file."""

    def arguments(folder: Path) -> list[str]:
        year = folder / "STS12-en-test"
        year.mkdir()
        for subset in ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"):
            (year / f"STS.input.{subset}.txt").write_text("a cat\ta dog\na man\ta woman\n", encoding="utf-8")
            (year / f"STS.gs.{subset}.txt").write_text(gold, encoding="utf-8")
        return ["evaluate", "micro", "--tasks", "sts12", "--data-dir", str(folder)]

    return arguments


def whole_year_with(score: str) -> Callable[[Path], list[str]]:
    """Score on STS16 at its true size, with this as the seventh gold score of the subset headlines."""

    def arguments(folder: Path) -> list[str]:
        year = folder / "STS16-en-test"
        year.mkdir()
        for subset, count in TASKS["sts16"].subsets.items():
            gold = [score if (subset, line) == ("headlines", 7) else "2.5" for line in range(1, count + 1)]
            (year / f"STS.input.{subset}.txt").write_text("a cat\ta dog\n" * count, encoding="utf-8")
            (year / f"STS.gs.{subset}.txt").write_text("\n".join(gold) + "\n", encoding="utf-8")
        return ["evaluate", "micro", "--tasks", "sts16", "--data-dir", str(folder)]

    return arguments


def model_with(*files: str, command: str = "evaluate") -> Callable[[Path], list[str]]:
    """Score a model folder that holds only these files, or use it as --base or as a teacher."""

    def arguments(folder: Path) -> list[str]:
        model = folder / "model"
        model.mkdir()
        for name in files:
            (model / name).write_text('{"model_type": "bert"}', encoding="utf-8")
        if command == "evaluate":
            return ["evaluate", str(model), "--tasks", "kit"]
        flag = {"teach": "--base", "distill": "--teachers", "course": "--base"}[command]
        (folder / "pairs.tsv").write_text(GOOD, encoding="utf-8")
        dev = [] if command == "course" else ["--dev", str(folder / "pairs.tsv")]
        return [*corpus_of("\n".join(SENTENCES[:40]), command=command)(folder), flag, str(model), *dev]

    return arguments


def words(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda folder: list(arguments)


GOOD = "a cat\ta dog\t2\n"
SICK = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\n"
PICKLE = ["model", "pickle", "pytorch_model.bin", "save it again"]
# What is wrong: (the command, what the sentence must contain).
CASES: dict[str, tuple[Callable[[Path], list[str]], list[str]]] = {
    # a missing, empty, binary, non-UTF-8 or one-sentence corpus
    "corpus missing": (words("teach", "--corpus", "./nowhere.txt"), ["nowhere.txt", "give"]),
    "corpus empty": (corpus_of(""), ["corpus.txt", "empty"]),
    "corpus blank": (corpus_of("\n  \n\n"), ["corpus.txt"]),
    "corpus binary": (corpus_of(bytes(range(256))), ["corpus.txt", "line 1"]),
    "corpus not utf-8": (corpus_of("one sentence\ncafé\n".encode("latin-1")), ["corpus.txt", "line 2", "UTF-8"]),
    "corpus of one sentence": (corpus_of("one sentence only\n"), ["corpus.txt", "one sentence"]),
    "corpus missing to pretrain": (words("pretrain", "nowhere.txt", "--out", "new"), ["nowhere.txt", "check the path"]),
    "corpus missing for the course": (words("course", "--corpus", "nowhere.txt"), ["nowhere.txt", "check the path"]),
    "corpus empty to pretrain": (corpus_of("", "c.txt", "pretrain"), ["c.txt", "empty", "give a corpus"]),
    "corpus binary to pretrain": (
        corpus_of(b"one\nt\0o\n", "c.txt", "pretrain"),
        ["c.txt, line 2", "give a text file"],
    ),
    "corpus not utf-8 to pretrain": (corpus_of(b"one\n\xe9\n", "c.txt", "pretrain"), ["c.txt, line 2", "iconv -f"]),
    "corpus of one sentence to pretrain": (corpus_of("one\n", "c.txt", "pretrain"), ["c.txt", "one sentence per line"]),
    "corpus of one sentence for the course": (
        corpus_of("one\n", "c.txt", "course"),
        ["c.txt", "one sentence per line"],
    ),
    "one sentence asked for": (corpus_of("one\ntwo\n", "c.txt", "pretrain", "--sentences", "1"), ["--sentences"]),
    # csv without the expected columns
    "csv without the column": (corpus_of("a,b\n1,2\n3,4\n", "corpus.csv"), ["corpus.csv", "column"]),
    "csv without the column, its line": (corpus_of("\na,b\n1,2\n", "c.csv"), ["c.csv", "a, b in line 2", "rename"]),
    "csv without the named column": (
        corpus_of("a,b\n1,2\n3,4\n", "c.csv", "distill", "--column", "c"),
        ["c.csv", "no column c in line 1", "a, b"],
    ),
    "csv without the column to pretrain": (
        corpus_of("a,b\n1,2\n", "c.csv", "pretrain"),
        ["c.csv", "line 1", "--column"],
    ),
    "csv without the column for the course": (
        corpus_of("a,b\n1,2\n", "c.csv", "course"),
        ["c.csv", "line 1", "rename"],
    ),
    "csv row with too few fields": (corpus_of("text,b\none,1\ntwo\n", "c.csv"), ["c.csv, line 3", "1 fields", "quote"]),
    "objects without the key": (
        corpus_of('{"a": "one", "b": "two"}\n', "c.jsonl"),
        ["c.jsonl", "a, b in line 1", "--column of teach"],
    ),
    "a folder of several files": (folder_of("a.txt", "b.csv"), ["a.txt, b.csv", "name one", "as pretrain's file"]),
    "pairs without the columns": (pairs_of("a cat\ta dog\n"), ["pairs.tsv, line 1", "two sentences and a score"]),
    "sick without the columns": (
        set_of("sickr", "SICK_test_annotated.txt", "1\ta\tb\t3\n"),
        ["SICK_test_annotated.txt, line 1", "no column sentence_A", "header"],
    ),
    "sts-b without the columns": (
        set_of("stsb", "sts-test.csv", "g\tf\ty\t1\t3.0\ta\tb\ng\tf\n"),
        ["sts-test.csv, line 2", "seven, separated by tabs"],
    ),
    # tables that are none, and a data folder without sets
    "parquet of garbage": (corpus_of(b"PAR1" * 99, "c.parquet"), ["c.parquet", "not a .parquet file", "write it"]),
    "parquet, half an archive": (corpus_of(b"\x1f\x8b", "c.parquet.gz", "pretrain"), ["c.parquet.gz", "damaged"]),
    "bz2 of garbage": (corpus_of(b"BZh9" * 99, "c.txt.bz2"), ["c.txt.bz2", "damaged or incomplete", "again"]),
    "zst of garbage for the course": (corpus_of(b"(zst)" * 99, "c.txt.zst", "course"), ["c.txt.zst", "damaged"]),
    "data folder without sets": (folder_without_sets("evaluate", "micro"), ["none of the known sets", "--data-dir"]),
    "data folder without sets to train": (folder_without_sets("teach"), ["none of the known sets", "--corpus"]),
    "data folder without sets for the course": (folder_without_sets("course"), ["none of the known sets", "--corpus"]),
    # scores that are missing, NaN or not numbers
    "score missing": (pairs_of(GOOD + "a man\ta woman\t\n"), ["pairs.tsv", "line 2"]),
    "score nan": (pairs_of(GOOD + "a man\ta woman\tnan\n"), ["pairs.tsv", "line 2", "nan"]),
    "score no number": (pairs_of(GOOD + "a man\ta woman\tmuch\n"), ["pairs.tsv", "line 2", "much"]),
    "score missing to choose by": (dev_of(GOOD + "a\tb\t \n"), ["pairs.tsv, line 2", "missing", "give a number"]),
    "score nan to choose by": (dev_of("a\tb\tNaN\n" + GOOD), ["pairs.tsv, line 1", "NaN", "give a number"]),
    "score infinite": (pairs_of(GOOD + "a\tb\tinf\n"), ["pairs.tsv, line 2", "inf", "give a number"]),
    "score with a comma": (pairs_of(GOOD + "a\tb\t2,5\n"), ["pairs.tsv, line 2", "2,5", "give a number"]),
    "score missing of sick": (
        set_of("sickr", "SICK_test_annotated.txt", SICK + "1\ta\tb\t\n" + "2\ta\tb\t3\n" * 4_926),
        ["SICK_test_annotated.txt, line 2", "score is missing", "give a number"],
    ),
    "score no number of a year": (whole_year_with("high"), ["STS.gs.headlines.txt, line 7", "high", "give a number"]),
    "score nan of a year": (whole_year_with("nan"), ["STS.gs.headlines.txt, line 7", "nan", "give a number"]),
    # gold and input files of different length
    "gold shorter than input": (year_with("3.0\n"), ["STS.input.MSRpar.txt has 2 lines", "STS.gs.MSRpar.txt has 1"]),
    "gold longer than input": (year_with("3\n2\n1\n"), ["STS.input.MSRpar.txt has 2 lines", "STS.gs.MSRpar.txt has 3"]),
    "gold empty": (year_with(""), ["STS.input.MSRpar.txt has 2 lines", "STS.gs.MSRpar.txt has 0", "senteval.tar"]),
    # unknown profile, pooler, preset, parameter
    "unknown profile": (words("teach", "--profile", "huge"), ["huge", "smoke, laptop, paper"]),
    "unknown profile of the course": (words("course", "--profile", "huge"), ["huge", "smoke, laptop, paper"]),
    "unknown profile of a student": (words("distill", "--profile", "Smoke"), ["'Smoke'", "smoke, laptop, paper"]),
    "unknown pooler": (words("teach", "--pooling", "max"), ["max", "cls, cls_before_pooler, avg"]),
    "unknown pooler to score": (words("evaluate", "micro", "--pooling", "max"), ["max", "cls"]),
    "unknown preset": (words("teach", "--preset", "mine"), ["mine", "paper, authors-code"]),
    "unknown preset of a student": (words("distill", "--preset", "authors_code"), ["authors_code", "authors-code"]),
    "unknown parameter": (words("teach", "--stepps", "3"), ["--stepps", "distillcse teach --help"]),
    "unknown parameter of a student": (words("distill", "--tau", "1"), ["--tau 1", "distillcse distill --help"]),
    "unknown parameter to pretrain": (
        words("pretrain", "f", "--out", "o", "--depth", "3"),
        ["distillcse pretrain --help"],
    ),
    "parameter shortened": (words("distill", "--student-temp", "1"), ["--student-temp", "--help"]),
    "unknown parameter of a notebook": (words("course", "--parameters", "colour=red"), ["colour"]),
    # p outside (0, 1]
    "p of 0": (words("distill", "--p", "0"), ["p is 0.0", "(0, 1]"]),
    "p below 0": (words("distill", "--p", "-0.1"), ["p is -0.1", "(0, 1]"]),
    "p above 1": (words("distill", "--p", "1.5"), ["p is 1.5", "(0, 1]"]),
    "p not a number": (words("distill", "--p", "nan"), ["p is nan", "(0, 1]"]),
    "p with a preset": (words("distill", "--preset", "paper", "--p", "1.01"), ["p is 1.01", "(0, 1]"]),
    # temperature <= 0
    "temperature of 0": (words("teach", "--temperature", "0"), ["temperature is 0.0", "greater than 0"]),
    "temperature below 0": (words("teach", "--temperature", "-0.05"), ["temperature is -0.05", "greater than 0"]),
    "temperature nan": (words("teach", "--temperature", "nan"), ["temperature is nan", "greater than 0"]),
    "teacher temperature of 0": (
        words("distill", "--teacher-temperature", "0"),
        ["teacher_temperature is 0.0", "than 0"],
    ),
    "student temperature of 0": (
        words("distill", "--student-temperature", "0"),
        ["student_temperature is 0.0", "than 0"],
    ),
    "group temperature of 0": (words("distill", "--group-temperature", "0"), ["group_temperature is 0.0", "than 0"]),
    "teacher temperature below 0": (words("distill", "--teacher-temperature", "-1"), ["teacher_temperature is -1.0"]),
    # a model folder without weights or with pickle weights only
    "model without weights": (model_with("config.json"), ["model", "no weights", "model.safetensors"]),
    "model with pickle only": (model_with("config.json", "pytorch_model.bin"), ["pickle", "pytorch_model.bin", "save"]),
    "model without anything": (model_with(), ["no config.json"]),
    "base without weights": (model_with("config.json", command="teach"), ["model", "no weights", "model.safetensors"]),
    "base with pickle only": (model_with("config.json", "pytorch_model.bin", command="teach"), PICKLE),
    "teacher without weights": (model_with("config.json", command="distill"), ["no weights", "model.safetensors"]),
    "teacher with pickle only": (model_with("config.json", "pytorch_model.bin", command="distill"), PICKLE),
    "base of the course with pickle only": (model_with("config.json", "pytorch_model.bin", command="course"), PICKLE),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_half_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    monkeypatch.setenv("DISTILLCSE_STORE", str(store))
    monkeypatch.chdir(tmp_path)
    make, parts = CASES[case]
    arguments = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    try:
        status = cli.main(arguments)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    told = capsys.readouterr()
    assert status == 2
    assert len(told.err.strip().splitlines()) == 1 and "Traceback" not in told.err
    assert told.err.startswith(f"distillcse {arguments[0]}: ") and told.err.endswith(".\n") and told.out == ""
    for part in parts:
        assert part in told.err
    for flag, others in re.findall(r"(?<![\w-])(--[a-z][a-z-]*)(?: of ((?:\w+(?:, | and )?)+))?", told.err):
        if (
            flag[2:] in ("help", "repo-type", "local-dir") or flag in arguments
        ):  # flags of hf download, and the mistake itself
            continue
        for command in re.split(r", | and ", others) if others else [arguments[0]]:
            assert flag in flags_of(command), f"{flag} is advised, but {command} does not have it"
    others = (".lock", ".arrow")  # a good corpus is kept when something else is wrong
    left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in others}
    assert left == before
    assert not (tmp_path / "new").exists() and not (tmp_path / "runs").exists()


def flags_of(command: str) -> set[str]:
    return {flag for action in cli.parser_of(command)._actions for flag in action.option_strings}


def test_the_same_commands_work_on_good_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the mistake the same commands work, so none of the cases above fails for another reason."""
    assert cli.main(pairs_of(GOOD + "a man\ta woman\t3\nthe sea\tan ocean\t4.5\n")(tmp_path)) == 0
    arguments = corpus_of("\n".join(SENTENCES[:40]))(tmp_path)
    quick = ["--steps", "1", "--batch-size", "4", "--seeds", "0", "--store", str(tmp_path / "store")]
    dev = tmp_path / "pairs.tsv"
    assert cli.main([*arguments, *quick, "--dev", str(dev)]) == 0
    assert "dev" in capsys.readouterr().out
