"""Training sentences as a ``datasets.Dataset``: generated, read from the user's files, or loaded from the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from distillcse_kit.data.column_tables import dataset_table, is_dataset, one_split
from distillcse_kit.data.corpus_files import (
    file_sentences,
    folder_sentences,
    hub_sentences,
    looks_like_path,
    table_sentences,
)
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store
from distillcse_kit.whole_files import new_file, put

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets.table import MemoryMappedTable
    from pyarrow import RecordBatch

BUILTIN_SIZE = 40_000

_CHUNK = 10_000  # sentences of one Arrow batch, so that memory never holds a million Python strings


def load_corpus(
    source: str | Path | Dataset | Iterable[str] = "builtin",
    limit: int | None = None,
    column: str | None = None,
    split: str = "train",
    store: Store | None = None,
    positive: str | None = None,
    hard_negative: str | None = None,
) -> Dataset:
    """Load training sentences. Blank ones are skipped, and white space around a sentence is removed.

    **When to use it.** Whenever you train: teachers and students see sentences only, no labels. With ``positive``, they
    see pairs, as in SimCSE's supervised mode.

    **Sources.** A file may also be compressed as .gz, .xz, .bz2 or .zst.

    | ``source`` | what is read |
    |---|---|
    | ``"builtin"`` | sentences that the kit generates; no file and no network needed |
    | a .txt file | one sentence per line |
    | a .csv file | one column; commas, quoted fields; the first line names the columns |
    | a .tsv file | one column; tabs, no quoting; the first line names the columns |
    | a .jsonl file | a string or an object per line |
    | a .json file | a list of strings or objects, ``{"data": that list}``, or lines as in .jsonl |
    | a .parquet or .arrow file | one column |
    | a folder of ``save_to_disk`` | one column of a ``Dataset``, or of one split of a ``DatasetDict`` |
    | another folder | ``wiki1m_for_simcse.txt``, or else ``wiki_en_1m.txt``, or else one split (see below) |
    | a name such as ``owner/name`` | one split of that dataset on the Hugging Face hub |
    | a ``Dataset``, or one of its kin | one column, and one split if it has several |
    | a list of strings, or any iterable | each string is a sentence |

    A folder is searched together with its subfolder ``corpus``; readme and licence files are ignored. If it has no
    well-known file, it must hold one corpus file, or name its files as the hub does: ``train.jsonl``, or the parts
    ``train-00000-of-00002.parquet`` and so on, which may be in a subfolder ``data`` or ``train``.

    Args:
        source: see the table.
        limit: read at most this many sentences, from the start; for ``"builtin"``, generate this many (default 40,000).
        column: the column, or the key of the objects, that holds the sentences. By default the first of ``sentence``,
            ``text``, ``sent0``, ``sentence1`` and ``sentence_A`` that exists, or else the only column.
        split: the split of a hub dataset, a folder or a ``DatasetDict``. Single files have no splits.
        store: keeps the sentences in a memory-mapped file, which every call writes again. With None, or a store that
            the user may only read, they stay in memory, and every process that receives the dataset gets a copy.
        positive: the column, or key, with a sentence of the same meaning for each row; None has none.
        hard_negative: the column, or key, with a similar sentence of another meaning for each row; None has none.

    Returns:
        A dataset with the column ``sentence``, and ``positive`` and ``hard_negative`` where they were asked for.
        Loading files writes nothing to the hub's cache.

    Raises:
        KitError: the source is missing, damaged, binary, not UTF-8, malformed, ambiguous or out of reach, or has fewer
            than two sentences; a row has only some of its sentences; a column is named twice, or a hard negative
            without a positive; or the store's disk is full.

    Reference:
        The paper trains on one million sentences of the English Wikipedia (``princeton-nlp/datasets-for-simcse``).

    Example:
        >>> from distillcse_kit.data.corpus import load_corpus
        >>> corpus = load_corpus("builtin", limit=3)
        >>> len(corpus), corpus.column_names
        (3, ['sentence'])
        >>> corpus["sentence"][0]
        'As the travelers reported, the train was empty.'
    """
    if limit is not None and limit < 2:
        raise KitError(
            f"limit is {limit}, but contrastive learning needs at least two sentences; give 2 or more "
            f"(--sentences of teach, distill and pretrain)."
        )
    if hard_negative is not None and positive is None:
        raise KitError(
            f"The hard negatives of the column {hard_negative} need positives beside them; name their column as well "
            "(--positive)."
        )
    named = [name for name in (column, positive, hard_negative) if name is not None]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise KitError(f"The column {twice} is named twice; name another one for each part of a pair.")
    read, origin = _reader(source, limit, split)
    columns = {"sentence": read(column)}
    if positive is not None:
        columns["positive"] = read(positive)
    if hard_negative is not None:
        columns["hard_negative"] = read(hard_negative)
    return _dataset(columns, limit, origin, store)


def _reader(
    source: str | Path | Dataset | Iterable[str], limit: int | None, split: str
) -> tuple[Callable[[str | None], Iterable[str]], str]:
    """What reads a column of the source, blank sentences included, and what the source is called."""
    if not isinstance(source, (str, Path)):
        origin = f"The {type(source).__name__} given as corpus"
        return lambda column: _given(source, column, split), origin
    if source == "builtin":
        return lambda column: _builtin(limit, column), "builtin"
    path = Path(source).expanduser()
    if path.is_dir():
        return lambda column: folder_sentences(path, column, split), str(path)
    if path.exists():
        return lambda column: file_sentences(path, column), str(path)
    if isinstance(source, Path) or looks_like_path(source):
        raise KitError(f"{source}: there is no such file or folder; check the path given as corpus.")
    return lambda column: hub_sentences(source, split, column), f"{source} (split {split})"


def corpus_fingerprint(dataset: Dataset, column: str = "sentence") -> str:
    """First 16 hexadecimal digits of the SHA-256 of a column.

    It depends on the sentences and their order, not on where they came from.
    """
    digest = hashlib.sha256()
    for batch in dataset.iter(batch_size=10_000):
        _feed(digest.update, batch[column])
    return digest.hexdigest()[:16]


def _feed(update: Callable[[bytes], None], sentences: Iterable[str]) -> None:
    for sentence in sentences:
        encoded = sentence.encode()
        update(b"%d:" % len(encoded))  # the length distinguishes "ab", "c" from "a", "bc"
        update(encoded)


def _dataset(columns: dict[str, Iterable[str]], limit: int | None, origin: str, store: Store | None) -> Dataset:
    from datasets import Dataset
    from datasets.table import InMemoryTable

    rows = islice(_complete_rows(columns, origin), limit)
    digest = hashlib.sha256()
    if len(columns) > 1:  # so that no plain corpus has the name of one of pairs
        digest.update(repr(list(columns)).encode())
    batches = _batches(rows, list(columns), origin, digest.update)
    if store is not None and store.may_write("corpora"):
        table = _mapped(batches, list(columns), store, digest.hexdigest)
    else:
        table = InMemoryTable.from_batches(batches)
    # Without a fingerprint, datasets makes one by pickling the whole table: half a gigabyte for a million sentences.
    return Dataset(table, fingerprint=digest.hexdigest()[:16])


def _complete_rows(columns: dict[str, Iterable[str]], origin: str) -> Iterator[tuple[str, ...]]:
    """Rows without white space around their sentences. Rows without any sentence are left out."""
    for number, row in enumerate(zip(*columns.values(), strict=True), start=1):
        stripped = tuple(sentence.strip() for sentence in row)
        if all(stripped):
            yield stripped
        elif any(stripped):
            missing = list(columns)[stripped.index("")].replace("_", " ")
            raise KitError(
                f"{origin}, row {number}: the {missing} beside {next(filter(None, stripped))[:40]!r} is blank; write "
                "it, or remove the row."
            )


def _batches(
    rows: Iterator[tuple[str, ...]], names: list[str], origin: str, update: Callable[[bytes], None]
) -> Iterator[RecordBatch]:
    import pyarrow as pa

    count = 0
    while chunk := list(islice(rows, _CHUNK)):
        count += len(chunk)
        columns = list(zip(*chunk, strict=True))
        for column in columns:
            _feed(update, column)
        yield pa.record_batch(
            {name: pa.array(column, type=pa.string()) for name, column in zip(names, columns, strict=True)}
        )
    if count == 0:
        raise KitError(f"{origin}: no sentence in it, it is empty; give a corpus with one sentence per line or row.")
    if count == 1:
        raise KitError(
            f"{origin}: only one sentence in it, but contrastive learning needs two or more; put one sentence per line."
        )


def _mapped(
    batches: Iterator[RecordBatch], names: list[str], store: Store, digest: Callable[[], str]
) -> MemoryMappedTable:
    """Write the batches to a file named after their digest: any process that opens it by name gets the same batches."""
    import pyarrow as pa
    from datasets.table import MemoryMappedTable

    nameless = store.path("corpora", uuid4().hex, ".arrow")  # the digest is known only after the last batch
    schema = pa.schema({name: pa.string() for name in names})
    with (
        new_file(nameless) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_stream(file, schema) as stream,
    ):
        for batch in batches:
            stream.write_batch(batch)
    path = store.path("corpora", digest(), ".arrow")
    put(nameless, path)
    return MemoryMappedTable.from_file(str(path))


def _builtin(limit: int | None, column: str | None) -> Iterable[str]:
    from distillcse_kit.data.builtin.generator import builtin_corpus

    if column is not None:
        raise KitError(f"The built-in corpus has no column {column}; leave the column out.")
    return builtin_corpus(BUILTIN_SIZE if limit is None else limit, 0)


def _given(source: Any, column: str | None, split: str) -> Iterator[str]:
    """Sentences of an object in memory."""
    origin = f"The {type(source).__name__} given as corpus"
    if is_dataset(source):
        yield from table_sentences(dataset_table(one_split(source, split, origin), origin), column)
        return
    if column is not None:
        raise KitError(f"{origin} has no column {column}; leave the column out.")
    # Iterating over a dictionary or a data frame would give the names of its columns.
    if not isinstance(source, Iterable) or isinstance(source, Mapping) or hasattr(source, "columns"):
        raise KitError(
            f"{origin} is no corpus; give a path, a hub name, a Dataset, or the sentences alone, such as the column of "
            f"a data frame: frame['text']."
        )
    for number, sentence in enumerate(source, start=1):
        if not isinstance(sentence, str):
            raise KitError(f"{origin}, item {number}: {str(sentence)[:40]!r} is not a string; give sentences only.")
        yield sentence
