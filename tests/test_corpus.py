"""Training sentences from every kind of source, and a clear sentence for every kind of broken one."""

from __future__ import annotations

import bz2
import csv
import errno
import gzip
import hashlib
import json
import lzma
import pickle
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pytest
from conftest import one_sentence

from distillcse_kit.data.corpus import corpus_fingerprint, load_corpus
from distillcse_kit.store import Store
from distillcse_kit.training.training_text import Corpus

SENTENCES = ["A man plays a guitar.", 'She said "no", twice.', "Größe, naïve and 東京 in one sentence."]


def sentences(*args: Any, **settings: Any) -> list[str]:
    dataset = load_corpus(*args, **settings)
    assert dataset.column_names == ["sentence"]
    assert dataset.features["sentence"].dtype == "string"
    return list(dataset["sentence"])


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode() if isinstance(text, str) else text
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".xz":
        content = lzma.compress(content)
    elif path.suffix == ".bz2":
        content = bz2.compress(content)
    elif path.suffix == ".zst":
        content = pyarrow.compress(content, "zstd", asbytes=True)
    path.write_bytes(content)
    return path


def comma_text(rows: list[list[str]], path: Path) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path.read_text(encoding="utf-8")


def fails(source: str | Path, *parts: str, **settings: Any) -> None:
    """Loading raises one sentence that has all the parts in it."""
    with one_sentence(*parts):
        load_corpus(source, **settings)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*args: Any, **settings: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(datasets, "load_dataset", unexpected)


# -- what can be read


@pytest.mark.parametrize("ending", ["", ".gz", ".xz", ".bz2", ".zst"])
@pytest.mark.parametrize("kind", [".txt", ".csv", ".tsv", ".json", ".jsonl"])
def test_every_kind_of_file_gives_the_same_sentences(tmp_path: Path, kind: str, ending: str):
    contents = {
        ".txt": "\n".join(SENTENCES),
        ".csv": comma_text([["id", "text"], *([str(n), s] for n, s in enumerate(SENTENCES))], tmp_path / "table"),
        ".tsv": "id\ttext\n" + "".join(f"{n}\t{s}\n" for n, s in enumerate(SENTENCES)),
        ".json": json.dumps([{"id": n, "text": s} for n, s in enumerate(SENTENCES)], indent=1),
        ".jsonl": "\n".join(json.dumps({"id": n, "text": s}) for n, s in enumerate(SENTENCES)) + "\n",
    }
    assert sentences(write(tmp_path / f"Some.Corpus{kind}{ending}", contents[kind])) == SENTENCES


def test_blank_lines_white_space_crlf_and_a_byte_order_mark_are_dropped(tmp_path: Path):
    path = write(tmp_path / "c.txt", b"\xef\xbb\xbf  first one \r\n\r\n \t\n\nsecond\t\r\nthird")
    assert sentences(path) == ["first one", "second", "third"]


def test_only_a_line_feed_ends_a_line(tmp_path: Path):
    odd = "before\u2028after\x85and\x0bon"
    assert sentences(write(tmp_path / "c.txt", f"{odd}\nnext\n")) == [odd, "next"]


@pytest.mark.parametrize("name", ["sentence", "text", "sent0", "sentence1", "sentence_A", "anything"])
def test_a_known_or_the_only_column_is_found(tmp_path: Path, name: str):
    assert sentences(write(tmp_path / "c.csv", f"{name}\none\ntwo\n")) == ["one", "two"]


@pytest.mark.parametrize(
    ("header", "width"), [("sent0", 1), ("sent0,sent1", 2), ("sent0,sent1,hard_neg", 3), ("label,sent1,sent0", 3)]
)
def test_simcse_tables_of_one_to_three_columns(tmp_path: Path, header: str, width: int):
    names = header.split(",")
    rows = [[f"{name} {n}, quoted" for name in names] for n in range(3)]
    assert len(names) == width
    path = tmp_path / "nli.csv"
    comma_text([names, *rows], path)
    assert sentences(path) == [f"sent0 {n}, quoted" for n in range(3)]


