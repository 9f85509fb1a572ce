"""Folders with STS sets as SimCSE, SentEval and others lay them out, and what is said if the sets are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_sts import FILES, YEARS, put_set, put_year, triples

from distillcse_kit.command import main as cli
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sts import available_tasks, load_sts
from distillcse_kit.errors import KitError
from distillcse_kit.laboratory import Laboratory

SEVEN = [*YEARS, "stsb", "sickr"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of SimCSE whose script fetched the data of SentEval, and a corpus."""
    downstream = tmp_path / "SimCSE" / "SentEval" / "data" / "downstream"
    for year in YEARS:
        put_year(downstream / "STS" / f"{year.upper()}-en-test", year, 2)
    for split in ("train", "dev", "test"):
        put_set(downstream / "STS" / "STSBenchmark", "stsb", split)
        put_set(downstream / "SICK", "sickr", split)
    for other in ("MR", "CR", "SST", "TREC"):
        (downstream / other).mkdir()
    (tmp_path / "SimCSE" / "data").mkdir()
    (tmp_path / "SimCSE" / "data" / "wiki1m_for_simcse.txt").write_text("one\ntwo\n")
    (tmp_path / "SimCSE" / "data" / "nli_for_simcse.csv").write_text("sent0,sent1,hard_neg\na,b,c\nd,e,f\n")
    (tmp_path / "SimCSE" / "requirements.txt").write_text("transformers\nscipy\n")
    return tmp_path / "SimCSE"


@pytest.mark.parametrize(
    "below", ["", "SentEval", "SentEval/data", "SentEval/data/downstream", "SentEval/data/downstream/STS"]
)
def test_every_folder_of_a_simcse_checkout(checkout: Path, below: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {name: triples(load_sts(name, checkout, check_counts=False)) for name in SEVEN}
    assert all(wanted.values()) and available_tasks(checkout / below) == SEVEN
    for name in SEVEN:
        assert triples(load_sts(name, checkout / below, check_counts=False)) == wanted[name]
    for name, splits in FILES.items():
        for split in splits:
            assert load_sts(name, checkout / below, split, check_counts=False).first[0] == f"{split} a 0"
    monkeypatch.chdir(checkout / below)
    assert available_tasks(".") == SEVEN


def test_the_corpus_of_a_simcse_checkout(checkout: Path) -> None:
    assert list(load_corpus(checkout)["sentence"]) == ["one", "two"]
    (checkout / "data" / "wiki1m_for_simcse.txt").unlink()
    (checkout / "data" / "nli_for_simcse.csv").unlink()
    with pytest.raises(KitError, match="no corpus file"):  # and not the packages of requirements.txt
        load_corpus(checkout)


@pytest.mark.parametrize("place", ["data", "senteval", "SentEval_data/..", "data/STS", "mteb", "data/senteval/sts"])
def test_other_usual_places(tmp_path: Path, place: str) -> None:
    (tmp_path / "SentEval_data").mkdir()
    put_set(tmp_path / place / "stsb", "stsb", "test")
    assert available_tasks(tmp_path) == ["stsb"]


def test_folders_that_lead_to_themselves_end(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sts").symlink_to(tmp_path)
    put_set(tmp_path / "data" / "stsb", "stsb", "test")
    assert available_tasks(tmp_path) == ["stsb"]


def test_a_folder_beside_sts_is_used_only_in_sentevals_layout(tmp_path: Path) -> None:
    put_set(tmp_path / "mine" / "STS" / "stsb", "stsb", "test")
    put_set(tmp_path / "mine" / "SICK", "sickr", "test")
    assert available_tasks(tmp_path / "mine" / "STS") == ["stsb"]


# -- what is said


def says(call: object, *parts: str) -> None:
    with pytest.raises(KitError) as raised:
        call()  # type: ignore[operator]
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("content", ["nothing", "a corpus", "an empty downstream"])
def test_a_folder_without_sets_says_so(tmp_path: Path, content: str) -> None:
    if content == "a corpus":
        (tmp_path / "mine.txt").write_text("one\ntwo\n")
    elif content == "an empty downstream":
        (tmp_path / "downstream").mkdir()
    none = [str(tmp_path), "holds none of the known sets (STS12, STS13, STS14, STS15, STS16, STS-B, SICK-R)"]
    fix = ["folders such as STS12-en-test, STSBenchmark and SICK", "--corpus of teach", "hf download", "--data-dir"]
    searched = "it and downstream were searched" if content == "an empty downstream" else "it was searched"
    lab = Laboratory("smoke", data_dir=tmp_path, store=tmp_path / "store")
    for call in (
        lambda: available_tasks(tmp_path),
        lambda: load_sts("stsb", tmp_path),
        lambda: load_sts("sickr", tmp_path, "dev"),
        lambda: lab.dev,
        lambda: lab.tests,
    ):
        says(call, *none, searched, *fix)


def test_a_folder_with_other_sets_names_the_missing_one(tmp_path: Path) -> None:
    put_year(tmp_path / "STS13", "sts13", 2)
    put_set(tmp_path / "SICK", "sickr", "train")
    lab = Laboratory("smoke", data_dir=tmp_path, store=tmp_path / "store")
    for call in (lambda: load_sts("stsb", tmp_path), lambda: lab.dev):
        says(call, f"{tmp_path} holds STS13, SICK-R, but no folder of STS-B (named stsb, ", "senteval.tar")
    says(lambda: load_sts("sickr", tmp_path), "SICK: SICK-R test lacks SICK_test_annotated.txt")
    assert available_tasks(tmp_path) == ["sts13"]


def test_a_set_without_its_test_files_is_named(tmp_path: Path) -> None:
    put_set(tmp_path / "stsb", "stsb", "train")
    says(lambda: available_tasks(tmp_path), "stsb: STS-B test lacks sts-test.csv")


def test_a_folder_given_as_dev_is_read_at_its_dev_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLCSE_STORE", str(tmp_path / "store"))
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "test.jsonl").write_text("not read\n")
    (tmp_path / "pairs" / "validation.jsonl").write_text('{"sentence1": "a", "sentence2": "b", "score": "high"}\n')
    (tmp_path / "c.txt").write_text("One sentence.\nAnother one.\n" * 50)
    corpus = ["--corpus", str(tmp_path / "c.txt")]
    assert cli.main(["teach", "--profile", "smoke", *corpus, "--dev", str(tmp_path / "pairs")]) == 2
    assert "validation.jsonl, line 1: the score is high" in capsys.readouterr().err
