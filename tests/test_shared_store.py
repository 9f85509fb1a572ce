"""One store for several users: the umask decides who may read and write, and reading needs no right to write."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from transformers import BertForMaskedLM

from distillcse_kit.command import machine
from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.course import notebook_files
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.plots.style import show
from distillcse_kit.store import Store, save_array, write_json
from distillcse_kit.training.loop import Cancelled, Progress
from distillcse_kit.training.pretraining import save_micro_encoder
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.recipe import First, Recipe
from distillcse_kit.training.run import train
from distillcse_kit.training.training_text import Corpus, tokenized
from distillcse_kit.training.workplace import Workplace
from distillcse_kit.whole_files import new_folder

ANN, BOB, GROUP = 61_001, 61_002, 61_000

posix = pytest.mark.skipif(os.name != "posix", reason="the umask is a matter of POSIX systems")
two_users = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as two other users"
)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def wrong_modes(root: Path, mask: int) -> dict[str, str]:
    """Files and folders in ``root`` whose mode is not the one that open() and mkdir() give."""
    found = {}
    for path in (root, *root.rglob("*")):
        mode, usual = stat.S_IMODE(path.stat().st_mode), (0o777 if path.is_dir() else 0o666) & ~mask
        if mode != usual:
            found[str(path.relative_to(root))] = oct(mode)
    return found


def settings(base: Path) -> TrainingSettings:
    return TrainingSettings(base=str(base), precision="float32", steps=4, batch_size=8, evaluate_every=2)


@posix
@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_all_that_a_store_holds_follows_the_umask(
    mask: int, tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distillcse_kit.training.loop.CHECKPOINT_SECONDS", -1.0)
    store, small = Store(tmp_path / "deep" / "store"), settings(tiny)
    place = Workplace(store, corpus, dev, small)

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise Cancelled

    with umask(mask):
        place.run(Recipe(small, DistillationSettings(), First(1)), False).score(dev)
        with pytest.raises(Cancelled):
            place.run(Recipe(small, seed=7), False, stop)
        (tmp_path / "corpus.txt").write_text("one\ntwo\n", encoding="utf-8")
        load_corpus(tmp_path / "corpus.txt", store=store)
        store.json("numbers", "x", lambda: 1)
        store.array("arrays", "x", lambda path: save_array(path, np.zeros(3)))
    found = {path.suffix for path in store.root.rglob("*") if path.is_file()}
    assert found >= {".checkpoint", ".lock", ".json", ".npy", ".arrow", ".safetensors"}
    assert wrong_modes(tmp_path / "deep", mask) == {}


@posix
@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_saved_encoders_figures_and_notebooks_follow_the_umask(mask: int, tiny: Path, tmp_path: Path) -> None:
    encoder, out = SentenceEncoder.load(tiny), tmp_path / "out"
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    (tmp_path / "notebooks" / "src" / "00_a.py").write_text("# %%\nx = 1\n", encoding="utf-8")
    with umask(mask):
        encoder.save(out / "export")
        encoder.save(out / "export")  # and when it replaces another
        model = BertForMaskedLM.from_pretrained(tiny)
        save_micro_encoder(out / "micro", model, encoder.tokenizer, PretrainingSettings(hidden_size=32, heads=2), {})
        show(Figure(), "figure", out, displayed=False)
        write_json(out / "results" / "a.json", 1)
        notebook_files.generate(tmp_path / "notebooks")
    assert wrong_modes(out, mask) == {}
    assert stat.S_IMODE((tmp_path / "notebooks" / "00_a.ipynb").stat().st_mode) == 0o666 & ~mask


@posix
def test_folders_keep_the_group_of_a_shared_folder(tmp_path: Path) -> None:
    """Where a folder has the setgid bit, what is made in it belongs to its group."""
    tmp_path.chmod(0o2775)
    for _ in range(2):
        with umask(0o002), new_folder(tmp_path / "run") as folder:
            (folder / "inner").mkdir()
        for path in (tmp_path / "run", tmp_path / "run" / "inner"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o2775


def _act(user: int, mask: int, work: Callable[[], Any], result: Connection) -> None:
    os.setgroups([])
    os.setgid(GROUP)
    os.setuid(user)
    os.umask(mask)
    torch.set_num_threads(1)
    try:
        result.send(work())
    except KitError as error:
        result.send(str(error))
    except BaseException:
        result.send(traceback.format_exc())


def as_user(user: int, mask: int, work: Callable[[], Any]) -> Any:
    """What ``work`` returns, or the sentence of its KitError, in a process of another user of the group."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_act, args=(user, mask, work, theirs))
    process.start()
    theirs.close()
    answer = ours.recv()
    process.join()
    return answer


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder of the group; pytest's own temporary folders are closed to other users."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


def value_of(root: Path, content: str, value: int) -> int:
    """The stored number of ``content``; ``value`` if it has to be computed."""
    return Store(root).json("numbers", content, lambda: value)


def replaced_folder(path: Path, text: str) -> str:
    with new_folder(path) as folder:
        write_json(folder / "inner" / "a.json", text)
    return (path / "inner" / "a.json").read_text(encoding="utf-8")


