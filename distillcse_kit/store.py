"""Keyed folders on disk: what was computed once is loaded the next time.

A key is a hash of everything that decides the result: settings, inputs and the kit's format version. A changed setting
gives another key, so nothing stale can be read. Every file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock

from distillcse_kit.errors import KitError

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


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; at the end of the block it replaces ``path`` in one step.

    If the block raises, ``path`` stays as it was.

    Raises:
        KitError: the file cannot be written, for example because the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise KitError(
            f"{path} could not be written ({error.strerror or error}); free space and start again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; at the end of the block it replaces ``path``.

    An older ``path`` is moved aside first and deleted last. If the block raises, ``path`` stays as it was.

    Raises:
        KitError: the folder cannot be written, for example because the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
        path.chmod(0o755)
    except OSError as error:
        raise KitError(
            f"{path} could not be written ({error.strerror or error}); free space and start again."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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

    @contextmanager
    def locked(self, path: Path) -> Iterator[None]:
        """Hold the lock of one result; wait while another process holds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.name}.lock"):
            yield

    def load_or_write(
        self, kind: str, content: Any, suffix: str, load: Callable[[Path], T], write: Callable[[Path], object]
    ) -> T:
        """Load a result; if it is missing or damaged, write it to a temporary file, move it into place and load it.

        Args:
            kind, content, suffix: as for ``path``.
            load: reads the file, and raises ValueError, OSError, EOFError or KitError if it is damaged.
            write: computes the result and writes it to the path it is given.
        """
        path = self.path(kind, content, suffix)
        with self.locked(path):
            if path.exists():
                try:
                    return load(path)
                except (ValueError, OSError, EOFError, KitError):
                    path.unlink()
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


def load_array(path: Path) -> np.ndarray:
    """Memory-map a .npy file, read-only; never unpickles."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file to exactly this path, whatever its suffix; never pickles."""
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
