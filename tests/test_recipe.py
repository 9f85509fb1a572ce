"""Recipes: one description of a teacher or a student, whose key is known before anything is loaded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from distillcse_kit.config import PROFILES, DistillationSettings, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.store import Store, key_of
from distillcse_kit.training.named_recipes import METHODS, PRESETS, preset_named, recipe_named
from distillcse_kit.training.recipe import First, Inputs, Own, Recipe, These
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.training.workplace import Workplace


@pytest.fixture
def place(store: Store, corpus: Corpus, dev: SentencePairs, tiny: Path) -> Workplace:
    training = TrainingSettings(base=str(tiny), steps=4, batch_size=8, evaluate_every=2, precision="float32")
    return Workplace(store, corpus, dev, training)


# ---------------------------------------------------------------- changing


def test_a_change_goes_to_the_settings_that_have_its_name() -> None:
    recipe = Recipe().changed(steps=9, p=0.2, seed=3, teachers=First(2))
    assert recipe.training == replace(TrainingSettings(), steps=9)
    assert recipe.distillation == DistillationSettings(p=0.2)
    assert (recipe.seed, recipe.teachers) == (3, First(2))
    assert recipe.changed() == recipe


def test_training_and_distillation_share_no_setting() -> None:
    assert not set(vars(TrainingSettings())) & set(vars(DistillationSettings()))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tau": 1}, "Unknown setting 'tau'; choose among band_end, .*teachers.*weight"),
        ({"p": 0.0}, r"p is 0.0; it must lie in \(0, 1\]"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
    ],
)
def test_an_error_is_one_sentence(change: dict, sentence: str) -> None:
    with pytest.raises(KitError, match=sentence):
        Recipe().changed(**change)


def test_teachers_that_make_no_sense() -> None:
    for make, sentence in (
        (lambda: First(0), "names no teacher"),
        (lambda: These(()), "at least one teacher"),
        (lambda: These(("a", "b", "a")), "a is named twice"),
        (lambda: These(("a", "b"), (1.0,)), "one weight per teacher: 2 weights instead of 1"),
    ):
        with pytest.raises(KitError, match=sentence):
            make()
    recipe = Recipe(distillation=DistillationSettings(), teachers=These(("a", "b"), (-1.0, 2.0)))
    with pytest.raises(KitError, match="0 or more, and not all 0"):
        recipe.weights(TrainingSettings())


# ---------------------------------------------------------------- keys


def test_the_key_is_a_hash_of_everything_that_decides_the_run(place: Workplace) -> None:
    """Written out by hand: run folders have had these names since the kit's first day."""
    teacher = Recipe(place.teacher, seed=1)
    inputs = place.inputs
    training = {
        name: value for name, value in vars(place.teacher).items() if name not in ("fast", "dropout", "keep_head")
    }
    training |= {"seed": 1, "compile": "auto"}
    content = {
        "training": training,
        "base": teacher.content(inputs)["base"],
        "corpus": {"fingerprint": place.corpus.fingerprint, "sentences": len(place.corpus)},
        "dev": {"name": place.dev.name, "fingerprint": inputs.dev["fingerprint"], "pairs": len(place.dev)},
    }
    assert teacher.key(inputs) == key_of(content)
    student = Recipe(place.teacher, DistillationSettings(), seed=1)
    content |= {
        "distillation": vars(DistillationSettings()),
        "teachers": [{"teacher": teacher.key(inputs), "weight": 1.0}],
    }
    assert student.key(inputs) == key_of(content)


def test_every_part_of_a_recipe_and_of_its_inputs_changes_the_key(place: Workplace) -> None:
    student = Recipe(place.teacher, DistillationSettings())
    inputs = place.inputs
    others = [
        student.changed(seed=1),
        student.changed(teachers=First(2)),
        student.changed(p=0.2),
        student.changed(learning_rate=1e-5),
        student.changed(fast=False),
        Recipe(place.teacher),
    ]
    keys = [recipe.key(inputs) for recipe in (student, *others)]
    for changed in (
        replace(inputs, corpus="other"),
        replace(inputs, sentences=7),
        replace(inputs, dev={**inputs.dev, "fingerprint": "other"}),
        replace(inputs, teacher=replace(place.teacher, steps=5)),
    ):
        keys.append(student.key(changed))
    assert len(set(keys)) == len(keys)


