"""Reading scored pairs from the user's own files, folders and data sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillcse_kit.data.column_tables import Table, file_table, is_saved, saved_table
from distillcse_kit.data.json_records import json_records
from distillcse_kit.data.pair_files import ScoredRow
from distillcse_kit.data.reading import COMPRESSED, DATA_KINDS, Row, comma_rows, kind_of, numbered_lines, tab_rows
from distillcse_kit.data.split_files import split_in
from distillcse_kit.data.tasks import TASKS, plain_name
from distillcse_kit.errors import KitError

# Names are compared without case and punctuation: sentence_A is sentencea.
_SENTENCES = (
    *(("sentence1", "sentence2"), ("sentencea", "sentenceb"), ("first", "second")),
    *(("text1", "text2"), ("texta", "textb"), ("sent1", "sent2"), ("sent0", "sent1")),
)
_SCORES = (
    *("score", "scores", "similarityscore", "similarity", "relatednessscore", "relatedness", "goldscore", "gold"),
    *("rating", "label", "labels", "value"),
)

PairColumns = tuple[str, str, str]
Parted = tuple[object, "ScoredRow"]  # what the pair's column ``split`` says, None without such a column


def is_pairs_file(task: str) -> bool:
    """Whether ``task`` is the path of a file or folder of pairs, and not the name of a known set."""
    if not task or plain_name(task) in {alias for info in TASKS.values() for alias in info.aliases}:
        return False
    path = Path(task).expanduser()
    return "/" in task or path.exists() or kind_of(path) in DATA_KINDS or path.suffix.lower() in COMPRESSED


def own_rows(path: Path, split: str) -> Iterator[ScoredRow]:
    """Pairs of a user's file, or of one split of a folder.

    Raises:
        KitError: the file is missing, of an unknown kind, unreadable or malformed, or the folder has no such split.
    """
    if not path.exists():
        raise KitError(f"{path}: there is no such file of pairs; check the path.")
    if path.is_file():
        yield from _file_rows(path)
    elif is_saved(path):
        yield from table_pairs(saved_table(path, split))
    else:
        files = split_in(path, split)
        if not files:
            raise KitError(
                f"{path}: it is not clear which file of this folder holds the pairs of the split {split}; name the "
                f"file, or give a folder with STS sets as the data folder (--data-dir)."
            )
        for file in files:
            yield from _file_rows(file)


def _file_rows(path: Path) -> Iterator[ScoredRow]:
    reader = _PAIR_READERS.get(kind_of(path))
    if reader is None:
        raise KitError(
            f"{path}: the kit does not know this kind of file of pairs; its name must end in "
            f"{', '.join(_PAIR_READERS)}, and {', '.join(COMPRESSED)} may follow."
        )
    return _of_one_split(reader(path))


def pair_columns(names: Sequence[str], origin: str) -> PairColumns:
    """Names of the columns that hold the first sentences, the second sentences and the scores.

    The usual names are known. Of three columns, one of them a score, the others are the sentences, whatever their
    names: that is the rule of sentence-transformers.

    Raises:
        KitError: the names do not tell.
    """
    usual = _usual_columns(names)
    if usual is not None:
        return usual
    scores = [name for name in names if plain_name(name) in _SCORES]
    if len(names) == 3 and len(scores) == 1:
        first, second = (name for name in names if name not in scores)
        return first, second, scores[0]
    raise KitError(
        f"{origin}: the columns {', '.join(names)} are not those of pairs; call the sentences sentence1 and "
        f"sentence2, and the similarity score."
    )


def _usual_columns(names: Sequence[str]) -> PairColumns | None:
    plain = {plain_name(name): name for name in reversed(names)}
    sentences = next(((plain[a], plain[b]) for a, b in _SENTENCES if a in plain and b in plain), None)
    score = next((plain[word] for word in _SCORES if word in plain), None)
    return None if score is None or sentences is None else (*sentences, score)


def _of_one_split(rows: Iterator[Parted]) -> Iterator[ScoredRow]:
    first: object = None
    for number, (part, row) in enumerate(rows):
        first = part if number == 0 else first
        if part != first:
            raise KitError(
                f"{row.where}: the column split says {part}, but {first} before it; keep the rows of one split, so "
                f"that no score mixes them."
            )
        yield row


def table_pairs(table: Table) -> Iterator[ScoredRow]:
    """Pairs of a table with named columns.

    Raises:
        KitError: the columns are not those of pairs, a value is of the wrong type, or the splits are mixed.
    """
    return _of_one_split(_table_rows(table))


def _table_rows(table: Table) -> Iterator[Parted]:
    if not table.columns:
        return
    columns = pair_columns(table.columns, table.origin)
    classes = table.classes.get(columns[2], ())
    if len(classes) > 2:
        raise KitError(
            f"{table.origin}: {columns[2]} is one of the classes {', '.join(classes)}, not a similarity; "
            f"give a data set whose scores are numbers."
        )
    part = ["split"] * ("split" in table.columns)
    for number, (first, second, score, *parts) in table.rows([*columns, *part]):
        yield (*parts, None)[0], _typed_row(table.origin, f"row {number}", (first, second), score)


def _json_rows(path: Path) -> Iterator[Parted]:
    columns: PairColumns | None = None
    for where, found in json_records(path):
        if not isinstance(found, dict):
            raise KitError(
                f"{path}, {where}: {json.dumps(found)[:40]} is not an object; give one with the keys sentence1, "
                f"sentence2 and score for each pair."
            )
        record = _unfolded(found)
        columns = columns or pair_columns(list(record), f"{path}, {where}")
        for name in columns:
            if name not in record:
                raise KitError(f"{path}, {where}: the object has no key {name}; give every object that key.")
        first, second, score = (record[name] for name in columns)
        yield record.get("split"), _typed_row(path, where, (first, second), score)


def _unfolded(record: dict[str, Any]) -> dict[str, Any]:
    """``{"texts": [first, second], ...}``, as sentence-transformers wrote examples, with a key for each sentence."""
    texts = record.get("texts")
    if not isinstance(texts, list) or len(texts) != 2:
        return record
    return {"sentence1": texts[0], "sentence2": texts[1], **{key: record[key] for key in record if key != "texts"}}


def _typed_row(file: Path | str, place: str, sentences: tuple[Any, Any], score: Any) -> ScoredRow:
    """A row whose values have types: the sentences must be strings. Scores of all files are checked in one place."""
    for sentence in sentences:
        if sentence is not None and not isinstance(sentence, str):
            raise KitError(f"{file}, {place}: {_shown(sentence)} is not a string; give the two sentences as strings.")
    first, second = (sentence or "" for sentence in sentences)
    return ScoredRow(file, place, first, second, "" if score is None else str(score))


def _shown(value: object) -> str:
    """The beginning of a value as it would be typed, for an error message."""
    return repr(value)[:40]


def _text_rows(path: Path) -> Iterator[Parted]:
    """Pairs of a .csv, .tsv or .txt file.

    If the first line has the usual names, they say which columns are read. Otherwise the first two columns are the
    sentences, and the last one is the score.
    """
    columns: list[int] = [0, 1, -1]
    part: int | None = None
    for number, row in enumerate(_rows(path)):
        if number == 0:
            names = [name.strip() for name in row.fields]
            found = _usual_columns(names)
            if found:
                columns = [names.index(name) for name in found]
                part = names.index("split") if "split" in names else None
            if found or plain_name(names[-1]) in _SCORES:
                continue
        if len(row.fields) < max(3, 1 + max(columns), 0 if part is None else part + 1):
            separator = "commas" if kind_of(path) == ".csv" else "tabs"
            wanted = "three" if columns[2] < 0 else f"the header's {len(names)}"
            raise KitError(
                f"{path}, line {row.line}: {len(row.fields)} column(s) instead of {wanted}; give two sentences and a "
                f"score, separated by {separator}."
            )
        first, second, score = (row.fields[column] for column in columns)
        yield None if part is None else row.fields[part], ScoredRow(path, f"line {row.line}", first, second, score)


def _rows(path: Path) -> Iterator[Row]:
    """Rows of a table. Some .csv files, like those of STS-B, use tabs instead of commas."""
    first = next((text for _, text in numbered_lines(path) if text.strip()), "")
    return comma_rows(path) if kind_of(path) == ".csv" and "\t" not in first else tab_rows(path)


_PAIR_READERS: Mapping[str, Callable[[Path], Iterator[Parted]]] = {
    ".csv": _text_rows,
    ".tsv": _text_rows,
    ".txt": _text_rows,
    ".json": _json_rows,
    ".jsonl": _json_rows,
    ".parquet": lambda path: _table_rows(file_table(path)),
    ".arrow": lambda path: _table_rows(file_table(path)),
}
