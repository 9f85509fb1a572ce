"""Settings refuse values that make no sense, and name them; presets are the published ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from distillcse_kit.config import (
    PAPER_TRAINING,
    PROFILES,
    DistillationSettings,
    Profile,
    TrainingSettings,
    as_json,
    profile_named,
    with_base,
    with_changes,
)
from distillcse_kit.errors import KitError
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.training.named_recipes import PRESETS, preset_named


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pooling", "max", "Unknown pooling 'max'; choose one of cls, cls_before_pooler, avg"),
        ("precision", "int8", "Unknown precision"),
        ("temperature", 0.0, "temperature is 0.0; it must be greater than 0"),
        ("temperature", float("nan"), "temperature is nan"),
        ("learning_rate", -1.0, "learning_rate is -1.0"),
        ("steps", 0, "steps is 0"),
        ("batch_size", 0, "batch_size is 0"),
        ("evaluate_every", 0, "evaluate_every is 0"),
        ("gradient_clip", 0.0, "gradient_clip is 0.0"),
        ("mlm_share", 0.0, r"mlm_share is 0.0; it must lie in \(0, 1\]"),
        ("mlm_weight", -0.1, "mlm_weight is -0.1"),
        ("max_tokens", 2, "max_tokens is 2"),
    ],
)
def test_training_settings(name: str, value: Any, message: str) -> None:
    with pytest.raises(KitError, match=message):
        TrainingSettings(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shuffle": "all"}, "Unknown shuffle 'all'"),
        ({"divergence": "l2"}, "Unknown divergence"),
        ({"objective": "mse"}, "Unknown objective"),
        ({"p": 0.0}, r"p is 0.0; it must lie in \(0, 1\]"),
        ({"p": 1.1}, "p is 1.1"),
        ({"p": float("nan")}, "p is nan"),
        ({"student_temperature": 0.0}, "student_temperature is 0.0"),
        ({"teacher_temperature": -0.01}, "teacher_temperature is -0.01"),
        ({"group_temperature": 0.0}, "group_temperature is 0.0"),
        ({"weight": 0.0}, "weight is 0.0"),
        ({"group_size": 0}, "group_size is 0"),
        ({"pairs_per_row": 0}, "pairs_per_row is 0"),
        ({"band_start": 5, "band_end": 5}, "rank band 5..5 is empty"),
        ({"band_start": -1}, "rank band -1..12 is empty"),
        ({"teacher_margin": 1.0}, "teacher_margin is 1.0"),
    ],
)
def test_distillation_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(KitError, match=message):
        DistillationSettings(**changes)


@pytest.mark.parametrize("name", ["sentences", "teachers", "seeds", "rounds"])
def test_profiles(name: str) -> None:
    with pytest.raises(KitError, match=f"{name} is 0"):
        Profile("none", TrainingSettings(), **{name: 0})


def test_the_two_presets_differ_as_paper_and_script_do() -> None:
    """The paper's settings, and the temperatures and steps of the script in its authors' repository."""
    paper, code = PRESETS["paper"], PRESETS["authors-code"]
    assert (paper.training.temperature, paper.training.learning_rate) == (0.05, 3e-5)
    assert (paper.training.batch_size, paper.training.max_tokens, paper.training.evaluate_every) == (64, 32, 125)
    assert (paper.distillation.student_temperature, paper.distillation.teacher_temperature) == (0.02, 0.01)
    assert (paper.distillation.shuffle, paper.distillation.p, paper.distillation.group_temperature) == (
        "group_p",
        0.1,
        1,
    )
    assert (code.distillation.student_temperature, code.distillation.teacher_temperature) == (0.025, 0.0125)
    assert 15_625 * paper.training.batch_size == 1_000_000


@pytest.mark.parametrize(
    ("base", "rate"),
    [
        ("bert-base-uncased", 3e-5),
        ("google-bert/bert-base-uncased@main", 3e-5),
        ("bert-large-uncased", 1e-5),
        ("roberta-base", 1e-5),
        ("FacebookAI/roberta-large", 1e-5),
        ("/models/RoBERTa-base/", 1e-5),
    ],
)
def test_each_of_the_papers_encoders_has_its_learning_rate(base: str, rate: float) -> None:
    """Section 2 of the paper: 3e-5 for BERT-base, 1e-5 for the three others."""
    for preset in (PRESETS["paper"], PRESETS["authors-code"]):
        recipe = preset.changed(base=base, seed=1)
        assert (recipe.training.base, recipe.training.learning_rate) == (base, rate)
        assert recipe.training == replace(preset.training, base=base, learning_rate=rate)
    # There and back again, and with a rate of the user's own.
    assert recipe.changed(base="bert-base-uncased").training.learning_rate == 3e-5
    assert PRESETS["paper"].changed(base=base, learning_rate=2e-5).training.learning_rate == 2e-5
    assert with_base(replace(PAPER_TRAINING, learning_rate=2e-5), base).learning_rate == 2e-5


@pytest.mark.parametrize("base", ["micro", "bert-base-cased", "owner/roberta-base-finetuned"])
def test_a_base_without_a_rate_in_the_paper_needs_one(base: str) -> None:
    for preset in (PRESETS["paper"], PRESETS["authors-code"]):
        with pytest.raises(KitError, match=f"The paper has no learning rate for {base}, .*--learning-rate"):
            preset.changed(base=base)
        assert preset.changed(base=base, learning_rate=2e-5).training == replace(
            preset.training, base=base, learning_rate=2e-5
        )
    with pytest.raises(KitError, match=f"The paper has no learning rate for {base}"):
        Laboratory("paper", base=base)
    assert Laboratory("smoke", base=base).profile.training == replace(PROFILES["smoke"].training, base=base)
    assert PRESETS["strong-teacher"].changed(base=base).training.learning_rate == 4e-4


def test_changes_are_a_copy_and_unknown_names_are_refused() -> None:
    settings = TrainingSettings()
    assert with_changes(settings, steps=7).steps == 7 and settings.steps != 7
    with pytest.raises(KitError, match=r"Unknown parameter 'stepps'; choose among .*steps"):
        with_changes(settings, stepps=7)
    with pytest.raises(KitError, match="p is 2"):
        with_changes(DistillationSettings(), p=2)


def test_unknown_names() -> None:
    with pytest.raises(KitError, match="Unknown profile 'big'; choose one of smoke, laptop, paper"):
        profile_named("big")
    with pytest.raises(KitError, match="Unknown preset 'mine'; choose one of paper, authors-code"):
        preset_named("mine")


def test_settings_come_back_from_json() -> None:
    settings = DistillationSettings(p=0.3, shuffle="group_mean")
    assert DistillationSettings(**as_json(settings)) == settings