def test_a_masked_lm_loss_by_the_old_rule_is_another_run(place: Workplace) -> None:
    """Runs of the first stores replaced all hidden words by [MASK]: their key had no rule in it."""
    recipe = Recipe(place.teacher).changed(mlm_weight=0.1)
    content = recipe.content(place.inputs)
    assert "80%" in content["training"].pop("mlm_rule")
    assert recipe.key(place.inputs) != key_of(content)
    assert "mlm_rule" not in Recipe(place.teacher).settings()["training"]


def test_own_is_the_teacher_of_the_same_seed_and_first_is_the_first_ones(place: Workplace) -> None:
    student = Recipe(place.teacher, DistillationSettings(), Own(), seed=2)
    assert student.taught_by(place.teacher) == (Recipe(place.teacher, seed=2),)
    assert student.changed(teachers=First(2)).taught_by(place.teacher) == tuple(
        Recipe(place.teacher, seed=seed) for seed in (0, 1)
    )
    assert Recipe(place.teacher).taught_by(place.teacher) == ()


def test_a_changed_student_keeps_its_teachers(place: Workplace) -> None:
    """A change of pooling or length changes the student alone."""
    student = Recipe(place.teacher, DistillationSettings()).changed(pooling="avg", steps=2)
    (teacher,) = student.taught_by(place.teacher)
    assert teacher == Recipe(place.teacher)


def test_asking_for_600_runs_loads_nothing(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SentenceEncoder, "load", None)
    monkeypatch.setattr("transformers.AutoModel.from_pretrained", None)
    recipes = [
        Recipe(place.teacher, DistillationSettings(p=p), First(16), seed)
        for p in (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
        for seed in range(100)
    ]
    assert not any(place.is_done(recipe) for recipe in recipes)
    assert len({place.folder(recipe) for recipe in recipes}) == 600


def test_a_run_lands_where_its_recipe_says_and_names_the_same_teachers(place: Workplace) -> None:
    recipe = Recipe(place.teacher, DistillationSettings(shuffle="group_p"), First(2), seed=1)
    run = place.run(recipe, progress=False)
    assert run.folder == place.folder(recipe) and place.is_done(recipe)
    about = json.loads((run.folder / "run.json").read_text())
    assert {name: about[name] for name in recipe.content(place.inputs)} == recipe.content(place.inputs)
    by_folder = recipe.changed(teachers=These(tuple(str(place.folder(m)) for m in recipe.taught_by(place.teacher))))
    assert place.folder(by_folder) == run.folder  # a run folder and its recipe are the same teacher


def overwrite_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name][:, ::2] += 1.0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def test_another_model_under_a_runs_name_is_another_teacher(place: Workplace, tmp_path: Path) -> None:
    """A teacher's folder, copied under its own name, with other weights: its student is another one, too."""
    teacher = Recipe(place.teacher, seed=1)
    original = place.run(teacher, progress=False).folder
    copy = tmp_path / "elsewhere" / original.name
    shutil.copytree(original, copy)

    def student_of(folder: Path) -> str:
        return Recipe(place.teacher, DistillationSettings(), These((str(folder),)), seed=1).key(place.inputs)

    of_recipe = Recipe(place.teacher, DistillationSettings(), These((teacher,)), seed=1).key(place.inputs)
    assert of_recipe == student_of(original) == student_of(copy)
    shutil.copytree(copy, tmp_path / "renamed")
    assert student_of(tmp_path / "renamed") == of_recipe  # a name says nothing
    before = np.array(place.embeddings(str(copy), progress=False))
    overwrite_a_weight(copy)
    assert student_of(copy) != of_recipe == student_of(original)
    assert not np.array_equal(place.embeddings(str(copy), progress=False), before)
    about = json.loads((original / "run.json").read_text())
    del about["model"]  # an older version of the kit did not write it
    (original / "run.json").write_text(json.dumps(about))
    assert student_of(original) != of_recipe


