"""Reading sentences from each kind of file, from folders and from tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from distillcse_kit.data.column_tables import Table, dataset_table, file_table, is_saved, saved_table
from distillcse_kit.data.json_records import json_records
from distillcse_kit.data.reading import (
    COMPRESSED,
    DATA_KINDS,
    Row,
    comma_rows,
    kind_of,
    load_hub,
    numbered_lines,
    tab_rows,
)
from distillcse_kit.data.split_files import data_files, files_of_split, places_of_split
from distillcse_kit.errors import KitError

SENTENCE_COLUMNS = ("sentence", "text", "sent0", "sentence1", "sentence_A")

KNOWN_CORPORA = ("wiki1m_for_simcse.txt", "wiki_en_1m.txt")  # a folder is searched for these first, in this order

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")

_GET_WIKI1M = (
    "download SimCSE's corpus once where you have a network (hf download princeton-nlp/datasets-for-simcse "
    "wiki1m_for_simcse.txt --repo-type dataset --local-dir .), or name a text file of your own, or use builtin"
)


def looks_like_path(source: str) -> bool:
    """Whether ``source`` is a path: a name that no dataset on the hub can have, or one whose folder exists."""
    if not _HUB_NAME.fullmatch(source) or source.startswith("."):
        return True
    if kind_of(Path(source)) in _READERS or Path(source).suffix.lower() in COMPRESSED:
        return True
    return "/" in source and Path(source).parent.is_dir()


def folder_sentences(folder: Path, column: str | None, split: str) -> Iterator[str]:
    """Sentences of a folder that ``save_to_disk`` wrote, or of the corpus in a folder or in its subfolder ``corpus``.

    Raises:
        KitError: there is no corpus, there are several and none is well known, or it is damaged.
    """
    places = [folder, *(sub for sub in sorted(folder.iterdir()) if sub.is_dir() and sub.name.lower() == "corpus")]
    for place in places:
        if is_saved(place):
            return table_sentences(saved_table(place, split), column)
    return chain.from_iterable(file_sentences(file, column) for file in _corpus_in(folder, places, split))


def _corpus_in(folder: Path, places: list[Path], split: str) -> list[Path]:
    """A well-known file, or else the only one, or else that of the split, which may be in parts."""
    files, deeper = data_files(places), data_files([sub for place in places for sub in places_of_split(place, split)])
    for known in KNOWN_CORPORA:
        for file in (*files, *deeper):
            if file.name in (known, *(known + suffix for suffix in COMPRESSED)):
                return [file]
    found = files_of_split(files or deeper, split) or (files if len(files) == 1 else [])
    if found:
        return found
    if not (files or deeper):
        raise KitError(
            f"{folder}: no corpus file ({', '.join(DATA_KINDS)}; also {', '.join(COMPRESSED)}) in it or in its "
            f"subfolder corpus; {_GET_WIKI1M}."
        )
    listed = ", ".join(str(file.relative_to(folder)) for file in files or deeper)
    raise KitError(
        f"{folder}: several files could be the corpus ({listed}); name one of them, as pretrain's file or with "
        f"--corpus of teach, distill, course and bench."
    )


def file_sentences(path: Path, column: str | None) -> Iterator[str]:
    """Sentences of a file, read lazily, blank ones included.

    Raises:
        KitError: the kind of file is unknown, or the file is missing, damaged, not UTF-8 or malformed.
    """
    reader = _READERS.get(kind_of(path))
    if reader is None:
        raise KitError(
            f"{path}: the kit does not know this kind of corpus file; its name must end in "
            f"{', '.join(DATA_KINDS)}, and {', '.join(COMPRESSED)} may follow."
        )
    return reader(path, column)


def _text_sentences(path: Path, column: str | None) -> Iterator[str]:
    if column is not None:
        raise KitError(f"{path}: a text file has no columns, so it has no column {column}; leave the column out.")
    for _, text in numbered_lines(path):
        yield text


def _comma_sentences(path: Path, column: str | None) -> Iterator[str]:
    return _row_sentences(comma_rows(path), path, column)


def _tab_sentences(path: Path, column: str | None) -> Iterator[str]:
    return _row_sentences(tab_rows(path), path, column)


def _row_sentences(rows: Iterator[Row], path: Path, column: str | None) -> Iterator[str]:
    header = next(rows, None)
    if header is None:
        return
    names = [name.strip() for name in header.fields]
    position = names.index(_pick_column(names, column, str(path), f" in line {header.line}"))
    for row in rows:
        if len(row.fields) != len(names):
            raise KitError(
                f"{path}, line {row.line}: {len(row.fields)} fields, but the header has {len(names)} "
                f"({', '.join(names)}); in a .csv, put quotes around a field that contains a comma."
            )
        yield row.fields[position]


def _pick_column(names: Sequence[str], column: str | None, origin: str, where: str = "") -> str:
    if column is not None:
        if column in names:
            return column
        raise KitError(f"{origin}: no column {column}{where}; the columns are {', '.join(names)}.")
    for known in SENTENCE_COLUMNS:
        if known in names:
            return known
    if len(names) == 1:
        return names[0]
    raise KitError(
        f"{origin}: none of the columns {', '.join(names)}{where} is one that the kit knows "
        f"({', '.join(SENTENCE_COLUMNS)}); rename the column that holds the sentences to sentence, or name it with "
        f"--column of teach, distill and pretrain."
    )


def _record_sentences(path: Path, column: str | None) -> Iterator[str]:
    """Sentences of strings and objects. ``null`` is a blank sentence: ``datasets`` writes it for a missing one."""
    picked: str | None = None
    for where, record in json_records(path):
        sentence = record
        if isinstance(record, dict):
            picked = picked or _pick_column(list(record), column, str(path), f" in {where}")
            if picked not in record:
                raise KitError(f"{path}, {where}: the object has no key {picked}; give every object that key.")
            sentence = record[picked]
        elif column is not None and record is not None:
            raise KitError(f"{path}, {where}: a string has no key {column}; give an object with that key.")
        if sentence is None:
            sentence = ""
        if not isinstance(sentence, str):
            raise KitError(f"{path}, {where}: {json.dumps(sentence)[:40]} is not a string; give a sentence in quotes.")
        yield sentence


def hub_sentences(name: str, split: str, column: str | None) -> Iterator[str]:
    """Sentences of one split of a dataset on the hub; a missing one is blank.

    Raises:
        KitError: the dataset cannot be loaded, or has no column of text that could hold the sentences.
    """
    dataset = load_hub(name, split, _GET_WIKI1M)
    return table_sentences(dataset_table(dataset, f"{name} (split {split})"), column)


def table_sentences(table: Table, column: str | None) -> Iterator[str]:
    """Sentences of a table; a missing one is blank.

    Raises:
        KitError: no column of text could hold the sentences, or the table's file is damaged.
    """
    if not table.columns:
        return
    picked = _pick_column(table.columns, column, table.origin)
    for number, (sentence,) in table.rows([picked]):
        if sentence is not None and not isinstance(sentence, str):
            raise KitError(
                f"{table.origin}, row {number}: the column {picked} does not hold text; name another with --column of "
                f"teach, distill and pretrain."
            )
        yield sentence or ""


def _table_file_sentences(path: Path, column: str | None) -> Iterator[str]:
    return table_sentences(file_table(path), column)


_READERS: dict[str, Callable[[Path, str | None], Iterator[str]]] = {
    ".txt": _text_sentences,
    ".csv": _comma_sentences,
    ".tsv": _tab_sentences,
    ".json": _record_sentences,
    ".jsonl": _record_sentences,
    ".parquet": _table_file_sentences,
    ".arrow": _table_file_sentences,
}
