"""Reading sentences from each kind of file, and from the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from distillcse_kit.data.reading import COMPRESSED, Row, comma_rows, kind_of, load_hub, numbered_lines, tab_rows
from distillcse_kit.errors import KitError

SENTENCE_COLUMNS = ("sentence", "text", "sent0", "sentence1", "sentence_A")

KNOWN_CORPORA = ("wiki1m_for_simcse.txt", "wiki_en_1m.txt")  # a folder is searched for these first, in this order

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")

_NOT_SENTENCES = re.compile("readme|license|licence", re.IGNORECASE)

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


def corpus_in(folder: Path) -> Path:
    """The corpus file of a folder or of its subfolder ``corpus``: a well-known one, or else the only one.

    Raises:
        KitError: there is no corpus file, or there are several and none is well known.
    """
    places = [folder, *(sub for sub in sorted(folder.iterdir()) if sub.is_dir() and sub.name.lower() == "corpus")]
    files = [
        file
        for place in places
        for file in sorted(place.iterdir())
        if file.is_file() and kind_of(file) in _READERS and not _NOT_SENTENCES.search(file.name)
    ]
    for known in KNOWN_CORPORA:
        for file in files:
            if file.name in (known, *(known + suffix for suffix in COMPRESSED)):
                return file
    if len(files) == 1:
        return files[0]
    if not files:
        raise KitError(
            f"{folder}: no corpus file ({', '.join(_READERS)}; also .gz, .xz) in it or in its subfolder corpus; "
            f"{_GET_WIKI1M}."
        )
    listed = ", ".join(str(file.relative_to(folder)) for file in files)
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
            f"{', '.join(_READERS)}, with or without .gz or .xz."
        )
    return reader(path, column)


def _text_sentences(path: Path, column: str | None) -> Iterator[str]:
    if column is not None:
        raise KitError(f"{path}: a text file has no columns, so it has no column {column}; leave the column out.")
    for _, text in numbered_lines(path):
        yield text


def _comma_sentences(path: Path, column: str | None) -> Iterator[str]:
    return _table_sentences(comma_rows(path), path, column)


def _tab_sentences(path: Path, column: str | None) -> Iterator[str]:
    return _table_sentences(tab_rows(path), path, column)


def _table_sentences(rows: Iterator[Row], path: Path, column: str | None) -> Iterator[str]:
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


def _json_line_sentences(path: Path, column: str | None) -> Iterator[str]:
    return _record_sentences(_json_lines(path), path, column)


def _json_sentences(path: Path, column: str | None) -> Iterator[str]:
    return _record_sentences(_json_records(path), path, column)


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    for number, text in numbered_lines(path):
        if text.strip():
            yield f"line {number}", _parse_json(text, path, number)


def _json_records(path: Path) -> Iterator[tuple[str, Any]]:
    first = next((text for _, text in numbered_lines(path) if text.strip()), None)
    if first is None:
        return
    if _is_json_record(first):
        yield from _json_lines(path)
        return
    content = _parse_json("\n".join(text for _, text in numbered_lines(path)), path, 1)
    if isinstance(content, dict):
        content = content.get("data")
    if not isinstance(content, list):
        raise KitError(
            f'{path}: the file must hold a list of strings or of objects, or {{"data": that list}}; '
            f"the kit reads no other form of JSON, so write such a list, or a .txt file with one sentence per line."
        )
    for number, record in enumerate(content, start=1):
        yield f"item {number}", record


def _is_json_record(text: str) -> bool:
    """Whether a file's first line is a complete record: then each line is one, otherwise the file is one document."""
    try:
        record = json.loads(text)
    except ValueError:
        return False
    return isinstance(record, str) or (isinstance(record, dict) and not isinstance(record.get("data"), list))


def _parse_json(text: str, path: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise KitError(
            f"{path}, line {first_line + error.lineno - 1}: not valid JSON ({error.msg}, character {error.colno}); "
            f"fix the line, or write one sentence per line in a .txt file."
        ) from error


def _record_sentences(records: Iterable[tuple[str, Any]], path: Path, column: str | None) -> Iterator[str]:
    """Sentences of strings and objects. ``null`` is a blank sentence: ``datasets`` writes it for a missing one."""
    picked: str | None = None
    for where, record in records:
        sentence = record
        if isinstance(record, dict):
            picked = picked or _pick_column(list(record), column, str(path), f" in {where}")
            if picked not in record:
                raise KitError(f"{path}, {where}: the object has no key {picked}; give every object that key.")
            sentence = record[picked]
        if sentence is None:
            continue
        if not isinstance(sentence, str):
            raise KitError(f"{path}, {where}: {json.dumps(sentence)[:40]} is not a string; give a sentence in quotes.")
        yield sentence


def hub_sentences(name: str, split: str, column: str | None) -> Iterator[str]:
    """Sentences of one split of a dataset on the hub; a missing one is blank.

    Raises:
        KitError: the dataset cannot be loaded, or has no column of text that could hold the sentences.
    """
    dataset = load_hub(name, split, _GET_WIKI1M)
    picked = _pick_column(dataset.column_names, column, f"{name} (split {split})")
    for batch in dataset.select_columns([picked]).iter(batch_size=10_000):
        for sentence in batch[picked]:
            if sentence is not None and not isinstance(sentence, str):
                raise KitError(
                    f"{name}: the column {picked} does not hold text; name another with --column of teach, distill "
                    f"and pretrain."
                )
            yield sentence or ""


_READERS: dict[str, Callable[[Path, str | None], Iterator[str]]] = {
    ".txt": _text_sentences,
    ".csv": _comma_sentences,
    ".tsv": _tab_sentences,
    ".json": _json_sentences,
    ".jsonl": _json_line_sentences,
}