def test_a_base_that_changes_while_the_laboratory_is_open(place: Workplace, tiny: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    training = replace(place.teacher, base=str(base))
    teacher = Recipe(training)
    student = Recipe(training, DistillationSettings(), These((teacher,)))
    inputs = replace(place.inputs, teacher=training)
    before = teacher.key(inputs), student.key(inputs), student.content(inputs)["teachers"]
    overwrite_a_weight(base)
    after = teacher.key(inputs), student.key(inputs), student.content(inputs)["teachers"]
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_weights_of_named_encoders_decide_mean_and_key(place: Workplace, tiny: Path, other_vocabulary: Path) -> None:
    models = (str(tiny), str(other_vocabulary))
    student = Recipe(place.teacher, DistillationSettings(), These(models, (1.0, 3.0)))
    ensemble = place.ensemble(student, progress=False)
    assert ensemble is not None and list(ensemble.weights.values()) == [0.25, 0.75]
    assert student.key(place.inputs) != student.changed(teachers=These(models)).key(place.inputs)


def test_the_same_encoder_under_two_names_is_refused(place: Workplace, tiny: Path, tmp_path: Path) -> None:
    copy = SentenceEncoder.load(tiny).save(tmp_path / "copy")
    again = SentenceEncoder.load(tiny).save(tmp_path / "again")
    student = Recipe(place.teacher, DistillationSettings(), These((str(copy), str(again))))
    with pytest.raises(KitError, match="Two of the teachers are the same encoder"):
        student.key(place.inputs)


def test_a_hub_teacher_that_cannot_be_reached(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    student = Recipe(place.teacher, DistillationSettings(), These(("nobody/no-such-model",)))
    with pytest.raises(KitError, match=r"nobody/no-such-model could not be found .*check its name"):
        student.key(place.inputs)


def test_a_recipe_of_a_teacher_takes_no_teachers_and_a_student_needs_them(
    store: Store, corpus: Corpus, dev: SentencePairs, place: Workplace
) -> None:
    from distillcse_kit.training.run import train

    with pytest.raises(KitError, match="A student needs teachers"):
        train(store, Recipe(place.teacher, DistillationSettings()), corpus, dev, None, None)


# ---------------------------------------------------------------- names


def test_the_rows_of_the_main_table() -> None:
    laptop = PROFILES["laptop"]
    rows = {name: recipe_named(name, laptop) for name in METHODS}
    shuffles = {name: recipe.distillation.shuffle for name, recipe in rows.items() if recipe.distillation}
    assert shuffles == {
        "vanilla": "none",
        "group_p": "group_p",
        "group_mean": "group_mean",
        "components": "none",
        "distillcse": "group_p",
    }
    assert {name for name, recipe in rows.items() if recipe.teachers == First(16)} == {"components", "distillcse"}
    assert not recipe_named("teacher", laptop).is_student
    with pytest.raises(KitError, match="Unknown recipe 'magic'; choose one of teacher, vanilla"):
        recipe_named("magic", laptop)


def test_presets_are_the_papers_numbers() -> None:
    """The paper's settings, and those of the authors' script."""
    paper, code = PRESETS["paper"], preset_named("authors-code")
    assert paper.distillation is not None and code.distillation is not None
    assert (paper.distillation.student_temperature, paper.distillation.teacher_temperature) == (0.02, 0.01)
    assert (code.distillation.student_temperature, code.distillation.teacher_temperature) == (0.025, 0.0125)
    assert (paper.training.steps, code.training.steps) == (15_625, 5_000)
    for preset in (paper, code):
        assert preset.training.learning_rate == 3e-5 and preset.training.batch_size == 64
        assert preset.distillation is not None and (preset.distillation.p, preset.distillation.weight) == (0.1, 1)
    with pytest.raises(KitError, match="Unknown preset 'mine'; choose one of paper, authors-code"):
        preset_named("mine")


def test_inputs_describe_corpus_and_pairs(corpus: Corpus, dev: SentencePairs) -> None:
    inputs = Inputs.of(corpus, dev)
    assert (inputs.corpus, inputs.sentences, inputs.dev["pairs"]) == (corpus.fingerprint, len(corpus), len(dev))
