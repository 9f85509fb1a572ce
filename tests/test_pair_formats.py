"""One set of pairs in every format, written by other libraries, and one clear sentence for every broken one."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow
import pytest
from conftest import one_sentence
from pyarrow import ipc

from distillcse_kit.data.sts import available_tasks, load_sts
from distillcse_kit.data.tasks import TASKS
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import evaluate_sts
from distillcse_kit.laboratory import Laboratory

ROWS = [(f"A man, number {n}", f'"Someone" of größe {n}', n % 21 / 4) for n in range(50)]
NAMED: dict[str, list[Any]] = {
    "id": list(range(50)),
    "score": [score for *_, score in ROWS],
    "sentence2": [second for _, second, _ in ROWS],
    "sentence1": [first for first, *_ in ROWS],
}


def triples(*args: Any, **settings: Any) -> list[tuple[str, str, float]]:
    pairs = load_sts(*args, **settings)
    return list(zip(pairs.first, pairs.second, pairs.score, strict=True))


def fails(task: Any, *parts: str, **settings: Any) -> None:
    with one_sentence(*parts):
        load_sts(task, **settings)


def frame() -> pandas.DataFrame:
    return pandas.DataFrame(NAMED)


def dataset() -> datasets.Dataset:
    return datasets.Dataset.from_dict(NAMED)


def lines(records: list[Any]) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


def arrow(path: Path) -> None:
    table = pyarrow.table(NAMED)
    with pyarrow.OSFile(str(path), "wb") as file, ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def input_examples(path: Path) -> None:
    path.write_text(lines([{"guid": "", "texts": [a, b], "label": score} for a, b, score in ROWS]))


WRITERS: dict[str, Callable[[Path], Any]] = {
    "pandas.jsonl": lambda path: frame().to_json(path, orient="records", lines=True),
    "pandas.jsonl.gz": lambda path: frame().to_json(path, orient="records", lines=True),
    "pandas.jsonl.bz2": lambda path: frame().to_json(path, orient="records", lines=True),
    "pandas.json": lambda path: frame().to_json(path, orient="records"),
    "datasets.json": lambda path: dataset().to_json(str(path)),
    "data.json": lambda path: path.write_text(json.dumps({"data": dataset().to_list()}, indent=1)),
    "datasets.parquet": lambda path: dataset().to_parquet(str(path)),
    "pandas.parquet": lambda path: frame().to_parquet(path),
    "pandas.csv": lambda path: frame().to_csv(path, index=False),  # the sentences are not the first two columns
    "pandas.tsv": lambda path: frame().to_csv(path, index=False, sep="\t", quoting=csv.QUOTE_NONE),
    "stream.arrow": arrow,
    "examples.jsonl": input_examples,
    "saved": lambda path: dataset().save_to_disk(path),
    "splits": lambda path: datasets.DatasetDict(train=dataset().select([0]), test=dataset()).save_to_disk(path),
    "hub": lambda path: [
        (path / "data").mkdir(parents=True),
        dataset().to_parquet(str(path / "data" / "test-00000-of-00001.parquet")),
        dataset().select([0]).to_parquet(str(path / "data" / "train-00000-of-00001.parquet")),
    ],
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_has_the_same_pairs(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    assert triples(tmp_path / name) == triples(str(tmp_path / name)) == ROWS
    assert load_sts(tmp_path / name).name == (f"{name}-test" if name in ("splits", "hub") else name)


@pytest.mark.parametrize(
    "names",
    [
        ("sentence1", "sentence2", "label"),
        ("sentence_A", "sentence_B", "relatedness_score"),
        ("Sentence 1", "Sentence 2", "Score"),
        ("sent0", "sent1", "gold"),
        ("sent1", "sent2", "rating"),
        ("text1", "text2", "similarity_score"),
        ("first", "second", "score"),
        ("anchor", "positive", "score"),
        ("question", "other question", "labels"),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_the_usual_names_in_any_order(names: tuple[str, ...], order: tuple[int, ...], tmp_path: Path) -> None:
    columns = {names[place]: [row[place] for row in ROWS] for place in order}
    table = datasets.Dataset.from_dict(columns)
    table.to_parquet(str(tmp_path / "p.parquet"))
    (tmp_path / "p.jsonl").write_text(lines(table.to_list()))
    assert triples(table) == triples(tmp_path / "p.parquet") == triples(tmp_path / "p.jsonl") == ROWS


def test_a_score_comes_before_a_label() -> None:
    table = dataset().add_column("label", [0] * 50).add_column("idx", list(range(50)))
    assert triples(table) == ROWS


def test_objects_and_their_names(tmp_path: Path) -> None:
    whole = dataset()
    assert triples(whole.with_format("numpy")) == triples(whole.to_iterable_dataset()) == ROWS
    assert load_sts(whole).name == "pairs"
    both = datasets.DatasetDict(test=whole, validation=whole.select([3, 1]))
    assert triples(both) == ROWS
    assert triples(both, split="dev") == [ROWS[3], ROWS[1]]
    fails(both, "no split train among test, validation", split="train")
    whole.to_json(tmp_path / "mine" / "validation.jsonl") if (tmp_path / "mine").mkdir() is None else None
    loaded = datasets.load_dataset(str(tmp_path / "mine"), split="validation", cache_dir=str(tmp_path / "cache"))
    assert load_sts(loaded).name == "mine-validation"
    fails(3, "The int given as pairs is neither")


def test_scores_of_a_dataset_under_a_name_of_ones_own() -> None:
    class Encoder:
        def encode(self, sentences: list[str]) -> np.ndarray:
            return np.array([[len(sentence), sum(map(ord, sentence)) % 17, 1.0] for sentence in sentences])

    scores = evaluate_sts(Encoder(), {"mine": dataset(), "half": dataset().select(range(25))})
    assert list(scores) == ["mine", "half"]
    assert len(set(scores.values())) == 2


def test_a_laboratory_takes_a_dataset(tmp_path: Path) -> None:
    text = [f"A sentence of number {n}." for n in range(300)]
    lab = Laboratory("smoke", corpus=datasets.Dataset.from_dict({"text": text}), store=tmp_path)
    assert list(lab.corpus.sentences) == text[: lab.profile.sentences]
    assert lab.corpus == Laboratory("smoke", corpus=text, store=tmp_path).corpus
    lab.dev = load_sts(dataset())
    assert len(lab.workplace.dev) == 50
    for empty in (datasets.Dataset.from_dict({"text": []}), []):
        with pytest.raises(KitError, match="no sentence in it"):
            _ = Laboratory("smoke", corpus=empty, store=tmp_path).corpus


GOOD = {"sentence1": "a", "sentence2": "b", "score": 1.5}


@pytest.mark.parametrize(
    ("records", "parts"),
    [
        ([GOOD, {**GOOD, "score": None}], ["2", "score is missing"]),
        ([GOOD, {**GOOD, "score": ""}], ["2", "score is missing"]),
        ([GOOD, {**GOOD, "score": float("nan")}], ["2", "the score is nan, not a number"]),
        ([GOOD, {**GOOD, "score": float("inf")}], ["2", "the score is inf, not a number"]),
        ([GOOD, {**GOOD, "score": "high"}], ["2", "the score is high, not a number"]),
        ([GOOD, {**GOOD, "score": True}], ["2", "the score is True, not a number"]),
        ([GOOD, {**GOOD, "score": [1]}], ["2", "the score is [1], not a number"]),
        ([GOOD, {**GOOD, "score": {"mean": 1}}], ["2", "the score is {'mean': 1}, not a number"]),
        ([GOOD, {**GOOD, "sentence2": None}], ["2", "sentence of the pair is missing"]),
        ([GOOD, {**GOOD, "sentence2": " "}], ["2", "sentence of the pair is missing"]),
        ([GOOD, {**GOOD, "sentence1": ["a"]}], ["2", "['a'] is not a string"]),
        ([GOOD, {**GOOD, "sentence1": 7}], ["2", "7 is not a string"]),
        ([GOOD, {"sentence1": "a", "sentence2": "b"}], ["2", "no key score"]),
        ([GOOD, {"sentence1": "a", "score": 1}], ["2", "no key sentence2"]),
        ([GOOD, ["a", "b", 1]], ["2", "is not an object"]),
        (["a"], ["1", "is not an object"]),
        ([{"sentence1": "a", "sentence2": "b"}], ["sentence1, sentence2 are not those of pairs", "score"]),
        ([{"a": "a", "b": "b", "c": 1}], ["the columns a, b, c are not those of pairs", "sentence1"]),
        ([{"texts": ["a", "b", "c"], "label": 1}], ["the columns texts, label are not those"]),
        ([{**GOOD, "split": "test"}, {**GOOD, "split": "dev"}], ["2", "the column split says dev, but test before"]),
        ([], ["no scored pair"]),
    ],
)
def test_broken_records(tmp_path: Path, records: list[Any], parts: list[str]) -> None:
    """As lines, as one document, compressed, and as a table where Arrow can hold them."""
    (tmp_path / "p.jsonl").write_text(lines(records))
    fails(tmp_path / "p.jsonl", "p.jsonl", *[f"line {part}" if part.isdigit() else part for part in parts])
    (tmp_path / "p.json").write_text(json.dumps(records, indent=1))
    fails(tmp_path / "p.json", "p.json", *[f"item {part}" if part.isdigit() else part for part in parts])
    (tmp_path / "p.jsonl.bz2").write_bytes(bz2.compress(lines(records).encode()))
    fails(tmp_path / "p.jsonl.bz2", *parts)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"score": [1.0, None]}, ["row 2", "score is missing"]),
        ({"score": [1.0, float("nan")]}, ["row 2", "score is nan"]),
        ({"score": ["1", "high"]}, ["row 2", "score is high"]),
        ({"score": [True, False]}, ["row 1", "score is True, not a number"]),
        ({"score": [[1], [2]]}, ["row 1", "score is [1], not a number"]),
        ({"sentence1": ["a", None]}, ["row 2", "sentence of the pair is missing"]),
        ({"sentence1": [["a"], ["b"]]}, ["row 1", "['a'] is not a string"]),
        ({"sentence2": [1, 2]}, ["row 1", "1 is not a string"]),
        ({"split": ["train", "test"]}, ["row 2", "split says test, but train before", "one split"]),
        ({"score": None}, ["the columns sentence1, sentence2 are not those of pairs"]),
    ],
)
def test_broken_tables(tmp_path: Path, change: dict[str, Any], parts: list[str]) -> None:
    columns = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [1.0, 2.0], **change}
    table = datasets.Dataset.from_dict({name: values for name, values in columns.items() if values is not None})
    table.to_parquet(str(tmp_path / "p.parquet"))
    table.save_to_disk(tmp_path / "saved")
    fails(tmp_path / "p.parquet", "p.parquet", *parts)
    fails(tmp_path / "saved", "saved", *parts)
    fails(table, "The Dataset given as pairs", *parts)


def test_classes_are_no_similarities(tmp_path: Path) -> None:
    """The label of NLI is a class: contradiction is 2, and entailment 0. That of paraphrases has two, and is one."""

    def labelled(names: list[str]) -> datasets.Dataset:
        columns = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [1, 0]}
        return datasets.Dataset.from_dict(columns).cast_column("label", datasets.ClassLabel(names=names))

    nli, paraphrases = labelled(["entailment", "neutral", "contradiction"]), labelled(["different", "equivalent"])
    for table, name in ((nli, "nli.parquet"), (paraphrases, "mrpc.parquet")):
        table.to_parquet(str(tmp_path / name))
    for source in (nli, tmp_path / "nli.parquet"):
        fails(source, "label is one of the classes entailment, neutral, contradiction, not a similarity")
    assert triples(paraphrases) == triples(tmp_path / "mrpc.parquet") == [("a", "c", 1), ("b", "d", 0)]


@pytest.mark.parametrize("kind", [".parquet", ".arrow", ".json", ".jsonl"])
def test_garbage_with_the_right_ending(tmp_path: Path, kind: str) -> None:
    for number, content in enumerate((bytes(range(256)) * 9, b"PAR1", b"\x89PNG\r\n\x1a\n\0")):
        for ending, compress in (("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress)):
            path = tmp_path / f"{number}{kind}{ending}"
            path.write_bytes(compress(content))
            fails(path, str(path))
    (tmp_path / f"empty{kind}").write_bytes(b"")
    fails(tmp_path / f"empty{kind}", f"empty{kind}")


def test_a_header_says_which_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_text("split\tid\tscore\tsentence1\tsentence2\ntest\t7\t2.5\ta\tb\ntest\t8\t3\tc\td\n")
    assert triples(path) == [("a", "b", 2.5), ("c", "d", 3)]
    path.write_text(path.read_text() + "train\t9\t1\te\tf\n")
    fails(path, "line 4", "the column split says train, but test before it")
    path.write_text("id\tscore\tsentence1\tsentence2\n7\t2.5\ta\n")
    fails(path, "line 2: 3 column(s) instead of the header's 4")
    path.write_text("score\tlabel\t2.5\nc\td\t3\n")  # sentences of one word each
    assert triples(path) == [("score", "label", 2.5), ("c", "d", 3)]


def test_a_folder_whose_files_do_not_tell(tmp_path: Path) -> None:
    fails(tmp_path, "not clear which file", "name the file")
    for name in ("train.jsonl", "validation.jsonl"):
        (tmp_path / name).write_text(lines([GOOD, {**GOOD, "score": 2}]))
    fails(tmp_path, "the split test", "name the file")
    assert triples(tmp_path, split="dev") == [("a", "b", 1.5), ("a", "b", 2)]
    fails(tmp_path / "missing", "no such file")


@pytest.mark.parametrize("layout", ["parquet", "jsonl.gz", "saved"])
@pytest.mark.parametrize("place", ["", "mteb", "sts"])
def test_copies_of_the_hubs_sets_in_a_data_folder(tmp_path: Path, layout: str, place: str) -> None:
    written = {}
    for task, split in (("sts16", "test"), ("stsb", "test"), ("stsb", "validation")):
        count = TASKS[task].counts["dev" if split == "validation" else "test"]
        rows = [{"sentence1": f"a {n}", "sentence2": f"{split} {n}", "score": n % 6} for n in range(count or 0)]
        folder = tmp_path / place / str(TASKS[task].hub).split("/")[1]
        table = datasets.Dataset.from_list(rows)
        if layout == "saved":
            table.save_to_disk(folder / split)
            splits = sorted(path.name for path in folder.iterdir() if path.is_dir())
            (folder / "dataset_dict.json").write_text(json.dumps({"splits": splits}))
        elif layout == "parquet":
            (folder / "data").mkdir(parents=True, exist_ok=True)
            table.to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{split}.jsonl.gz").write_bytes(gzip.compress(lines(rows).encode()))
        written[task, split] = [tuple(row.values()) for row in rows]
    assert available_tasks(tmp_path) == ["sts16", "stsb"]
    assert triples("sts16", tmp_path) == written["sts16", "test"]
    assert triples("stsb", tmp_path) == written["stsb", "test"]
    assert triples("stsb", tmp_path, "dev") == written["stsb", "validation"]
    assert load_sts("stsb", tmp_path, "dev").name == "stsb-dev"


def test_a_short_copy_of_a_hubs_set(tmp_path: Path) -> None:
    (tmp_path / "sts12-sts").mkdir()
    (tmp_path / "sts12-sts" / "test.jsonl").write_text(lines([GOOD] * 3))
    fails("sts12", "sts12-sts: 3 pairs in test instead of 3108", data_dir=tmp_path)
