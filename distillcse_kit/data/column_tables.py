"""Tables with named columns: Parquet and Arrow files, and the data sets of the library ``datasets``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillcse_kit.data.reading import COMPRESSED, kind_of, one_line, opened
from distillcse_kit.data.split_files import words_of
from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict
    from pyarrow import RecordBatch, Schema

_BATCH = 10_000  # rows that are in memory at a time

_SAVED_SPLITS = "dataset_dict.json"  # ``save_to_disk`` writes it for a DatasetDict
_SAVED = ("state.json", "dataset_info.json")  # and these for a Dataset


@dataclass(frozen=True)
class Table:
    """A table whose rows are read when they are asked for.

    Attributes:
        origin: what it is called in error messages.
        columns: names of its columns.
        batches: for names of columns, gives batches of rows: {name: values}, a missing value being None.
        classes: {name: names of its classes} for the columns that hold numbers of classes.
    """

    origin: str
    columns: Sequence[str]
    batches: Callable[[list[str]], Iterator[Mapping[str, list[Any]]]]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Number of each row, from 1, and its values in these columns.

        Raises:
            KitError: the file is damaged.
        """
        number = 0
        for batch in self.batches(list(dict.fromkeys(columns))):
            for values in zip(*(batch[column] for column in columns), strict=True):
                number += 1
                yield number, values


def file_table(path: Path) -> Table:
    """The table in a .parquet or .arrow file, of which at most a batch is in memory unless it is compressed as a whole.

    Raises:
        KitError: the file is missing, unreadable, damaged or of another kind.
    """
    with _reading(path) as (schema, _):
        twice = [name for name in schema.names if schema.names.count(name) > 1]
        if twice:
            raise KitError(f"{path}: two columns have the name {twice[0]}; rename one of them.")
        return Table(str(path), schema.names, lambda columns: _file_batches(path, columns), _classes(schema))


def _file_batches(path: Path, columns: list[str]) -> Iterator[Mapping[str, list[Any]]]:
    with _reading(path) as (_, batches):
        for batch in batches(columns):
            # Arrow trusts the numbers in a file: without a check, a damaged file can crash Python.
            batch.validate(full=True)
            yield batch.to_pydict()


@contextmanager
def _reading(path: Path) -> Iterator[tuple[Schema, Callable[[list[str]], Iterator[RecordBatch]]]]:
    import pyarrow as pa

    open_table = _open_parquet if kind_of(path) == ".parquet" else _open_arrow
    with opened(path) as file:
        # Both formats jump about in the file, which a compressed one cannot.
        source = pa.BufferReader(file.read()) if path.suffix.lower() in COMPRESSED else pa.PythonFile(file, "r")
        try:
            yield open_table(source)
        # Some of Arrow's errors are OSErrors, and some come from Python: a name or text that is not UTF-8.
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise KitError(
                f"{path}: this is not a {kind_of(path)} file, or it is damaged or incomplete ({one_line(error)}); "
                f"download or write it again."
            ) from error


def _open_parquet(source: Any) -> tuple[Schema, Callable[[list[str]], Iterator[RecordBatch]]]:
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(source)
    return file.schema_arrow, lambda columns: file.iter_batches(_BATCH, columns=columns)


def _open_arrow(source: Any) -> tuple[Schema, Callable[[list[str]], Iterator[RecordBatch]]]:
    """Arrow has two formats with the same ending. One can be read only from its start, and ``datasets`` writes that."""
    from pyarrow import ipc

    seekable = source.read(6) == b"ARROW1"
    source.seek(0)
    reader = ipc.open_file(source) if seekable else ipc.open_stream(source)
    whole = map(reader.get_batch, range(reader.num_record_batches)) if seekable else iter(reader)
    return reader.schema, lambda columns: (
        batch.select(columns).slice(start, _BATCH) for batch in whole for start in range(0, batch.num_rows, _BATCH)
    )


def _classes(schema: Schema) -> dict[str, Sequence[str]]:
    """What ``datasets`` notes in a file about its columns; empty if it did not write the file."""
    from datasets import Features

    return _class_names(Features.from_arrow_schema(schema)) if b"huggingface" in (schema.metadata or {}) else {}


def _class_names(features: Features | None) -> dict[str, Sequence[str]]:
    from datasets import ClassLabel

    return {name: feature.names for name, feature in (features or {}).items() if isinstance(feature, ClassLabel)}


def dataset_table(dataset: Dataset | IterableDataset, origin: str) -> Table:
    """The table of a ``Dataset`` or an ``IterableDataset``. A format that was set, such as torch, is not used."""
    plain = dataset.with_format(None)
    # An IterableDataset may learn its columns only from its first row.
    columns = plain.column_names or list(next(iter(plain), {}))
    return Table(
        origin,
        columns,
        lambda names: plain.select_columns(names).iter(batch_size=_BATCH),
        _class_names(plain.features),
    )


def is_dataset(source: object) -> bool:
    """Whether ``source`` is a data set of the library ``datasets``: one split, or a dictionary of splits."""
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

    return isinstance(source, (Dataset, DatasetDict, IterableDataset, IterableDatasetDict))


def one_split(
    dataset: Dataset | DatasetDict | IterableDataset | IterableDatasetDict, split: str, origin: str
) -> Dataset | IterableDataset:
    """The split of a dictionary of splits, whatever word it has for it; a data set without splits as it is.

    Raises:
        KitError: there is no such split.
    """
    if not isinstance(dataset, dict):
        return dataset
    name = next((name for name in dataset if name == split or name.lower() in words_of(split)), None)
    if name is None:
        raise KitError(
            f"{origin}: no split {split} among {', '.join(dataset)}; give one of them alone: in Python dataset[NAME], "
            f"on the command line the subfolder NAME."
        )
    return dataset[name]


def is_saved(folder: Path) -> bool:
    """Whether ``save_to_disk`` of a ``Dataset`` or ``DatasetDict`` wrote the folder."""
    return (folder / _SAVED_SPLITS).is_file() or not has_splits(folder)


def has_splits(folder: Path) -> bool:
    """Whether a folder with data can have several splits: ``save_to_disk`` of a ``Dataset`` did not write it."""
    return not all((folder / name).is_file() for name in _SAVED)


def saved_table(folder: Path, split: str) -> Table:
    """The table in a folder that ``save_to_disk`` wrote, read from the disk as it is used.

    Args:
        folder: the folder of a ``Dataset``, or of a ``DatasetDict``.
        split: which split of a ``DatasetDict``.

    Raises:
        KitError: the folder is damaged, or has no such split.
    """
    import datasets

    try:
        dataset = datasets.load_from_disk(str(folder))
    # A missing file, a damaged one and one of another version raise different exceptions, which differ by version.
    except Exception as error:
        raise KitError(
            f"{folder}: what save_to_disk wrote there is damaged or incomplete ({type(error).__name__}: "
            f"{one_line(error)}); save it again."
        ) from error
    return dataset_table(one_split(dataset, split, str(folder)), str(folder))
