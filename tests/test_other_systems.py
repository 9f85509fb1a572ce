"""What fails on Windows: files in use that cannot be moved, handles that cannot be flushed, modules that are missing.

Linux plays Windows here: ``os`` refuses what Windows refuses.
"""

from __future__ import annotations

import ast
import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import distillcse_kit
from distillcse_kit.bench import memory
from distillcse_kit.command import main as command
from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.course.runner import Course, check_data
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store, load_array, read_json, save_array, write_json
from distillcse_kit.training.checkpoint import load_checkpoint, save_checkpoint
from distillcse_kit.training.loop import Cancelled, Progress
from distillcse_kit.training.recipe import First, Recipe
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.training.workplace import Workplace
from distillcse_kit.whole_files import new_file, new_folder

fcntl = pytest.importorskip("fcntl", reason="Windows needs no play of Windows")

PACKAGE = Path(distillcse_kit.__file__).parent

on_linux = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads the open files from Linux's /proc")


def files_in_use() -> set[str]:
    """All that this process has open or memory-mapped, folders left out."""
    lines = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines())
    found = {line[5] for line in lines if len(line) == 6}
    for handle in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{handle}"))
    return {name for name in found if not os.path.isdir(name)}


def refuse_if_in_use(path: Any, folder_handle: int | None = None) -> None:
    folder = os.getcwd() if folder_handle is None else os.readlink(f"/proc/self/fd/{folder_handle}")
    full = os.path.realpath(os.path.join(folder, path))
    if any(name == full or name.startswith(full + os.sep) for name in files_in_use()):
        raise PermissionError(errno.EACCES, "The file is being used by another process", str(path))


def careful(call: Callable[..., Any], paths: int) -> Callable[..., Any]:
    def checked(*arguments: Any, dir_fd: int | None = None, **options: Any) -> Any:
        for path in arguments[:paths]:
            refuse_if_in_use(path, dir_fd)
        return call(*arguments, **options, **({} if dir_fd is None else {"dir_fd": dir_fd}))

    return checked


