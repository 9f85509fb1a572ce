"""Nothing is half-written, nothing is stale, and nothing is computed twice."""

from __future__ import annotations

import errno
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from distillcse_kit.errors import KitError
from distillcse_kit.store import Store, file_fingerprint, key_of, read_json, write_json
from distillcse_kit.whole_files import new_file, new_folder


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), new_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(KitError, match=r"could not be written \(No space left on device\); free space"),
        new_file(tmp_path / "x"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(RuntimeError), new_folder(path) as temporary:
        (temporary / "a").write_text("half")
        raise RuntimeError("killed")
    assert not list(tmp_path.iterdir())
    for content in ("first", "second"):
        with new_folder(path) as temporary:
            (temporary / "a").write_text(content)
        assert (path / "a").read_text() == content
    assert list(tmp_path.iterdir()) == [path]


def test_keys_depend_on_content_not_on_order() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2}) != key_of({"a": "2"})


def test_json_and_arrays_are_computed_once(store: Store) -> None:
    calls = []

    def compute() -> list[int]:
        calls.append(1)
        return [1, 2]

    assert store.json("kind", {"a": 1}, compute) == store.json("kind", {"a": 1}, compute) == [1, 2]
    assert len(calls) == 1
    store.json("kind", {"a": 2}, compute)
    assert len(calls) == 2

    def write(path: Path) -> None:
        calls.append(1)
        with path.open("wb") as file:
            np.save(file, np.arange(5))

    for _ in range(2):
        array = store.array("arrays", "x", write)
    assert array.tolist() == [0, 1, 2, 3, 4] and isinstance(array, np.memmap) and len(calls) == 3


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"{not json"])
def test_damaged_files_are_made_again(store: Store, damage: bytes) -> None:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, np.arange(5))

    store.array("arrays", "x", write)
    store.path("arrays", "x", ".npy").write_bytes(damage)
    assert store.array("arrays", "x", write).tolist() == [0, 1, 2, 3, 4]
    store.json("kind", "x", lambda: 7)
    store.path("kind", "x", ".json").write_bytes(damage)
    assert store.json("kind", "x", lambda: 7) == 7


def test_arrays_are_never_unpickled(store: Store) -> None:
    path = store.path("arrays", "x", ".npy")
    path.parent.mkdir(parents=True)
    np.save(path, np.array([{"evil": 1}], dtype=object), allow_pickle=True)

    def write(target: Path) -> None:
        with target.open("wb") as file:
            np.save(file, np.zeros(1))

    assert store.array("arrays", "x", write).tolist() == [0.0]


def _slow(root: Path) -> None:
    def compute() -> int:
        with (root / "calls").open("a") as file:
            file.write("x")
        time.sleep(0.3)
        return 1

    Store(root).json("kind", "x", compute)


def test_two_processes_compute_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_slow, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "calls").read_text() == "x"


def test_damaged_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(KitError, match=r"run\.json is damaged"):
        read_json(tmp_path / "run.json")


def test_file_fingerprint_sees_every_byte(tmp_path: Path) -> None:
    a = tmp_path / "a"
    a.write_bytes(b"1" * 3_000_000)
    before = file_fingerprint(a)
    a.write_bytes(b"1" * 2_999_999 + b"2")
    assert file_fingerprint(a) != before
