"""Keyed folders on disk: what was computed once is loaded the next time.

A key is a hash of everything that decides the result: settings, inputs and the kit's format version. A changed setting
gives another key, so nothing stale can be read. Every file appears whole or not at all, so reading needs no lock.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike

from distillcse_kit.errors import KitError
from distillcse_kit.whole_files import ANOTHER_STORE, hidden_name, is_forbidden, is_there, new_file

T = TypeVar("T")

FORMAT = 1  # raise it when the meaning of stored contents changes: old folders are then no longer found


def default_store() -> Path:
    """The store's folder: the environment variable DISTILLCSE_STORE, else ~/.cache/distillcse_kit."""
    return Path(os.environ.get("DISTILLCSE_STORE") or Path.home() / ".cache" / "distillcse_kit")


def key_of(content: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of ``content`` as canonical JSON."""
    text = json.dumps({"format": FORMAT, "content": content}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_fingerprint(*paths: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the files' contents, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def as_text(content: Any) -> str:
    """``content`` as indented JSON text."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    with new_file(path) as temporary:
        temporary.write_text(as_text(content), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file. If it is damaged, a KitError names it and the fix."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise KitError(f"{path} is damaged ({error}); delete it and start again.") from error


class Store:
    """A folder of computed results, each under ``kind/key``.

    If two processes want the same result, the second waits for the first and loads what it wrote.

    Args:
        root: the folder; None takes ``default_store()``.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root else default_store()

    def path(self, kind: str, content: Any, suffix: str = "") -> Path:
        """The path of the result of this kind whose key is made from ``content``, whether it exists or not."""
        return self.root / kind / (key_of(content) + suffix)

    def may_write(self, kind: str) -> bool:
        """Whether the user may write results of this kind: found by writing an empty file, which is deleted again."""
        trial = hidden_name(self.root / kind / "trial", "")
        try:
            trial.parent.mkdir(parents=True, exist_ok=True)
            trial.touch(exist_ok=False)
            trial.unlink()
        except OSError as error:
            if is_forbidden(error):
                return False
            raise
        return True

    @contextmanager
    def locked(self, path: Path) -> Iterator[None]:
        """Hold the lock of one result, to write it; wait while another process holds it. Reading needs no lock.

        Raises:
            KitError: the user may only read this store.
        """
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            if not is_forbidden(error):
                raise
            raise KitError(
                f"The store has no intact {path}, and you may not write there ({error.strerror}); {ANOTHER_STORE}."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def load_or_write(
        self, kind: str, content: Any, suffix: str, load: Callable[[Path], T], write: Callable[[Path], object]
    ) -> T:
        """Load a result; if it is missing or damaged, write it to a temporary file, move it into place and load it.

        Args:
            kind, content, suffix: as for ``path``.
            load: reads the file, and raises ValueError, OSError, EOFError or KitError if it is damaged.
            write: computes the result and writes it to the path it is given.

        Raises:
            KitError: the user may not read the result, or it is not there and the user may not write it.
        """
        path = self.path(kind, content, suffix)
        if found := _intact(path, load):
            return found[0]
        with self.locked(path):
            if found := _intact(path, load):  # another process has made it meanwhile
                return found[0]
            with new_file(path) as temporary:
                write(temporary)
        return load(path)

    def array(self, kind: str, content: Any, write: Callable[[Path], None]) -> np.ndarray:
        """Load or make a memory-mapped .npy array; ``write`` saves it to the path it is given."""
        return self.load_or_write(kind, content, ".npy", load_array, write)

    def json(self, kind: str, content: Any, compute: Callable[[], Any]) -> Any:
        """Load or compute a JSON value; it is stored together with ``content``."""
        return self.load_or_write(
            kind,
            content,
            ".json",
            lambda path: read_json(path)["result"],
            lambda path: path.write_text(as_text({"of": content, "result": compute()}), encoding="utf-8"),
        )


def _intact(path: Path, load: Callable[[Path], T]) -> tuple[T] | None:
    """What ``load`` reads; None if the file is missing or damaged."""
    if is_there(path):
        with suppress(ValueError, OSError, EOFError, KitError):
            return (load(path),)
    return None


def load_array(path: Path) -> np.ndarray:
    """Memory-map a .npy file, read-only; never unpickles."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file to exactly this path, whatever its suffix; never pickles."""
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_array_header(file: IO[bytes], dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Write the header of a .npy file; the array's bytes follow it. numpy pads it, so a later shape has room too."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
