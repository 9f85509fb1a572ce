"""Reading text files and tables line by line, with errors that name the file, the line and the fix.

A line ends at a line feed and nowhere else. Sentences can contain Unicode's other line separators, and a split there
would pair every later sentence with the wrong gold score.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from datasets import Dataset

COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
DATA_KINDS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow")


class Row(NamedTuple):
    """One row of a table: the number of its first line (from 1), and its fields."""

    line: int
    fields: list[str]


def kind_of(path: Path) -> str:
    """The lower-case suffix that says what a file holds: ``.txt`` for ``wiki.txt`` and for ``wiki.TXT.xz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def one_line(error: BaseException) -> str:
    """The first line of an exception's message, or its class if it has none, to be put into a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


def _open(path: Path) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if suffix == ".xz":
        return cast("IO[bytes]", lzma.open(path, "rb"))
    if suffix == ".bz2":
        return cast("IO[bytes]", bz2.open(path, "rb"))
    if suffix == ".zst":
        import pyarrow as pa  # Python reads .zst itself from 3.14 on

        return cast("IO[bytes]", io.BufferedReader(pa.input_stream(str(path), compression="zstd")))
    return path.open("rb")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, uncompressed if its name ends in .gz, .xz, .bz2 or .zst.

    Raises:
        KitError: the file is missing, unreadable or damaged. The block may read, but must not write files.
    """
    if not path.exists():
        raise KitError(f"{path}: there is no such file; check the path.")
    try:
        with _open(path) as file:
            yield file
    except (OSError, zlib.error, lzma.LZMAError, EOFError) as error:
        # The system's own errors have a number. Those of a damaged archive are OSErrors without one, or not OSErrors.
        if isinstance(error, OSError) and (error.errno is not None or path.suffix.lower() not in COMPRESSED):
            raise KitError(f"{path}: the file cannot be read ({error.strerror or one_line(error)}).") from error
        raise KitError(
            f"{path}: the compressed file is damaged or incomplete ({one_line(error)}); download or compress it again."
        ) from error


def _raw_lines(path: Path) -> Iterator[bytes]:
    with opened(path) as file:
        yield from file


def _decode(raw: bytes, path: Path, number: int) -> str:
    if b"\0" in raw:
        raise KitError(
            f"{path}, line {number}: the line has NUL bytes, so this is not a UTF-8 text file; give a text file "
            f"(if it is UTF-16, convert it: iconv -f UTF-16 -t UTF-8)."
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KitError(
            f"{path}, line {number}: byte {error.start + 1} of the line (0x{raw[error.start]:02x}) is not UTF-8; "
            f"convert the file, for example with iconv -f ISO-8859-1 -t UTF-8."
        ) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read a UTF-8 text file lazily; it may be compressed as .gz, .xz, .bz2 or .zst.

    Yields:
        The line's number (from 1) and its text, without the line end (LF or CRLF) and without a byte order mark.

    Raises:
        KitError: the file is missing, unreadable, damaged, binary or not UTF-8.
    """
    for number, raw in enumerate(_raw_lines(path), start=1):
        text = _decode(raw, path, number)
        if number == 1:
            text = text.removeprefix("\ufeff")
        yield number, text.removesuffix("\n").removesuffix("\r")


def tab_rows(path: Path) -> Iterator[Row]:
    """Read a tab-separated file in which quotes have no special meaning. Blank lines are skipped.

    Raises:
        KitError: as ``numbered_lines``.
    """
    for number, text in numbered_lines(path):
        if text.strip():
            yield Row(number, text.split("\t"))


def comma_rows(path: Path) -> Iterator[Row]:
    """Read a comma-separated file. A quoted field may run over several lines. Blank lines are skipped.

    Raises:
        KitError: as ``numbered_lines``, or a quote is misplaced or never closed.
    """
    # Without strict, one stray quote would silently turn the rest of the file into a single sentence.
    reader = csv.reader((f"{text}\n" for _, text in numbered_lines(path)), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise KitError(
                f"{path}, line {line}: the row that begins here is not valid CSV ({one_line(error)}); "
                f'write a quote inside a quoted field as "".'
            ) from error
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield Row(line, fields)


def column_positions(header: Row, wanted: Iterable[str], path: Path) -> list[int]:
    """Positions of the ``wanted`` columns in a header row.

    Raises:
        KitError: one of them is missing.
    """
    names = [name.strip() for name in header.fields]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise KitError(
            f"{path}, line {header.line}: no column {' or '.join(missing)} among {', '.join(names)}; "
            f"the first line must be the header."
        )
    return [names.index(name) for name in wanted]


def load_hub(name: str, split: str, fix: str) -> Dataset:
    """Load one split of a dataset on the Hugging Face hub.

    Args:
        name: the dataset's name on the hub, such as ``mteb/sts12-sts``.
        split: the split's name there.
        fix: what to do if the hub cannot be reached; the error message ends with it.

    Raises:
        KitError: the dataset could not be loaded.
    """
    import datasets

    try:
        return cast("Dataset", datasets.load_dataset(name, split=split))
    # The type of the exception depends on the versions of the hub client and its HTTP library.
    except Exception as error:
        raise KitError(
            f"{name} (split {split}) could not be loaded from the Hugging Face hub "
            f"({type(error).__name__}: {one_line(error)}); {fix}."
        ) from error