@pytest.fixture
def files_in_use_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are open or mapped cannot be moved, replaced or deleted, nor can folders that hold one."""
    for name, paths in {"replace": 2, "rename": 2, "unlink": 1, "remove": 1}.items():
        monkeypatch.setattr(os, name, careful(getattr(os, name), paths))
    monkeypatch.setattr("distillcse_kit.whole_files.time.sleep", lambda _seconds: None)


@pytest.fixture
def readers_cannot_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle that was opened for reading only cannot be flushed to the disk."""
    flush = os.fsync

    def checked(handle: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flush(handle)

    monkeypatch.setattr(os, "fsync", checked)


def write_tokens(path: Path, ids: int = 3) -> None:
    save_array(path, np.array([1, 0, ids, *range(ids)], dtype=np.int32))  # one sentence


def test_every_write_flushes_a_handle_that_may_write(tmp_path: Path, readers_cannot_flush: None) -> None:
    for value in (1, 2):
        write_json(tmp_path / "a.json", value)
        assert read_json(tmp_path / "a.json") == value
    with (tmp_path / "a.json").open("rb") as reader, pytest.raises(OSError, match="Bad file descriptor"):
        os.fsync(reader.fileno())  # the fixture does refuse


@on_linux
def test_the_play_refuses_what_windows_refuses(tmp_path: Path, files_in_use_stay: None) -> None:
    path = tmp_path / "folder" / "a.npy"
    path.parent.mkdir()
    save_array(path, np.arange(1000))
    array = load_array(path)
    for call in (path.unlink, lambda: path.rename(tmp_path / "b"), lambda: path.parent.rename(tmp_path / "c")):
        with pytest.raises(PermissionError):
            call()
    assert array[-1] == 999
    del array
    path.parent.rename(tmp_path / "c")
    (tmp_path / "c" / "a.npy").unlink()


@on_linux
def test_damaged_token_ids_are_made_again(store: Store, files_in_use_stay: None) -> None:
    path = store.path("tokens", "x", ".npy")
    path.parent.mkdir(parents=True)
    save_array(path, np.array([1, 0, 9, 5], dtype=np.int32))  # reads as an array, but tokens are missing
    text = store.load_or_write("tokens", "x", ".npy", TokenizedText.load, write_tokens)
    assert text.ids.tolist() == [0, 1, 2]
    assert [each.name for each in path.parent.iterdir() if each.suffix != ".lock"] == [path.name]


@on_linux
def test_a_file_in_use_stays_and_the_reason_is_one_sentence(tmp_path: Path, files_in_use_stay: None) -> None:
    path = tmp_path / "a.npy"
    save_array(path, np.arange(1000))
    reader = load_array(path)
    sentence = r"a\.npy could not be written \(The file is .*\); close the program that has"
    with pytest.raises(KitError, match=sentence), new_file(path) as temporary:
        save_array(temporary, np.zeros(1000))
    assert reader[-1] == 999 and list(tmp_path.iterdir()) == [path]
    with new_file(path) as temporary:  # the same content: what is there will do
        save_array(temporary, np.arange(1000))
    assert list(tmp_path.iterdir()) == [path]


@on_linux
def test_a_folder_in_use_stays_and_the_reason_is_one_sentence(tmp_path: Path, files_in_use_stay: None) -> None:
    path = tmp_path / "run"
    with new_folder(path) as temporary:
        save_array(temporary / "a.npy", np.arange(1000))
    reader = load_array(path / "a.npy")
    sentence = r"run could not be written \(The file is .*\); close the program"
    with pytest.raises(KitError, match=sentence), new_folder(path) as temporary:
        save_array(temporary / "a.npy", np.zeros(1000))
    assert reader[-1] == 999 and np.load(path / "a.npy")[-1] == 999
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_move_in_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, replace = tmp_path / "run", os.replace
    with new_folder(path) as temporary:
        (temporary / "a").write_text("old", encoding="utf-8")

    def full(source: Any, target: Any) -> None:
        if Path(target) == path and (Path(source) / "new").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(KitError, match="free space and start again"), new_folder(path) as temporary:
        (temporary / "new").touch()
    assert [file.name for file in path.iterdir()] == ["a"] and list(tmp_path.iterdir()) == [path]


def test_a_folder_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine", encoding="utf-8")
    with pytest.raises(KitError, match=r"notes is a file; give the name of a folder"), new_folder(tmp_path / "notes"):
        raise AssertionError("the block ran")
    assert (tmp_path / "notes").read_text(encoding="utf-8") == "mine"


def test_a_reader_that_is_soon_done_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals, replace = iter([True, True, False]), os.replace

    def busy(source: Any, target: Any) -> None:
        if next(refusals):
            raise PermissionError(errno.EACCES, "in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr("distillcse_kit.whole_files.time.sleep", lambda _seconds: None)
    write_json(tmp_path / "a.json", 1)
    assert read_json(tmp_path / "a.json") == 1 and next(refusals, None) is None


@on_linux
def test_a_block_that_fails_with_its_file_open_reports_its_own_error(tmp_path: Path, files_in_use_stay: None) -> None:
    with pytest.raises(RuntimeError, match="mine"), new_file(tmp_path / "a") as temporary:
        handle = temporary.open("wb")
        raise RuntimeError("mine")
    handle.close()


@on_linux
def test_a_checkpoint_can_be_replaced_while_its_tensors_are_in_use(tmp_path: Path, files_in_use_stay: None) -> None:
    path, weight = tmp_path / "run.checkpoint", torch.nn.Parameter(torch.ones(64, 64))
    optimiser = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimiser.step()
    save_checkpoint(path, {"best": {"weight": weight}}, optimiser, {"step": 1}, torch.device("cpu"))
    found = load_checkpoint(path, optimiser, ("best",))
    assert found is not None
    save_checkpoint(path, found[0], optimiser, {"step": 2}, torch.device("cpu"))
    path.unlink()
    assert torch.equal(found[0]["best"]["weight"], weight)


@on_linux
def test_a_corpus_in_use_is_read_again(store: Store, tmp_path: Path, files_in_use_stay: None) -> None:
    (tmp_path / "corpus.txt").write_text("one\ntwo\nthree\n", encoding="utf-8")
    first, second = (load_corpus(tmp_path / "corpus.txt", store=store)["sentence"] for _ in range(2))
    assert list(first) == list(second) == ["one", "two", "three"]
    (path,) = (store.root / "corpora").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")  # damaged while it is mapped
    with pytest.raises(KitError, match=r"arrow could not be written \(The file is .*\); close the program"):
        load_corpus(tmp_path / "corpus.txt", store=store)
    assert list((store.root / "corpora").iterdir()) == [path]
    path.write_bytes(content)


@on_linux
def test_teachers_and_students_are_trained_stopped_and_resumed(
    tiny: Path,
    corpus: Corpus,
    dev: SentencePairs,
    store: Store,
    files_in_use_stay: None,
    readers_cannot_flush: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distillcse_kit.training.loop.CHECKPOINT_SECONDS", -1.0)
    small = TrainingSettings(base=str(tiny), precision="float32", steps=6, batch_size=8, evaluate_every=2)
    place = Workplace(store, corpus, dev, small)
    student = Recipe(small, DistillationSettings(shuffle="group_p"), First(2))

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        place.run(student, False, stop)
    assert len(list((store.root / "runs").glob("*.checkpoint"))) == 1
    run = place.run(student, False)
    assert [row["step"] for row in run.history] == [2, 4, 6]
    assert run.score(dev) == run.score(dev)
    assert not list((store.root / "runs").glob("*.checkpoint"))


@on_linux
def test_temporary_stores_in_use_stop_nothing(tmp_path: Path, files_in_use_stay: None) -> None:
    (tmp_path / "corpus.txt").write_text("one\ntwo\nthree\n", encoding="utf-8")
    check_data(Course(corpus=str(tmp_path / "corpus.txt")))
    memory.do("simcse step", "builtin", batch_size=4)


def test_peak_memory_is_known_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=123_400_000))
    monkeypatch.setattr("psutil.Process", lambda: process)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(memory, "Path", lambda _name: SimpleNamespace(is_file=lambda: False))
    assert memory.peak() == 123.4


def test_output_into_an_old_character_set_loses_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe on Windows takes only some two hundred letters."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    talker = SimpleNamespace(run=lambda _arguments: print("τ = 0.05 ± 0.01") or 0)
    monkeypatch.setattr(command, "command_named", lambda _name: talker)
    monkeypatch.setattr(command, "parser_of", lambda _name: SimpleNamespace(parse_args=lambda _words: None))
    assert command.main(["doctor"]) == 0
    assert written.getvalue().decode("cp1252").splitlines() == ["\\u03c4 = 0.05 ± 0.01"]


def modules() -> dict[str, ast.Module]:
    return {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def test_no_module_needs_what_only_posix_has() -> None:
    posix = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
    found = []
    for name, tree in modules().items():
        for node in tree.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{name}: {module}" for module in names if module in posix]
    assert found == []


def test_text_is_read_and_written_in_utf_8_everywhere() -> None:
    """Windows would take the old character set of its language."""
    found, seen = [], 0
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            modes = [value.value for value in node.args if isinstance(value, ast.Constant)]
            if called in ("read_text", "write_text") or (called == "open" and not any("b" in str(m) for m in modes)):
                seen += 1
                if not any(keyword.arg == "encoding" for keyword in node.keywords):
                    found.append(f"{name}:{node.lineno}")
    assert found == [] and seen > 10
