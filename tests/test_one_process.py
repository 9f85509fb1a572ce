"""A launcher of several processes is refused: each of them would wait for the others, or do all the work again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SENTENCES

from distillcse_kit.command import main as cli
from distillcse_kit.config import TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.one_process import require_one_process
from distillcse_kit.store import Store
from distillcse_kit.training.loop import Trainer
from distillcse_kit.training.pretraining import pretrain
from distillcse_kit.training.pretraining_settings import PretrainingSettings
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus

SENTENCE = "This is one of 2 processes (WORLD_SIZE=2), but the kit works in one; start it without torchrun"


def test_torchrun_with_two_processes_ends_with_the_sentence(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(SENTENCES[:60]), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    work = ["-m", "distillcse_kit.command.main", "teach", "--profile", "smoke", "--corpus", tmp_path / "corpus.txt"]
    work += ["--base", tiny, "--store", tmp_path / "store", "--steps", "1", "--seeds", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, work)], env=environment, capture_output=True, text=True, timeout=170
    )
    assert done.returncode != 0 and f"distillcse teach: {SENTENCE}" in done.stderr
    assert not (tmp_path / "store").exists()


def test_everything_that_trains_or_embeds_refuses(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    recipe = Recipe(TrainingSettings(base=str(tiny)))
    for work in (
        lambda: Trainer(store, recipe, corpus, dev, None, tmp_path / "none"),
        lambda: embed_corpus(store, str(tiny), corpus, None),
        lambda: pretrain(corpus.sentences, "text", tmp_path / "new", PretrainingSettings(), store),
    ):
        with pytest.raises(KitError) as refused:
            work()
        assert str(refused.value).startswith(SENTENCE)
    assert not list(store.root.rglob("*.npy")) and not (tmp_path / "new").exists()


def test_the_command_refuses_before_it_reads_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(["evaluate", "no-such-model", "--tasks", "no-such-set"]) == 2
    assert SENTENCE in capsys.readouterr().err


@pytest.mark.parametrize("value", ["1", "0", "", "many", "2.5", None])
def test_one_process_is_fine_whoever_started_it(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM's wrappers and containers set WORLD_SIZE=1 as well."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if value is not None:
        monkeypatch.setenv("WORLD_SIZE", value)
    require_one_process()
