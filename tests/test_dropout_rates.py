"""The dropout of any base can be set, and a base without dropout is told of."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import SENTENCES, make_model_folder
from torch import nn

from distillcse_kit.command import main as cli
from distillcse_kit.command.shared import laboratory_of
from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.dropout_rates import dropout_names, set_dropout
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError, KitWarning
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.store import Store
from distillcse_kit.training.objective import Trainee
from distillcse_kit.training.recipe import Inputs, Recipe
from distillcse_kit.training.run import train
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus

BERT_LIKE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SHORT = {"max_position_embeddings": 80}
# {architecture: (settings of a tiny one, its rates)}
FAMILIES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "bert": (BERT_LIKE | SHORT, {"hidden_dropout_prob", "attention_probs_dropout_prob"}),
    "roberta": (BERT_LIKE | SHORT, {"hidden_dropout_prob", "attention_probs_dropout_prob"}),
    "albert": (BERT_LIKE | SHORT | {"embedding_size": 16}, {"hidden_dropout_prob", "attention_probs_dropout_prob"}),
    "electra": (BERT_LIKE | SHORT | {"embedding_size": 16}, {"hidden_dropout_prob", "attention_probs_dropout_prob"}),
    "mpnet": (BERT_LIKE | SHORT, {"hidden_dropout_prob", "attention_probs_dropout_prob"}),
    "roformer": (BERT_LIKE | SHORT, {"hidden_dropout_prob", "attention_probs_dropout_prob"}),
    "deberta-v2": (BERT_LIKE | SHORT, {"hidden_dropout_prob", "attention_probs_dropout_prob"}),
    "distilbert": (
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64} | SHORT,
        {"dropout", "attention_dropout"},
    ),
    "modernbert": (BERT_LIKE | SHORT, {"embedding_dropout", "mlp_dropout", "attention_dropout"}),
}


def folder_of(family: str, path: Path) -> Path:
    """A model of that architecture with random weights, beside the tokenizer of a tiny BERT."""
    make_model_folder(path)
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    settings = FAMILIES[family][0] | {"vocab_size": 300} | special
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **settings)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=FAMILIES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, folder_of(request.param, tmp_path_factory.mktemp("bases") / request.param)


def views(encoder: SentenceEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    batch = encoder.pad(encoder.tokenize(SENTENCES[:8]))
    encoder.train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return encoder(batch), encoder(batch)


def test_every_rate_of_the_encoder_is_set_and_no_other(base: tuple[str, Path]) -> None:
    family, folder = base
    before = json.loads((folder / "config.json").read_text())
    encoder = SentenceEncoder.load(folder, device="cpu", dropout=0.25)
    assert set(dropout_names(encoder.model.config)) == FAMILIES[family][1]
    after = encoder.model.config.to_dict()
    assert {name for name in before if after[name] != before[name] and "drop" in name} == FAMILIES[family][1]
    assert all(after[name] == 0.25 for name in FAMILIES[family][1])
    rates = {module.p for module in encoder.modules() if isinstance(module, nn.Dropout) and module.p}
    assert rates == {0.25}


def test_views_differ_with_dropout_and_agree_without(base: tuple[str, Path]) -> None:
    for rate, alike in ((0.0, True), (0.2, False)):
        first, second = views(SentenceEncoder.load(base[1], device="cpu", dropout=rate))
        assert torch.allclose(first, second) is alike


def test_none_keeps_the_config(base: tuple[str, Path]) -> None:
    plain = transformers.AutoConfig.from_pretrained(base[1])
    config = SentenceEncoder.load(base[1], device="cpu").model.config
    assert all(getattr(config, name) == getattr(plain, name) for name in FAMILIES[base[0]][1])


def test_a_config_without_a_rate_is_refused() -> None:
    config = transformers.PreTrainedConfig(classifier_dropout=0.1, summary_last_dropout=0.1, token_dropout=True)
    set_dropout(config, None, "a base")
    with pytest.raises(KitError, match=r"The config of a base .* has no dropout rate that could be set to 0.1; leave"):
        set_dropout(config, 0.1, "a base")


def test_the_masked_lm_head_stands_on_the_same_encoder(base: tuple[str, Path]) -> None:
    trainee = Trainee(TrainingSettings(base=str(base[1]), dropout=0.3, mlm_weight=0.1))
    body = getattr(trainee.masked_lm, trainee.masked_lm.base_model_prefix)  # type: ignore[union-attr]
    assert body is trainee.encoder.model
    assert {module.p for module in body.modules() if isinstance(module, nn.Dropout) and module.p} == {0.3}


# ---------------------------------------------------------------- the setting


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_out_of_range(rate: float) -> None:
    with pytest.raises(KitError, match=rf"dropout is {rate}; it must lie in \[0, 1\)"):
        TrainingSettings(dropout=rate)


def test_keys_stay_as_they_were_unless_dropout_is_set(tiny: Path, corpus: Corpus, dev: SentencePairs) -> None:
    plain = Recipe(TrainingSettings(base=str(tiny)))
    inputs = Inputs.of(corpus, dev)
    assert "dropout" not in plain.settings()["training"]
    changed = plain.changed(dropout=0.1)
    assert changed.settings()["training"]["dropout"] == 0.1 and changed.key(inputs) != plain.key(inputs)
    assert changed.changed(dropout=0.2).key(inputs) != changed.key(inputs)


def test_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.parser_of("teach")
    lab = laboratory_of(parser.parse_args(["--dropout", "0.2", "--store", str(tmp_path)]))
    assert lab.profile.training.dropout == 0.2
    assert laboratory_of(parser.parse_args(["--store", str(tmp_path)])).profile.training.dropout is None
    assert cli.main(["teach", "--dropout", "1", "--store", str(tmp_path)]) == 2
    assert "dropout is 1.0; it must lie in [0, 1)." in capsys.readouterr().err
    help_of = {action.dest: action.help or "" for action in parser._actions}
    assert help_of["dropout"].endswith("(default: the base's own)")


# ---------------------------------------------------------------- the warning


def recipe_of(base: Path, **changes: Any) -> Recipe:
    small = {"steps": 2, "batch_size": 8, "evaluate_every": 1, "precision": "float32"}
    lesson = DistillationSettings(distil_only=changes.pop("distil_only")) if "distil_only" in changes else None
    return Recipe(TrainingSettings(base=str(base), **(small | changes)), lesson)  # type: ignore[arg-type]


def warned(store: Store, recipe: Recipe, corpus: Corpus, dev: SentencePairs) -> list[str]:
    teachers = None
    if recipe.is_student:
        teachers = TeacherEnsemble({"t": embed_corpus(store, recipe.training.base, corpus, None, device="cpu")})
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        train(store, recipe, corpus, dev, teachers, label=None, device="cpu")
    return [str(item.message) for item in found if issubclass(item.category, KitWarning)]


@pytest.fixture(scope="module")
def without_dropout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of("modernbert", tmp_path_factory.mktemp("without") / "base")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "base has no dropout"),
        ({"fast": False}, "base has no dropout"),
        ({"dropout": 0.0}, "dropout is 0.0"),
        ({"distil_only": False}, "base has no dropout"),
        ({"distil_only": True}, None),
        ({"dropout": 0.1}, None),
    ],
)
def test_two_views_that_are_one_are_told_of_once(
    changes: dict[str, Any], reason: str | None, without_dropout: Path, corpus: Corpus, dev: SentencePairs, store: Store
) -> None:
    found = warned(store, recipe_of(without_dropout, **changes), corpus, dev)
    assert len(found) == (reason is not None)
    if reason:
        assert reason in found[0] and "dropout=0.1" in found[0] and "--dropout 0.1" in found[0]


@pytest.mark.parametrize("fast", [True, False])
def test_a_base_with_dropout_is_not_warned_of(
    fast: bool, tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store
) -> None:
    assert warned(store, recipe_of(tiny, fast=fast), corpus, dev) == []
    assert len(warned(store, recipe_of(tiny, fast=fast, dropout=0.0), corpus, dev)) == 1


def test_the_trained_folder_says_what_training_used(
    without_dropout: Path, tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store
) -> None:
    run = train(store, recipe_of(without_dropout, dropout=0.2), corpus, dev, label=None)
    config = json.loads((run.folder / "config.json").read_text())
    assert {name: config[name] for name in FAMILIES["modernbert"][1]} == dict.fromkeys(FAMILIES["modernbert"][1], 0.2)
    assert run.about["training"]["dropout"] == 0.2
    again = train(store, recipe_of(run.folder, dropout=None), corpus, dev, label=None)
    assert json.loads((again.folder / "config.json").read_text())["mlp_dropout"] == 0.2
    config = json.loads((train(store, recipe_of(tiny), corpus, dev, label=None).folder / "config.json").read_text())
    assert config["hidden_dropout_prob"] == 0.1