def test_a_column_can_be_named(tmp_path: Path):
    path = write(tmp_path / "c.csv", "sent0,hard_neg\na,b\nc,d\n")
    assert sentences(path, column="hard_neg") == ["b", "d"]
    path = write(tmp_path / "c.jsonl", '{"text": "a", "other": "b"}\n{"text": "c", "other": "d"}\n')
    assert sentences(path, column="other") == ["b", "d"]


def test_a_quoted_field_may_run_over_lines_and_quotes_in_a_tsv_are_literal(tmp_path: Path):
    for end in ("\n", "\r\n"):
        text = end.join(["text", '"one', 'more"', "two", ""])
        assert sentences(write(tmp_path / "c.csv", text)) == ["one\nmore", "two"]
    assert sentences(write(tmp_path / "c.tsv", 'text\tn\n"one\t1\nin" chief\t2\n')) == ['"one', 'in" chief']


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SENTENCES),
        json.dumps({"data": SENTENCES}),
        json.dumps({"data": [{"text": s} for s in SENTENCES]}, indent=2),
        "\n".join(json.dumps(s) for s in SENTENCES),
        "\n".join(json.dumps({"sentence": s, "n": None}) for s in SENTENCES),
    ],
)
def test_forms_of_json(tmp_path: Path, text: str):
    assert sentences(write(tmp_path / "c.json", text)) == SENTENCES


def test_what_datasets_writes_can_be_read(tmp_path: Path):
    dataset = datasets.Dataset.from_dict({"sentence": [*SENTENCES, None]})
    dataset.to_json(tmp_path / "c.json")
    dataset.to_csv(tmp_path / "c.csv")
    assert sentences(tmp_path / "c.json") == SENTENCES
    assert sentences(tmp_path / "c.csv") == SENTENCES


def test_limit_takes_the_first_sentences_and_reads_no_further(tmp_path: Path):
    path = write(tmp_path / "c.txt", b"one\n\ntwo\nthree\n\xff not UTF-8\n")
    assert sentences(path, limit=3) == ["one", "two", "three"]
    fails(path, "line 5", limit=4)


def test_a_limit_beyond_the_end_is_no_error(tmp_path: Path):
    assert sentences(write(tmp_path / "c.txt", "one\ntwo\n"), limit=100) == ["one", "two"]


def test_more_than_one_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("distillcse_kit.data.corpus._CHUNK", 3)
    wanted = [f"sentence {n}" for n in range(10)]
    assert sentences(write(tmp_path / "c.txt", "\n".join(wanted))) == wanted


def test_the_builtin_corpus():
    assert sentences(limit=20) == sentences("builtin", limit=20)
    assert len(set(sentences(limit=20))) == 20


def test_nothing_is_written_to_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    dataset = load_corpus(write(tmp_path / "c.txt", "one\ntwo\n"))
    assert dataset.cache_files == []
    assert not (tmp_path / "cache").exists()


# -- in a store


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return write(tmp_path / "many.txt", "".join(f"  sentence {n}, größer \n\n" for n in range(30_000)))


def test_in_a_store_the_sentences_are_the_same_and_on_disk(many: Path, store: Store):
    in_memory = load_corpus(many)
    before = pyarrow.total_allocated_bytes()
    dataset = load_corpus(many, store=store)
    assert pyarrow.total_allocated_bytes() - before < 50_000 < dataset.data.nbytes
    assert list(dataset["sentence"]) == list(in_memory["sentence"])
    assert corpus_fingerprint(dataset) == corpus_fingerprint(in_memory)
    assert [Path(file["filename"]).parent for file in dataset.cache_files] == [store.root / "corpora"]


def test_a_store_has_a_file_for_each_text_and_damage_does_not_last(tmp_path: Path, store: Store):
    path = write(tmp_path / "c.txt", "one\ntwo\nthree")
    first = load_corpus(path, store=store)
    (file,) = (store.root / "corpora").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    again = load_corpus(write(tmp_path / "same.jsonl", '"one"\n"two"\n"three"'), store=store)
    write(path, "one\ntwo\nfour")
    changed = load_corpus(path, store=store)
    assert list(again["sentence"]) == ["one", "two", "three"] and list(changed["sentence"]) == ["one", "two", "four"]
    assert first.cache_files == again.cache_files != changed.cache_files
    assert len(list((store.root / "corpora").iterdir())) == 2


