"""The encoder that ships: what its model card says, and what it can learn."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from distillcse_kit.command.flags import given
from distillcse_kit.command.main import parser_of
from distillcse_kit.config import PROFILES, with_changes
from distillcse_kit.encoder.loading import MICRO
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.evaluation import load_sts, score_pairs
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.training.pretraining_settings import PretrainingSettings

CARD = (MICRO / "README.md").read_text(encoding="utf-8")
MADE = json.loads((MICRO / "pretraining.json").read_text(encoding="utf-8"))


def test_the_weights_are_half_precision_safetensors_of_8_megabytes_at_most() -> None:
    weights = list(MICRO.glob("*.safetensors"))
    assert sum(file.stat().st_size for file in weights) <= 8_000_000
    with safe_open(weights[0], framework="np") as file:
        assert {str(file.get_slice(name).get_dtype()) for name in file.keys()} == {"F16"}  # noqa: SIM118
    assert not [file for file in MICRO.rglob("*") if file.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt")]


def test_the_card_names_the_command_that_gives_these_settings() -> None:
    command = re.search(r"^ {4}distillcse pretrain (.*)$", CARD, re.MULTILINE)
    assert command
    arguments = parser_of("pretrain").parse_args(shlex.split(command[1]))
    settings = PretrainingSettings(**given(arguments, PretrainingSettings))
    assert asdict(settings) == MADE["settings"]


def test_the_card_shows_the_loss_curve_that_was_logged() -> None:
    steps, losses = (re.search(rf"^\| {name} \| (.*) \|$", CARD, re.MULTILINE) for name in ("step", "loss"))
    assert steps and losses
    shown = zip(steps[1].replace(",", "").split(" | "), losses[1].split(" | "), strict=True)
    logged = {point["step"]: point["loss"] for point in MADE["curve"]}
    for step, loss in shown:
        assert logged[int(step)] == pytest.approx(float(loss), abs=0.005)


@pytest.mark.parametrize("pooling", ["cls", "avg"])
def test_the_card_shows_the_scores_of_the_shipped_weights(pooling: str) -> None:
    row = re.search(
        rf"^\| {re.escape({'cls': '[CLS]', 'avg': 'mean of tokens'}[pooling])} \| (.*) \|$", CARD, re.MULTILINE
    )
    assert row
    *_, builtin, kit = map(float, row[1].split(" | "))
    encoder = SentenceEncoder.load("micro", pooling)  # type: ignore[arg-type]
    assert score_pairs(encoder, load_sts("builtin")) == pytest.approx(builtin, abs=0.05)
    assert score_pairs(encoder, load_sts("kit")) == pytest.approx(kit, abs=0.05)


def test_sentence_transformers_pools_it_by_cls() -> None:
    models = pytest.importorskip("sentence_transformers")
    texts = ["A cook cuts onions.", "The river flows into the sea near the old town."]
    theirs = models.SentenceTransformer(str(MICRO), device="cpu", model_kwargs={"dtype": "float32"}).encode(texts)
    np.testing.assert_allclose(theirs, SentenceEncoder.load("micro").encode(texts), atol=1e-5)


def test_a_teacher_on_real_sentences_reaches_58_on_sts_b_dev(real_data: Path, tmp_path: Path) -> None:
    """With a third of the laptop profile's steps; all of them, over five seeds, are in the README's table."""
    training = with_changes(PROFILES["laptop"].training, steps=50)
    profile = with_changes(PROFILES["laptop"], training=training, sentences=5_000)
    lab = Laboratory(profile, real_data, store=tmp_path)
    untrained, trained = lab.score(lab.base, "dev"), lab.teacher(0).scores["dev"]
    assert trained >= 58 > untrained + 5
