"""Every kind of bad input, through the command line: one sentence that names the fix, status 2, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SENTENCES

from distillcse_kit import cli


def corpus_of(content: str | bytes, name: str = "corpus.txt") -> Callable[[Path], list[str]]:
    """Train a teacher on a corpus file with this content."""

    def arguments(folder: Path) -> list[str]:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ["teach", "--profile", "smoke", "--corpus", str(path)]

    return arguments


def pairs_of(content: str) -> Callable[[Path], list[str]]:
    """Score on a file of pairs with this content."""

    def arguments(folder: Path) -> list[str]:
        path = folder / "pairs.tsv"
        path.write_text(content, encoding="utf-8")
        return ["evaluate", "micro", "--tasks", str(path)]

    return arguments


def year_with(gold: str) -> Callable[[Path], list[str]]:
    """Score on a year of STS whose input has two pairs and whose gold file is this."""

    def arguments(folder: Path) -> list[str]:
        year = folder / "STS12-en-test"
        year.mkdir()
        for subset in ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"):
            (year / f"STS.input.{subset}.txt").write_text("a cat\ta dog\na man\ta woman\n", encoding="utf-8")
            (year / f"STS.gs.{subset}.txt").write_text(gold, encoding="utf-8")
        return ["evaluate", "micro", "--tasks", "sts12", "--data-dir", str(folder)]

    return arguments


def model_with(*files: str) -> Callable[[Path], list[str]]:
    """Score a model folder that holds nothing but these files."""

    def arguments(folder: Path) -> list[str]:
        model = folder / "model"
        model.mkdir()
        for name in files:
            (model / name).write_text('{"model_type": "bert"}', encoding="utf-8")
        return ["evaluate", str(model), "--tasks", "kit"]

    return arguments


def words(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda folder: list(arguments)


GOOD = "a cat\ta dog\t2\n"
# In the order of the list that the kit was built to: what is wrong, the command, and what the sentence must say.
CASES: dict[str, tuple[Callable[[Path], list[str]], list[str]]] = {
    "corpus missing": (words("teach", "--corpus", "./nowhere.txt"), ["nowhere.txt", "give"]),
    "corpus empty": (corpus_of(""), ["corpus.txt", "empty"]),
    "corpus blank": (corpus_of("\n  \n\n"), ["corpus.txt"]),
    "corpus binary": (corpus_of(bytes(range(256))), ["corpus.txt", "line 1"]),
    "corpus not utf-8": (corpus_of("one sentence\ncafé\n".encode("latin-1")), ["corpus.txt", "line 2", "UTF-8"]),
    "corpus of one sentence": (corpus_of("one sentence only\n"), ["corpus.txt", "one sentence"]),
    "csv without the column": (corpus_of("a,b\n1,2\n3,4\n", "corpus.csv"), ["corpus.csv", "column"]),
    "score missing": (pairs_of(GOOD + "a man\ta woman\t\n"), ["pairs.tsv", "line 2"]),
    "score nan": (pairs_of(GOOD + "a man\ta woman\tnan\n"), ["pairs.tsv", "line 2", "nan"]),
    "score no number": (pairs_of(GOOD + "a man\ta woman\tmuch\n"), ["pairs.tsv", "line 2", "much"]),
    "gold shorter than input": (year_with("3.0\n"), ["STS.gs.", "2", "1"]),
    "gold longer than input": (year_with("3.0\n2.0\n1.0\n"), ["STS.gs.", "2", "3"]),
    "unknown profile": (words("teach", "--profile", "huge"), ["huge", "smoke, laptop, paper"]),
    "unknown profile of the course": (words("course", "--profile", "huge"), ["huge", "smoke, laptop, paper"]),
    "unknown pooler": (words("teach", "--pooling", "max"), ["max", "cls, cls_before_pooler, avg"]),
    "unknown pooler to score": (words("evaluate", "micro", "--pooling", "max"), ["max", "cls"]),
    "unknown preset": (words("teach", "--preset", "mine"), ["mine", "paper, authors-code"]),
    "unknown parameter": (words("teach", "--stepps", "3"), ["--stepps", "--help"]),
    "unknown parameter of a notebook": (words("course", "--parameters", "colour=red"), ["colour"]),
    "p of 0": (words("distill", "--p", "0"), ["p is 0.0", "(0, 1]"]),
    "p above 1": (words("distill", "--p", "1.5"), ["p is 1.5", "(0, 1]"]),
    "p not a number": (words("distill", "--p", "nan"), ["p is nan", "(0, 1]"]),
    "temperature of 0": (words("teach", "--temperature", "0"), ["temperature is 0.0", "greater than 0"]),
    "teacher temperature below 0": (words("distill", "--teacher-temperature", "-1"), ["teacher_temperature is -1.0"]),
    "model without weights": (model_with("config.json"), ["model", "no weights", "model.safetensors"]),
    "model with pickle only": (model_with("config.json", "pytorch_model.bin"), ["pickle", "pytorch_model.bin", "save"]),
    "model without anything": (model_with(), ["no config.json"]),
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
    before = sorted(tmp_path.rglob("*"))
    try:
        status = cli.main(arguments)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    told = capsys.readouterr()
    assert status == 2
    assert len(told.err.strip().splitlines()) == 1 and "Traceback" not in told.err
    for part in parts:
        assert part in told.err
    left = [path for path in tmp_path.rglob("*") if path not in before and path.is_file() and path.suffix != ".lock"]
    assert left == []


def test_the_right_input_beside_them_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same commands work once the mistake is gone, so that none of the above fails for another reason."""
    assert cli.main(pairs_of(GOOD + "a man\ta woman\t3\nthe sea\tan ocean\t4.5\n")(tmp_path)) == 0
    arguments = corpus_of("\n".join(SENTENCES[:40]))(tmp_path)
    quick = ["--steps", "1", "--batch-size", "4", "--seeds", "0", "--store", str(tmp_path / "store")]
    dev = tmp_path / "pairs.tsv"
    assert cli.main([*arguments, *quick, "--dev", str(dev)]) == 0
    assert "dev" in capsys.readouterr().out