def test_of_a_broken_source_nothing_is_left_in_the_store(tmp_path: Path, store: Store):
    for broken in ("", "just one\n", b"one\ntwo\nna\xefve\n"):
        fails(write(tmp_path / "c.txt", broken), "c.txt", store=store)
    assert list((store.root / "corpora").iterdir()) == []


def test_a_full_disk_is_reported(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch):
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.ipc.new_stream", full)
    fails(write(tmp_path / "c.txt", "one\ntwo"), "could not be written", "No space left", "free space", store=store)
    assert list((store.root / "corpora").iterdir()) == []


def test_a_corpus_reads_one_sentence_some_or_all(many: Path, store: Store):
    corpus = Corpus.of(load_corpus(many, store=store))
    assert corpus.sentences[3] == corpus.sentences[np.int64(3)] == "sentence 3, größer"
    assert corpus.sentences[:2] == ["sentence 0, größer", "sentence 1, größer"]
    assert corpus.sentences[29_999:40_000] == ["sentence 29999, größer"]
    assert len(corpus) == 30_000 == sum(1 for _ in corpus.sentences)


def test_a_corpus_in_a_store_is_sent_by_the_name_of_its_file(many: Path, store: Store):
    """test_jobs has other processes read it."""
    corpus = Corpus.of(load_corpus(many, store=store))
    sent = pickle.dumps(corpus)
    assert len(sent) < 3_000
    assert pickle.loads(sent) == corpus


# -- folders


def test_a_folder_with_one_corpus_file(tmp_path: Path):
    write(tmp_path / "README.txt", "read me\nplease")
    write(tmp_path / "LICENSE.txt", "as is\nreally")
    write(tmp_path / "picture.png", b"\0")
    write(tmp_path / "mine.txt.gz", "one\ntwo")
    assert sentences(tmp_path) == ["one", "two"]
    assert sentences(str(tmp_path)) == ["one", "two"]


def test_known_names_come_first_then_the_only_one(tmp_path: Path):
    write(tmp_path / "corpus" / "other.txt", "other 1\nother 2")
    assert sentences(tmp_path) == ["other 1", "other 2"]
    write(tmp_path / "corpus" / "wiki_en_1m.txt.xz", "wiki_en 1\nwiki_en 2")
    assert sentences(tmp_path) == ["wiki_en 1", "wiki_en 2"]
    write(tmp_path / "corpus" / "wiki_en_1m.txt", "plain 1\nplain 2")
    assert sentences(tmp_path) == ["plain 1", "plain 2"]
    write(tmp_path / "wiki1m_for_simcse.txt", "wiki1m 1\nwiki1m 2")
    assert sentences(tmp_path) == ["wiki1m 1", "wiki1m 2"]


def test_a_folder_with_several_or_no_corpora(tmp_path: Path):
    fails(tmp_path, str(tmp_path), "no corpus file", "wiki1m_for_simcse.txt")
    write(tmp_path / "a.txt", "one\ntwo")
    write(tmp_path / "corpus" / "b.csv", "text\none\ntwo")
    fails(tmp_path, str(tmp_path), "a.txt", str(Path("corpus", "b.csv")), "--corpus")


