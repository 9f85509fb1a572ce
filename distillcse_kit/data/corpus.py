"""Training sentences as a ``datasets.Dataset``: built in, from the user's own files, or from the hub."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from distillcse_kit.data.reading import COMPRESSED, Row, comma_rows, kind_of, load_hub, numbered_lines, tab_rows
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store, new_file

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets.table import MemoryMappedTable
    from pyarrow import RecordBatch

BUILTIN_SIZE = 40_000
SENTENCE_COLUMNS = ("sentence", "text", "sent0", "sentence1", "sentence_A")
KNOWN_CORPORA = ("wiki1m_for_simcse.txt", "wiki_en_1m.txt")  # what a folder is searched for, in this order

_CHUNK = 10_000  # sentences turned into one Arrow batch at a time: no million Python strings in memory
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_NOT_SENTENCES = re.compile("readme|license|licence", re.IGNORECASE)
_GET_WIKI1M = (
    "download SimCSE's corpus once where there is a network (hf download princeton-nlp/datasets-for-simcse "
    "wiki1m_for_simcse.txt --repo-type dataset --local-dir .), or name a text file of your own, or take builtin"
)


def load_corpus(
    source: str | Path = "builtin",
    limit: int | None = None,
    column: str | None = None,
    split: str = "train",
    store: Store | None = None,
) -> Dataset:
    """Load training sentences; blank ones are skipped and surrounding white space is removed.

    Args:
        source: one of

            - ``builtin``: the kit's own generator;
            - a file, also compressed as .gz or .xz: .txt (a sentence a line), .csv (commas, quoted fields), .tsv (tabs,
              literal quotes), both with a header in the first line, .jsonl (a string or an object a line), .json (a
              list of strings or of objects, such a list under the key ``data``, or lines as in .jsonl, which is what
              ``Dataset.to_json`` writes; no other form);
            - a folder: ``wiki1m_for_simcse.txt``, else ``wiki_en_1m.txt``, in it or in its subfolder ``corpus``, else
              the only corpus file in both (readme and licence files do not count);
            - a dataset's name on the Hugging Face hub.
        limit: read at most this many sentences, from the beginning; of ``builtin``, how many to make (40,000).
        column: the column, or the objects' key, that holds the sentences; by default the first of ``sentence``,
            ``text``, ``sent0``, ``sentence1`` and ``sentence_A`` that there is, or the only one.
        split: the split of a hub dataset; files do not have any.
        store: keeps the sentences in a file, memory-mapped, which is written anew by every load. None keeps them in
            memory, and every process that the dataset is sent to gets a copy.

    Returns:
        A dataset with the one column ``sentence``. Nothing is written to the hub's cache for files.

    Raises:
        KitError: the source is missing, damaged, binary, not UTF-8, malformed, ambiguous or out of reach, or has fewer
            than two sentences; or the store's disk is full.
    """
    if limit is not None and limit < 2:
        raise KitError(
            f"limit is {limit}, but contrastive learning needs at least two sentences; give 2 or more "
            f"(--sentences of teach, distill and pretrain)."
        )
    if source == "builtin":
        return _dataset(_builtin(limit, column), limit, "builtin", store)
    path = Path(source).expanduser()
    if path.is_dir():
        path = _corpus_in(path)
    if path.exists():
        return _dataset(_file_sentences(path, column), limit, str(path), store)
    if isinstance(source, Path) or _looks_like_path(source):
        raise KitError(f"{source}: there is no such file or folder; check the path given as corpus.")
    return _dataset(_hub_sentences(source, split, column), limit, f"{source} (split {split})", store)


def corpus_fingerprint(dataset: Dataset) -> str:
    """First 16 hexadecimal digits of the SHA-256 over the column ``sentence``.

    Text and order count, the place that the sentences came from does not.
    """
    digest = hashlib.sha256()
    for batch in dataset.iter(batch_size=10_000):
        _feed(digest.update, batch["sentence"])
    return digest.hexdigest()[:16]


def _feed(update: Callable[[bytes], None], sentences: Iterable[str]) -> None:
    for sentence in sentences:
        encoded = sentence.encode()
        update(b"%d:" % len(encoded))  # the length keeps "ab", "c" apart from "a", "bc"
        update(encoded)


def _dataset(sentences: Iterable[str], limit: int | None, origin: str, store: Store | None) -> Dataset:
    from datasets import Dataset
    from datasets.table import InMemoryTable

    stripped = (sentence.strip() for sentence in sentences)
    kept = islice((sentence for sentence in stripped if sentence), limit)
    digest = hashlib.sha256()
    batches = _batches(kept, origin, digest.update)
    table = InMemoryTable.from_batches(batches) if store is None else _mapped(batches, store, digest.hexdigest)
    # given no fingerprint, datasets pickles the whole table to make one: half a gigabyte for a million sentences
    return Dataset(table, fingerprint=digest.hexdigest()[:16])


def _batches(sentences: Iterator[str], origin: str, update: Callable[[bytes], None]) -> Iterator[RecordBatch]:
    import pyarrow as pa

    count = 0
    while chunk := list(islice(sentences, _CHUNK)):
        count += len(chunk)
        _feed(update, chunk)
        yield pa.record_batch({"sentence": pa.array(chunk, type=pa.string())})
    if count == 0:
        raise KitError(f"{origin}: no sentence in it, it is empty; give a corpus with one sentence a line or row.")
    if count == 1:
        raise KitError(
            f"{origin}: only one sentence in it, but contrastive learning needs at least two; put one sentence a line."
        )


def _mapped(batches: Iterator[RecordBatch], store: Store, digest: Callable[[], str]) -> MemoryMappedTable:
    """The batches in a file named by their digest, so that a process that opens it by name finds these very ones."""
    import pyarrow as pa
    from datasets.table import MemoryMappedTable

    nameless = store.path("corpora", uuid4().hex, ".arrow")  # the digest is known when all has been written
    schema = pa.schema({"sentence": pa.string()})
    with (
        new_file(nameless) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_stream(file, schema) as stream,
    ):
        for batch in batches:
            stream.write_batch(batch)
    return MemoryMappedTable.from_file(str(nameless.replace(store.path("corpora", digest(), ".arrow"))))


def _builtin(limit: int | None, column: str | None) -> Iterable[str]:
    from distillcse_kit.data.builtin import builtin_corpus

    if column is not None:
        raise KitError(f"the built-in corpus has no column {column}; leave the column out.")
    return builtin_corpus(BUILTIN_SIZE if limit is None else limit, 0)


def _looks_like_path(source: str) -> bool:
    if not _HUB_NAME.fullmatch(source) or source.startswith("."):
        return True
    if kind_of(Path(source)) in _READERS or Path(source).suffix.lower() in COMPRESSED:
        return True
    return "/" in source and Path(source).parent.is_dir()


def _corpus_in(folder: Path) -> Path:
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


def _file_sentences(path: Path, column: str | None) -> Iterator[str]:
    reader = _READERS.get(kind_of(path))
    if reader is None:
        raise KitError(
            f"{path}: the kit does not know this kind of corpus file; its name must end in "
            f"{', '.join(_READERS)}, with or without .gz or .xz."
        )
    return reader(path, column)


def _text_sentences(path: Path, column: str | None) -> Iterator[str]:
    if column is not None:
        raise KitError(f"{path}: a text file has no columns, so no column {column} either; leave the column out.")
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
                f"({', '.join(names)}); quote a field of a .csv that has a comma in it."
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
            f'{path}: it must hold a list of strings or of objects, or {{"data": such a list}}; '
            f"other forms of JSON are not read, so write the sentences as such a list or as a .txt file."
        )
    for number, record in enumerate(content, start=1):
        yield f"item {number}", record


def _is_json_record(text: str) -> bool:
    """Whether the first line is whole by itself and neither a list nor the object around one: then lines follow."""
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
            f"mend the line, or write one sentence a line as a .txt file."
        ) from error


def _record_sentences(records: Iterable[tuple[str, Any]], path: Path, column: str | None) -> Iterator[str]:
    """The sentences of strings and objects; null is a blank sentence, as in what ``datasets`` writes."""
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


def _hub_sentences(name: str, split: str, column: str | None) -> Iterator[str]:
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
