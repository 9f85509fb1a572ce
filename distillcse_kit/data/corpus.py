"""Training sentences as a ``datasets.Dataset``: built in, from the user's own files, or from the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from distillcse_kit.errors import KitError
from distillcse_kit.store import Store, new_file

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets.table import MemoryMappedTable
    from pyarrow import RecordBatch

from distillcse_kit.data.corpus_files import corpus_in, file_sentences, hub_sentences, looks_like_path

BUILTIN_SIZE = 40_000

_CHUNK = 10_000  # sentences turned into one Arrow batch at a time: no million Python strings in memory


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
        path = corpus_in(path)
    if path.exists():
        return _dataset(file_sentences(path, column), limit, str(path), store)
    if isinstance(source, Path) or looks_like_path(source):
        raise KitError(f"{source}: there is no such file or folder; check the path given as corpus.")
    return _dataset(hub_sentences(source, split, column), limit, f"{source} (split {split})", store)


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
    from distillcse_kit.data.builtin.generator import builtin_corpus

    if column is not None:
        raise KitError(f"the built-in corpus has no column {column}; leave the column out.")
    return builtin_corpus(BUILTIN_SIZE if limit is None else limit, 0)