# -- the hub, with a folder in its place


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every subfolder OWNER/NAME stands for that dataset."""
    root = tmp_path / "hub"
    load = datasets.load_dataset

    def load_dataset(name: str, **settings: Any) -> datasets.Dataset:
        assert "trust_remote_code" not in settings
        return load(str(root / name), cache_dir=str(tmp_path / "cache"), **settings)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return root


def test_a_hub_dataset(hub: Path):
    lines = "".join(json.dumps({"text": s, "n": 1}) + "\n" for s in [" one ", "", None, "two", "three"])
    write(hub / "sentence-transformers" / "wiki1m-for-simcse" / "train.jsonl", lines)
    write(hub / "sentence-transformers" / "wiki1m-for-simcse" / "test.jsonl", lines.replace("one", "uno"))
    name = "sentence-transformers/wiki1m-for-simcse"
    assert sentences(name) == ["one", "two", "three"]
    assert sentences(name, limit=2) == ["one", "two"]
    assert sentences(name, split="test") == ["uno", "two", "three"]
    fails(name, "no column words", "text, n", column="words")
    fails(name, "column n does not hold text", column="n")
    fails(name, "(split dev)", "could not be loaded", split="dev")


def test_an_unreachable_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    def load_dataset(*args: Any, **settings: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub\nwith more\nlines")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    fails("owner/name", "owner/name (split train)", "Couldn't reach the Hub)", "hf download", "builtin")


@pytest.mark.parametrize(
    "source",
    [
        "missing.txt",
        "owner/missing.jsonl.xz",
        "missing.xz",
        "./missing",
        "~/missing/a",
        "/missing",
        "a/b/c",
        "tests/missing",
    ],
)
@pytest.mark.usefixtures("no_hub")
def test_what_looks_like_a_path_is_no_hub_name(source: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    fails(source, source, "no such file or folder")


@pytest.mark.usefixtures("no_hub")
def test_a_path_object_is_no_hub_name():
    fails(Path("owner/name"), "no such file or folder")


# -- broken files


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("c.txt", "", ["no sentence", "empty"]),
        ("c.txt", " \n\n\t\r\n", ["no sentence"]),
        ("c.csv", "", ["no sentence"]),
        ("c.csv", "text\n", ["no sentence"]),
        ("c.json", "", ["no sentence"]),
        ("c.json", "[]", ["no sentence"]),
        ("c.jsonl", "\n", ["no sentence"]),
        ("c.txt", "just one\n", ["only one sentence", "two or more"]),
        ("c.json", '["just one"]', ["only one sentence"]),
        ("c.txt", b"fine\nbi\0nary\n", ["line 2", "NUL", "not a UTF-8 text file"]),
        ("c.txt", "one\ntwo\n".encode("utf-16"), ["line 1", "iconv -f UTF-16"]),
        ("c.csv", b"text\none\nt\0wo\n", ["line 3", "NUL"]),
        ("c.json", b'["one",\n"t\0wo"]', ["line 2", "NUL"]),
        ("c.txt", b"one\ntwo\nna\xefve\n", ["line 3", "byte 3", "0xef", "iconv"]),
        ("c.txt.gz", b"one\ntwo\nna\xefve\n", ["line 3", "byte 3", "0xef", "iconv"]),
        ("c.tsv", b"text\tn\nna\xefve\t1\n", ["line 2", "byte 3", "iconv"]),
        ("c.csv", "a,b\none,two\nthree,four\n", ["columns a, b", "sentence_A", "--column"]),
        ("c.tsv", "a\tb\none\ttwo\n", ["columns a, b", "--column"]),
        ("c.csv", "text,n\none,1\ntwo, or three,2\n", ["line 3", "3 fields", "header has 2"]),
        ("c.csv", 'text,n\n"one\n",1\nshort\n', ["line 4", "1 fields"]),
        ("c.csv", 'text,n\none,1\n"never closed,2\nthree,3\n', ["line 3", "not valid CSV"]),
        ("c.jsonl", '"one"\n{"text": "two"\n"three"\n', ["line 2", "not valid JSON"]),
        ("c.json", '[\n"one",\n"two"\n"three"]', ["line 4", "not valid JSON"]),
        ("c.json", '{"rows": ["one", "two"]}\n', ["line 1", "not a string"]),
        ("c.json", '{\n"rows": ["one", "two"]}\n', ["a list of strings or of objects"]),
        ("c.json", "3", ["a list of strings or of objects"]),
        ("c.json", '[{"text": "one"}, {"txt": "two"}]', ["item 2", "no key text"]),
        ("c.json", '["one", ["two"]]', ["item 2", '["two"]', "not a string"]),
        ("c.jsonl", '{"text": "one"}\n{"text": 2}\n', ["line 2", "2 is not a string"]),
        ("c.jsonl", '{"a": "one", "b": "two"}\n', ["columns a, b", "--column"]),
        ("c.parquet", "PAR1", ["not a .parquet file, or it is damaged", "again"]),
        ("c.pdf", "%PDF", ["does not know this kind", ".jsonl", ".zst may follow"]),
        ("c", "one\ntwo", ["does not know this kind", ".txt"]),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_a_fix(tmp_path: Path, name: str, content: str | bytes, parts: list):
    path = write(tmp_path / name, content)
    fails(path, str(path), *parts)


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2", ".zst"])
def test_damaged_archives(tmp_path: Path, ending: str):
    whole = write(tmp_path / f"c.txt{ending}", "".join(f"{hashlib.md5(b'%d' % n).hexdigest()}\n" for n in range(2000)))
    content = whole.read_bytes()
    middle = len(content) // 2
    damaged = {
        "cut": content[:middle],
        "changed": content[:middle]
        + bytes(255 - byte for byte in content[middle : middle + 50])
        + content[middle + 50 :],
        "plain": b"not compressed at all\nreally\n",
    }
    if ending == ".zst":
        del damaged["changed"]  # Arrow writes no checksum, so nobody can tell
    if ending == ".gz":
        damaged["no such block"] = content[:10] + b"\xff" + content[11:]  # what follows the 10 bytes of the header
    for name, broken in damaged.items():
        path = tmp_path / f"{name}.txt{ending}"
        path.write_bytes(broken)
        fails(path, str(path), "damaged or incomplete", "again")


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("c.txt", PermissionError(13, "Permission denied"), "Permission denied"),
        ("c.txt.gz", PermissionError(13, "Permission denied"), "Permission denied"),
        ("c.txt", OSError("no number"), "no number"),
    ],
)
def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: OSError, told: str):
    def refuse(*args: Any, **settings: Any) -> None:
        raise error

    monkeypatch.setattr("distillcse_kit.data.reading._open", refuse)
    path = write(tmp_path / name, "one\ntwo")
    fails(path, str(path), f"cannot be read ({told})")


def test_columns_where_there_are_none(tmp_path: Path):
    fails("builtin", "no column text", column="text")
    fails(write(tmp_path / "c.txt", "one\ntwo"), "no columns", column="text")
    fails(write(tmp_path / "c.csv", "text,n\none,1\n"), "no column word", "text, n", column="word")


@pytest.mark.parametrize("limit", [-1, 0, 1])
def test_a_limit_below_two(limit: int):
    fails("builtin", f"limit is {limit}", "at least two", limit=limit)


# -- the fingerprint


def test_the_fingerprint_is_of_sentences_in_their_order(tmp_path: Path):
    def fingerprint(*texts: str) -> str:
        return corpus_fingerprint(datasets.Dataset.from_dict({"sentence": list(texts)}))

    same = load_corpus(write(tmp_path / "c.txt", "\n ab \n\nc\n"))
    assert fingerprint("ab", "c") == corpus_fingerprint(same) == hashlib.sha256(b"2:ab1:c").hexdigest()[:16]
    assert len({fingerprint(*t) for t in (["ab", "c"], ["c", "ab"], ["a", "bc"], ["ab"], ["ab", "c", "c"])}) == 5
    assert corpus_fingerprint(same.select([1, 0])) == fingerprint("c", "ab")


# -- the real corpora


def test_the_real_folder_gives_wikipedia(real_data: Path):
    with lzma.open(real_data / "corpus" / "wiki_en_1m.txt.xz", "rt", encoding="utf-8", newline="\n") as file:
        wanted = [next(file).strip() for _ in range(2000)]
    assert sentences(real_data, limit=2000) == wanted


def test_the_real_beginning_of_wiki1m(real_data: Path):
    assert len(sentences(real_data / "corpus" / "wiki1m_for_simcse.first11914.txt")) == 11_915