@two_users
def test_two_users_read_and_write_one_store(shared: Path) -> None:
    root = shared / "store"
    assert as_user(ANN, 0o002, partial(value_of, root, "x", 1)) == 1
    assert as_user(BOB, 0o002, partial(value_of, root, "x", 2)) == 1
    assert as_user(BOB, 0o002, partial(value_of, root, "y", 3)) == 3
    assert as_user(ANN, 0o002, partial(value_of, root, "y", 4)) == 3
    path = Store(root).path("numbers", "x", ".json")
    assert path.stat().st_uid == ANN and path.stat().st_gid == GROUP
    path.write_bytes(b"{damaged")
    assert as_user(BOB, 0o002, partial(value_of, root, "x", 5)) == 5  # with the lock file that Ann made
    assert path.stat().st_uid == BOB
    for user in (ANN, BOB, ANN):
        assert as_user(user, 0o002, partial(replaced_folder, root / "runs" / "k", f"{user}")) == f'"{user}"\n'
    assert [file.name for file in (root / "runs").iterdir()] == ["k"]


@two_users
def test_whoever_may_only_read_loads_what_is_there(shared: Path) -> None:
    root = shared / "store"
    assert as_user(ANN, 0o022, partial(value_of, root, "x", 1)) == 1
    assert as_user(BOB, 0o022, partial(value_of, root, "x", 2)) == 1
    sentence = as_user(BOB, 0o022, partial(value_of, root, "y", 3))
    path = Store(root).path("numbers", "y", ".json")
    assert sentence == (
        f"The store has no intact {path}, and you may not write there (Permission denied); "
        "name another store with --store or DISTILLCSE_STORE."
    )
    sentence = as_user(BOB, 0o022, partial(replaced_folder, root / "numbers" / "k", "a"))
    assert "k could not be written (Permission denied)" in sentence and sentence.endswith("you may write to.")


@two_users
def test_the_doctor_knows_a_store_that_may_only_be_read(shared: Path) -> None:
    for mode, status in ((0o775, "ok"), (0o755, "note"), (0o700, "missing")):
        shared.chmod(mode)
        assert as_user(BOB, 0o022, lambda: machine._store(shared)[0].status) == status


@two_users
def test_what_is_closed_to_others_is_said_and_stays(shared: Path) -> None:
    root = shared / "store"
    assert as_user(ANN, 0o077, partial(value_of, root, "x", 1)) == 1
    path = Store(root).path("numbers", "x", ".json")
    closed = f"You may not read {path}; ask its owner for permission, or name another store"
    assert as_user(BOB, 0o002, partial(value_of, root, "x", 2)).startswith(closed)
    root.chmod(0o775)
    path.parent.chmod(0o775)  # as in stores of the first version: open folders, closed files
    assert as_user(BOB, 0o002, partial(value_of, root, "x", 2)).startswith(closed)
    assert path.stat().st_uid == ANN and as_user(ANN, 0o077, partial(value_of, root, "x", 3)) == 1


def _read_all(place: Workplace, recipe: Recipe, source: Path) -> dict[str, Any]:
    """What a student's reader needs: runs, embeddings, token ids, sentences; and what happens with a new seed."""
    run = place.run(recipe, False)
    assert train(place.store, recipe, place.corpus, place.dev, place.ensemble(recipe, False), None).folder == run.folder
    encoder = run.encoder()
    try:
        place.run(recipe.changed(seed=5), False)
        new = "trained"
    except KitError as error:
        new = str(error)
    return {
        "history": run.history,
        "known": run.known_score(place.dev),
        "embeddings": place.embeddings(str(run.folder), False).shape,
        "tokens": len(tokenized(place.store, encoder, place.corpus)),
        "sentences": list(load_corpus(source, store=place.store)["sentence"]),
        "new": new,
    }


@two_users
def test_a_store_of_another_user_serves_runs_embeddings_and_corpora(
    tiny: Path, corpus: Corpus, dev: SentencePairs, shared: Path
) -> None:
    base = shutil.copytree(tiny, shared / "base")
    for path in base.iterdir():
        path.chmod(0o644)
    (shared / "corpus.txt").write_text("one\ntwo\n", encoding="utf-8")
    place = Workplace(Store(shared / "store"), corpus, dev, settings(base))
    recipe = Recipe(place.teacher, DistillationSettings(), First(1))
    with umask(0o022):  # root is the first user
        run = place.run(recipe, False)
        score = run.score(dev)
        shape = place.embeddings(str(run.folder), False).shape
        load_corpus(shared / "corpus.txt", store=place.store)
    before = {path: path.stat().st_mtime_ns for path in place.store.root.rglob("*")}
    answer = as_user(BOB, 0o022, partial(_read_all, place, recipe, shared / "corpus.txt"))
    assert isinstance(answer, dict), answer
    assert answer.pop("new").startswith(f"The store has no intact {place.folder(recipe.changed(seed=5))}, and you may")
    assert answer == {
        "history": run.history,
        "known": score,
        "embeddings": shape,
        "tokens": len(corpus),
        "sentences": ["one", "two"],
    }
    assert {path: path.stat().st_mtime_ns for path in place.store.root.rglob("*")} == before
