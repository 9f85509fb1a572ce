"""One corpus in every format, written by other libraries, gives the same sentences; broken tables give one sentence."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow
import pytest
from conftest import one_sentence
from pyarrow import feather, ipc, parquet

from distillcse_kit.data.corpus import corpus_fingerprint, load_corpus
from distillcse_kit.store import Store

ROWS = [f"Sentence {n}, größer and 東京 or NA." for n in range(2_500)]
WITH_BLANKS = [None, "", *ROWS[:7], "   ", *ROWS[7:], None]
COLUMNS: dict[str, list[Any]] = {"id": list(range(len(WITH_BLANKS))), "text": WITH_BLANKS}
TABLE = pyarrow.table(COLUMNS)


def sentences(*args: Any, **settings: Any) -> list[str]:
    return list(load_corpus(*args, **settings)["sentence"])


def fails(source: Any, *parts: str, **settings: Any) -> None:
    with one_sentence(*parts):
        load_corpus(source, **settings)


def stream(path: Path, table: pyarrow.Table = TABLE) -> None:
    with pyarrow.OSFile(str(path), "wb") as file, ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, 300)


def seekable(path: Path, table: pyarrow.Table = TABLE) -> None:
    with pyarrow.OSFile(str(path), "wb") as file, ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, 300)


def compressed(write: Callable[[Path], Any], kind: str) -> Callable[[Path], None]:
    def write_compressed(path: Path) -> None:
        plain = path.with_name(f"plain{kind}")
        write(plain)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()

    return write_compressed


def dataset(rows: list[Any] = WITH_BLANKS) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"id": list(range(len(rows))), "text": rows})


def shards(folder: Path, kind: str, name: str = "train") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(3):
        shard = dataset().shard(3, number, contiguous=True)
        path = str(folder / f"{name}-0000{number}-of-00003.{kind}")
        shard.to_parquet(path) if kind == "parquet" else shard.to_json(path)


def with_dictionary(path: Path) -> None:
    repeated = TABLE.set_column(1, "text", TABLE["text"].dictionary_encode())
    parquet.write_table(repeated, path)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "datasets.parquet": lambda path: dataset().to_parquet(str(path)),
    "pandas.parquet": lambda path: pandas.DataFrame(COLUMNS).to_parquet(path),
    "row-groups.parquet": lambda path: parquet.write_table(TABLE, path, row_group_size=100, compression="zstd"),
    "large-strings.parquet": lambda path: parquet.write_table(
        TABLE.cast(pyarrow.schema([("id", pyarrow.int64()), ("text", pyarrow.large_string())])), path
    ),
    "dictionary.parquet": with_dictionary,
    "whole.parquet.gz": compressed(lambda path: parquet.write_table(TABLE, path), ".parquet"),
    "stream.arrow": stream,
    "seekable.arrow": seekable,
    "feather.arrow": lambda path: feather.write_feather(TABLE, str(path), compression="lz4"),
    "stream.arrow.gz": compressed(stream, ".arrow"),
    "seekable.arrow.gz": compressed(seekable, ".arrow"),
    "pandas.jsonl": lambda path: pandas.DataFrame(COLUMNS).to_json(path, orient="records", lines=True),
    "pandas.csv": lambda path: pandas.DataFrame(COLUMNS).to_csv(path, index=False),
    "pandas.csv.bz2": lambda path: pandas.DataFrame(COLUMNS).to_csv(path, index=False),
    "pandas.jsonl.bz2": lambda path: pandas.DataFrame(COLUMNS).to_json(path, orient="records", lines=True),
    "plain.txt": lambda path: path.write_text("\n".join(text or "" for text in WITH_BLANKS), encoding="utf-8"),
    "saved": lambda path: dataset().save_to_disk(path),
    "saved in parts": lambda path: dataset().save_to_disk(path, num_shards=4),
    "saved splits": lambda path: datasets.DatasetDict(
        {"test": dataset(["no", "never"]), "train": dataset()}
    ).save_to_disk(path),
    "shards": lambda path: shards(path, "parquet"),
    "hub": lambda path: shards(path / "data", "parquet"),
    "hub with a test split": lambda path: (shards(path / "data", "parquet"), shards(path / "data", "jsonl", "test")),
    "hub as jsonl": lambda path: shards(path, "jsonl"),
    "hub by folders": lambda path: shards(path / "default" / "train", "parquet", "part"),
    "corpus of a data folder": lambda path: shards(path / "corpus" / "data", "parquet"),
}


@pytest.fixture(scope="module")
def wanted() -> str:
    return corpus_fingerprint(datasets.Dataset.from_dict({"sentence": ROWS}))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_has_the_same_fingerprint_and_file_in_the_store(
    name: str, wanted: str, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distillcse_kit.data.column_tables._BATCH", 1_000)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    WRITERS[name](tmp_path / name)
    (tmp_path / "plain.jsonl").write_text("".join(f"{json.dumps(text)}\n" for text in ROWS), encoding="utf-8")
    plain = load_corpus(tmp_path / "plain.jsonl", store=store)
    loaded = load_corpus(tmp_path / name, store=store)
    assert list(loaded["sentence"]) == ROWS
    assert corpus_fingerprint(loaded) == corpus_fingerprint(plain) == wanted
    assert loaded.cache_files == plain.cache_files != []
    assert sentences(tmp_path / name, limit=1_234) == ROWS[:1_234]
    assert not (tmp_path / "cache").exists()


def test_objects_have_the_same_fingerprint_too(wanted: str, store: Store) -> None:
    whole = dataset()
    shuffled = whole.select(range(len(whole))[::-1]).select(range(len(whole))[::-1])
    stream_of_rows = datasets.IterableDataset.from_generator(lambda: iter(whole))
    for source in (
        whole,
        whole.with_format("numpy"),
        whole.with_format("numpy", columns=["id"]),
        shuffled,
        whole.to_iterable_dataset(),
        stream_of_rows,
        datasets.DatasetDict({"train": whole, "test": dataset(["no", "never"])}),
        datasets.IterableDatasetDict({"train": whole.to_iterable_dataset()}),
        ROWS,
        tuple(ROWS),
        iter(ROWS),
        pandas.Series(ROWS),
        np.array(ROWS),
        datasets.Dataset.from_dict({"sentence": ROWS})["sentence"],
    ):
        assert corpus_fingerprint(load_corpus(source, store=store)) == wanted, type(source)
    assert len(list((store.root / "corpora").iterdir())) == 1


def test_the_column_and_the_split_are_chosen_as_for_files(tmp_path: Path) -> None:
    pairs = datasets.Dataset.from_dict({"hard_neg": ["a", "b"], "sent0": ["c", "d"], "n": [1, 2]})
    pairs.to_parquet(str(tmp_path / "p.parquet"))
    stream(tmp_path / "p.arrow", pairs.data.table)
    pairs.save_to_disk(tmp_path / "saved")
    for source in (pairs, tmp_path / "p.parquet", tmp_path / "p.arrow", tmp_path / "saved"):
        assert sentences(source) == ["c", "d"]
        assert sentences(source, column="hard_neg") == ["a", "b"]
        fails(source, "no column words; the columns are hard_neg, sent0, n", column="words")
        fails(source, "row 1: the column n does not hold text", "--column", column="n")
    both = datasets.DatasetDict({"train": pairs, "validation": pairs.select([1, 0])})
    both.save_to_disk(tmp_path / "both")
    for split in ("dev", "validation"):
        assert sentences(both, split=split) == sentences(tmp_path / "both", split=split) == ["d", "c"]
    assert sentences(tmp_path / "both" / "validation") == ["d", "c"]


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    without = datasets.DatasetDict({"test": dataset(), "unlabelled": dataset()})
    fails(without, "DatasetDict given as corpus: no split train among test, unlabelled", "dataset[NAME]")
    without.save_to_disk(tmp_path / "saved")
    fails(tmp_path / "saved", "saved: no split train among test, unlabelled", "subfolder NAME")
    shards(tmp_path / "hub", "parquet", "test")
    fails(tmp_path / "hub", "several files could be the corpus", "name one")
    shards(tmp_path / "deep" / "data", "parquet", "test")
    fails(tmp_path / "deep", "several files could be the corpus", "data/test-00000-of-00003.parquet")
    assert sentences(tmp_path / "deep", split="test") == sentences(tmp_path / "hub", split="test") == ROWS


@pytest.mark.parametrize("place", ["hub", "hub/data"])
def test_a_missing_part_is_no_smaller_corpus(tmp_path: Path, place: str) -> None:
    for number in range(3):
        shards(tmp_path / f"{number}" / place, "parquet")
        (tmp_path / f"{number}" / place / f"train-0000{number}-of-00003.parquet").unlink()
        there = f"train-0000{int(number == 0)}-of-00003.parquet is one of 3 parts"
        fails(tmp_path / f"{number}" / "hub", there, f"missing: {number};")
    lone = tmp_path / "lone" / place
    shards(lone, "parquet")
    (lone / "train-00000-of-00003.parquet").unlink()
    (lone / "train-00002-of-00003.parquet").unlink()
    fails(tmp_path / "lone" / "hub", "missing: 0, 2;")
    assert sentences(lone / "train-00001-of-00003.parquet") == ROWS[832:1_667]


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(11):
        parquet.write_table(pyarrow.table({"text": [f"in {number}"]}), tmp_path / f"{9_995 + number:04}.parquet")
    fails(tmp_path, "several files could be the corpus")  # they begin neither at 0 nor at 1
    for number in range(11):
        (tmp_path / f"{9_995 + number:04}.parquet").rename(tmp_path / f"{number:04}.parquet")
    assert sentences(tmp_path) == [f"in {number}" for number in range(11)]


def test_parts_may_be_counted_from_one(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"wiki.train-0000{number}-of-00002.txt").write_text(f"in {number}\n")
    assert sentences(tmp_path) == ["in 1", "in 2"]
    (tmp_path / "wiki.train-00007-of-00002.txt").write_text("in 7\n")
    fails(tmp_path, "several files could be the corpus")
    (tmp_path / "wiki.train-00007-of-00002.txt").rename(tmp_path / "wiki.train-00000-of-00003.txt")
    fails(tmp_path, "several files could be the corpus")


def test_parts_are_of_one_kind_and_name(tmp_path: Path) -> None:
    for number, other in enumerate(("wiki-00001.csv", "news-00001.txt")):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("wiki-00000.txt", other):
            (folder / name).write_text("text\none\ntwo\n")
        fails(folder, "several files could be the corpus")


def test_files_that_are_not_parts_are_not_joined(tmp_path: Path) -> None:
    for name in ("news-2019.txt", "news-2020.txt"):
        (tmp_path / name).write_text("one\ntwo\n", encoding="utf-8")
    fails(tmp_path, "several files could be the corpus")
    (tmp_path / "train.txt").write_text("three\nfour\n", encoding="utf-8")
    assert sentences(tmp_path) == ["three", "four"]
    (tmp_path / "train.csv").write_text("text\nfive\nsix\n", encoding="utf-8")
    fails(tmp_path, "several files could be the corpus")


def test_the_sets_of_a_data_folder_are_no_corpus(tmp_path: Path) -> None:
    """A search through all subfolders, as ``datasets`` makes it, would train on STS-B."""
    (tmp_path / "stsb").mkdir()
    for part in ("train", "dev", "test"):
        (tmp_path / "stsb" / f"sts-{part}.csv").write_text("g\tf\ty\t1\t3.0\ta\tb\n", encoding="utf-8")
    fails(tmp_path, "no corpus file", ".parquet", ".bz2")


@pytest.mark.parametrize("kind", [".parquet", ".arrow"])
@pytest.mark.parametrize("ending", ["", ".bz2"])
def test_a_broken_table(tmp_path: Path, kind: str, ending: str) -> None:
    import bz2

    def put(content: bytes) -> Path:
        path = tmp_path / f"c{kind}{ending}"
        path.write_bytes(bz2.compress(content) if ending else content)
        return path

    write = stream if kind == ".arrow" else (lambda path: parquet.write_table(TABLE, path))
    write(tmp_path / "good")
    good = (tmp_path / "good").read_bytes()
    again = [f"not a {kind} file, or it is damaged or incomplete", "again"]
    for broken in (b"", b"text\none\ntwo\n", random.Random(0).randbytes(5_000), good[: len(good) // 2], good[1:]):
        fails(put(broken), f"c{kind}{ending}", *again)


def test_a_damaged_arrow_table_does_not_crash(tmp_path: Path) -> None:
    """Arrow trusts the positions in a file: without a check, these bytes would be read from anywhere in memory."""
    table = pyarrow.table({"text": ["one", "two", "three"]})
    stream(tmp_path / "c.arrow", table)
    content = (tmp_path / "c.arrow").read_bytes()
    positions = np.array([0, 3, 6, 11], "int32").tobytes()
    assert content.count(positions) == 1
    beyond = np.array([0, 3, 2**30, 2**31 - 1], "int32").tobytes()
    (tmp_path / "c.arrow").write_bytes(content.replace(positions, beyond))
    fails(tmp_path / "c.arrow", "damaged or incomplete")
    (tmp_path / "c.arrow").write_bytes(content.replace(b"onetwo", b"one\xff\xfe\xff"))
    fails(tmp_path / "c.arrow", "damaged or incomplete")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_tables_without_two_sentences_of_text(tmp_path: Path, kind: str) -> None:
    def put(columns: dict[str, list[Any]]) -> Path:
        table = pyarrow.table(columns)
        path = tmp_path / f"c.{kind}"
        parquet.write_table(table, path) if kind == "parquet" else stream(path, table)
        return path

    fails(put({}), "no sentence in it")
    fails(put({"text": []}), "no sentence in it")
    fails(put({"text": [None, ""]}), "no sentence in it")
    fails(put({"text": ["one"]}), "only one sentence")
    fails(put({"a": ["one"], "b": ["two"]}), "none of the columns a, b", "--column")
    fails(put({"text": [["one"], ["two"]]}), "row 1", "does not hold text")
    fails(put({"text": [b"one", b"two"]}), "row 1", "does not hold text")
    fails(put({"text": [{"a": "one"}, {"a": "two"}]}), "row 1", "does not hold text")


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    twice = pyarrow.table([["one", "two"], ["three", "four"]], names=["text", "text"])
    stream(tmp_path / "c.arrow", twice)
    fails(tmp_path / "c.arrow", "two columns have the name text")


@pytest.mark.parametrize("damage", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
def test_a_damaged_saved_folder(tmp_path: Path, damage: str) -> None:
    for content in (b"", b"{]"):
        folder = tmp_path / str(len(content))
        dataset().save_to_disk(folder)
        (folder / damage).write_bytes(content)
        fails(folder, str(folder), "what save_to_disk wrote there is damaged", "save it again")
    if damage.endswith(".arrow"):
        (folder / damage).unlink()
        fails(folder, str(folder), "damaged or incomplete", "save it again")


@pytest.mark.parametrize("table", [datasets.Dataset.from_dict({}), datasets.Dataset.from_dict({"text": []}), []])
def test_empty_objects(table: Any) -> None:
    fails(table, f"{type(table).__name__} given as corpus", "no sentence in it")


def test_objects_that_are_no_corpus() -> None:
    fails(3, "The int given as corpus is no corpus", "Dataset")
    fails({"text": ROWS}, "The dict given as corpus is no corpus")
    fails(pandas.DataFrame(COLUMNS), "The DataFrame given as corpus is no corpus", "frame['text']")
    fails(TABLE, "The Table given as corpus is no corpus")
    fails(["one", 2], "item 2: '2' is not a string")
    fails(["one", None], "item 2")
    fails(b"bytes", "item 1")
    fails(ROWS, "no column text", column="text")
    fails(["one"], "only one sentence")
