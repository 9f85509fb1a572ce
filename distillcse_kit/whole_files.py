"""Files and folders that appear whole or not at all, on Linux, macOS and Windows, with the modes that the umask gives.

Windows neither replaces nor deletes a file that a program has open or memory-mapped, and neither renames nor deletes a
folder with such a file in it.
"""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from distillcse_kit.errors import KitError

ANOTHER_STORE = "name another store with --store or DISTILLCSE_STORE"


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; at the end of the block it replaces ``path`` in one step.

    If the block raises, ``path`` stays as it was. Who may read the file is up to the umask, as for any other file.

    Raises:
        KitError: the file cannot be written: the disk is full, the user may not, or a program has the old file open.
    """
    with _one_sentence(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = hidden_name(path, ".part")
        try:
            usual = _touch(temporary)
            yield temporary
            _set_mode(temporary, usual)
            with temporary.open("rb+") as written:  # Windows refuses fsync on a file that is open for reading only
                os.fsync(written.fileno())
            put(temporary, path)
        finally:
            with suppress(OSError):  # Windows keeps a file that the failed block still has open
                temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; at the end of the block it replaces ``path``.

    An older ``path`` is moved aside first and deleted last. If the block raises, ``path`` stays as it was. Who may read
    the folder and all files in it is up to the umask.

    Raises:
        KitError: the folder cannot be written: the disk is full, the user may not, ``path`` is a file, or a program has
            a file of the old folder open (which only Windows minds).
    """
    if path.is_file():
        raise KitError(f"{path} is a file; give the name of a folder.")
    with _one_sentence(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, old = hidden_name(path, ".part"), hidden_name(path, ".old")
        try:
            temporary.mkdir()
            yield temporary
            _set_usual_modes(temporary)
            if path.exists():
                _move(path, old)
            try:
                _move(temporary, path)
            except OSError:
                if old.exists():
                    _move(old, path)
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def put(temporary: Path, path: Path) -> None:
    """Move a finished file to ``path`` in one step, or delete it; an equal ``path`` that a program has open may stay.

    Raises:
        KitError: the user may not write there, or a program has another ``path`` open (on Windows).
    """
    with _one_sentence(path):
        try:
            _move(temporary, path)
        except PermissionError:
            if not (path.is_file() and filecmp.cmp(temporary, path, shallow=False)):
                raise
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """``os.replace``, tried five times: on Windows a reader or a virus scanner may have a file open for a moment."""
    for pause in (0.05, 0.1, 0.2, 0.4):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(source, target)


def hidden_name(path: Path, end: str) -> Path:
    """A new name beside ``path``, with a dot before it."""
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}{end}")


def _touch(path: Path) -> int:
    """Make a new empty file, and return its mode: the one that the umask and the folder's access list decide."""
    path.touch(exist_ok=False)
    return stat.S_IMODE(path.stat().st_mode)


def _set_mode(path: Path, mode: int) -> None:
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def _set_usual_modes(folder: Path) -> None:
    """Give all that is in a new folder the usual modes: safetensors makes files that only their owner may read."""
    trial = hidden_name(folder / "trial", "")
    usual = _touch(trial)
    trial.unlink()
    for path in folder.rglob("*"):
        _set_mode(path, stat.S_IMODE(folder.stat().st_mode) if path.is_dir() else usual)


def is_forbidden(error: OSError) -> bool:
    """Whether the system says that the user may not do this, rather than that it cannot be done."""
    return isinstance(error, PermissionError) or error.errno == errno.EROFS


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn the system's error into a sentence with the fix."""
    try:
        yield
    except OSError as error:
        fix = "free space and start again"
        if is_forbidden(error):
            fix = "close the program that has it open, or choose a folder that you may write to"
        raise KitError(f"{path} could not be written ({error.strerror or error}); {fix}.") from error


def is_there(path: Path) -> bool:
    """Whether the file exists.

    Raises:
        KitError: it may exist, but the user may not read it.
    """
    try:
        with path.open("rb"):
            return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise KitError(f"You may not read {path}; ask its owner for permission, or {ANOTHER_STORE}.") from error
