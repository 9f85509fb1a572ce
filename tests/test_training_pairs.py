"""Training pairs and hard negatives: from every kind of source, in the loss, in the keys and on the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from conftest import SENTENCES, one_sentence, power_cut

from distillcse_kit.command import main as cli
from distillcse_kit.command.shared import laboratory_of
from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.corpus import corpus_fingerprint, load_corpus
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.fast.dropout import mask_stream, use_cheap_dropout
from distillcse_kit.fast.threads import sharing
from distillcse_kit.fast.views import views_of
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.method.losses import contrastive_loss, cosine_matrix, distillation_loss
from distillcse_kit.store import Store
from distillcse_kit.training.objective import Draws, Trainee, batch_losses
from distillcse_kit.training.recipe import Inputs, Recipe
from distillcse_kit.training.run import train
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.training.workplace import Workplace

NAMES = ("sent0", "sent1", "hard_neg")
COLUMNS = {"positive": "sent1", "hard_negative": "hard_neg"}
ROWS = [
    (SENTENCES[row], f"{SENTENCES[row]} again, and again", SENTENCES[row + 200].replace("the", "no"))
    for row in range(60)
]


def write(path: Path, rows: list[tuple[Any, ...]] = ROWS) -> Path:
    """The rows in a file of the kind that its name says."""
    records = [dict(zip(NAMES, row, strict=True)) for row in rows]
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([NAMES, *rows])
    elif path.suffix == ".tsv":
        path.write_text("\n".join("\t".join(row) for row in (NAMES, *rows)), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(records), encoding="utf-8")
    elif path.suffix == ".parquet":
        datasets.Dataset.from_list(records).to_parquet(path)
    else:
        datasets.Dataset.from_list(records).save_to_disk(path)
    return path


@pytest.fixture
def pairs() -> Corpus:
    """60 sentences, each with a positive and a hard negative."""
    parts = [Corpus([row[column] for row in ROWS], f"column {column}") for column in range(3)]
    return replace(parts[0], partners=(parts[1], parts[2]))


def recipe_of(tiny: Path, **changes: Any) -> Recipe:
    about = {"steps": 4, "batch_size": 8, "evaluate_every": 2, "learning_rate": 1e-3, "precision": "float32"}
    return Recipe(TrainingSettings(base=str(tiny), **{**about, **changes}))


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(
    "kind", [".csv", ".tsv", ".jsonl", ".json", ".parquet", "folder", "Dataset", "IterableDataset"]
)
def test_every_kind_of_source_gives_the_same_rows(kind: str, tmp_path: Path, store: Store) -> None:
    source: Any = tmp_path / f"pairs{kind if kind.startswith('.') else ''}"
    if kind.endswith("Dataset"):
        source = datasets.Dataset.from_list([dict(zip(NAMES, row, strict=True)) for row in ROWS])
        source = source.to_iterable_dataset() if kind == "IterableDataset" else source
    else:
        write(source)
    in_memory, mapped = (load_corpus(source, **COLUMNS, store=where) for where in (None, store))  # type: ignore[arg-type]
    for found in (in_memory, mapped):
        assert found.column_names == ["sentence", "positive", "hard_negative"]
        assert list(zip(*(found[name] for name in found.column_names), strict=True)) == ROWS
    two = load_corpus(source, positive="sent1")
    assert two.column_names == ["sentence", "positive"] and two["positive"] == [row[1] for row in ROWS]
    assert load_corpus(source).column_names == ["sentence"], "without a name, only sentences are read"
    assert load_corpus(source, 5, **COLUMNS)["hard_negative"] == [row[2] for row in ROWS[:5]]  # type: ignore[arg-type]


def test_a_missing_sentence_moves_no_other_to_its_neighbour(tmp_path: Path) -> None:
    """Rows without any sentence are left out whole; a row with some of its sentences is refused."""
    rows = [ROWS[0], (None, None, None), ("", " ", ""), ROWS[1], ROWS[2]]
    found = load_corpus(write(tmp_path / "a.jsonl", rows), **COLUMNS)  # type: ignore[arg-type]
    assert list(zip(*(found[name] for name in found.column_names), strict=True)) == ROWS[:3]
    for blank, part in enumerate(("sentence", "positive", "hard negative")):
        row = tuple(None if place == blank else text for place, text in enumerate(ROWS[1]))
        path = write(tmp_path / "b.jsonl", [ROWS[0], row, ROWS[2]])
        with one_sentence(str(path), "row 2", f"the {part} beside", "is blank", "remove the row"):
            load_corpus(path, **COLUMNS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"positive": "sent2"}, ["no column sent2", "sent0, sent1, hard_neg"]),
        ({"hard_negative": "hard_neg"}, ["hard_neg need positives", "--positive"]),
        ({"positive": "sent1", "hard_negative": "sent1"}, ["sent1 is named twice"]),
        ({"column": "sent1", "positive": "sent1"}, ["sent1 is named twice"]),
    ],
)
def test_columns_that_make_no_pairs(columns: dict[str, str], parts: list[str], tmp_path: Path) -> None:
    with one_sentence(*parts):
        load_corpus(write(tmp_path / "pairs.csv"), **columns)  # type: ignore[arg-type]


def test_sources_without_columns_have_no_pairs(tmp_path: Path) -> None:
    text, strings = tmp_path / "a.txt", tmp_path / "a.jsonl"
    text.write_text("\n".join(SENTENCES[:9]))
    strings.write_text("\n".join(map(json.dumps, SENTENCES[:9])))
    with one_sentence("a text file has no columns"):
        load_corpus(text, positive="sent1")
    with one_sentence("line 1", "a string has no key sent1"):
        load_corpus(strings, positive="sent1")
    for source in ("builtin", SENTENCES[:9]):
        with one_sentence("no column sent1"):
            load_corpus(source, positive="sent1")


def test_positives_that_are_the_sentences_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.csv", [(first, first, third) for first, _, third in ROWS])
    with pytest.raises(KitError, match="Two columns of the corpus hold the same sentences"):
        Corpus.of(load_corpus(path, positive="sent1"))


def test_pairs_and_a_plain_corpus_of_their_sentences_are_two_files(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path / "pairs.csv")
    found = load_corpus(path, positive="sent1", store=store)
    plain = load_corpus([*found["sentence"], *found["positive"]], store=store)
    assert len(list((store.root / "corpora").iterdir())) == 2
    assert (len(found), len(plain)) == (60, 120)


# ---------------------------------------------------------------- keys


def test_what_was_read_is_in_the_key(tmp_path: Path, tiny: Path, dev: SentencePairs) -> None:
    path = write(tmp_path / "pairs.csv")
    changed = write(tmp_path / "changed.csv", [(*row[:2], f"{row[2]} too") for row in ROWS])
    read = [
        load_corpus(path),
        load_corpus(path, positive="sent1"),
        load_corpus(path, **COLUMNS),  # type: ignore[arg-type]
        load_corpus(path, positive="hard_neg"),
        load_corpus(path, positive="hard_neg", hard_negative="sent1"),
        load_corpus(changed, **COLUMNS),  # type: ignore[arg-type]
    ]
    corpora = [Corpus.of(dataset) for dataset in read]
    keys = [recipe_of(tiny).key(Inputs.of(corpus, dev)) for corpus in corpora]
    assert len(set(keys)) == len(keys)
    assert corpora[0].identity == corpora[0].fingerprint == corpus_fingerprint(read[0]), "old keys stay"
    assert {corpus.fingerprint for corpus in corpora} == {corpora[0].fingerprint}, "teachers embed the sentences once"


# ---------------------------------------------------------------- training


def columns_of(trainee: Trainee, pairs: Corpus, rows: list[int]) -> list[dict[str, torch.Tensor]]:
    encoder = trainee.encoder
    texts = (pairs.sentences, *(partner.sentences for partner in pairs.partners))
    return [encoder.pad(encoder.tokenize([text[row] for row in rows])) for text in texts]


@pytest.mark.parametrize("partners", [1, 2])
@pytest.mark.parametrize("student", [False, True])
def test_the_loss_of_a_batch_of_pairs(tiny: Path, pairs: Corpus, store: Store, partners: int, student: bool) -> None:
    """Against embeddings that are computed one column after the other. Distillation compares the sentences alone."""
    recipe, rows = recipe_of(tiny), [3, 1, 8, 20, 2]
    trainee = Trainee(recipe.training).eval()
    batch, *others = columns_of(trainee, pairs, rows)
    teachers = None
    if student:
        recipe = replace(recipe, distillation=DistillationSettings(0.2, 0.1, weight=0.7))
        teachers = TeacherEnsemble({"teacher": embed_corpus(store, str(tiny), pairs, None)})
    parts = batch_losses(trainee, batch, np.array(rows), recipe, teachers, Draws.of(0), partners=others[:partners])
    views = [trainee(column) for column in (batch, *others)]
    expected = contrastive_loss(views[0], views[1], 0.05, views[2] if partners == 2 else None)
    assert parts["contrastive"].item() == pytest.approx(expected.item(), rel=1e-5)
    total = expected
    if student:
        assert teachers is not None
        cosines = cosine_matrix(views[0], views[0])
        distil = distillation_loss(cosines, teachers.cosines(np.array(rows)), 0.2, 0.1)
        assert parts["distillation"].item() == pytest.approx(distil.item(), rel=1e-4)
        total = total + 0.7 * distil
    assert parts["loss"].item() == pytest.approx(total.item(), rel=1e-4)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("shared", [True, False])
def test_views_of_several_batches_and_their_gradients(tiny: Path, pairs: Corpus, shared: bool) -> None:
    """Three ordinary passes with three streams of masks; widths of the batches differ."""
    encoder = SentenceEncoder.load(tiny).train()
    use_cheap_dropout(encoder.model)
    batches = [encoder.pad(encoder.tokenize(column)) for column in (SENTENCES[:5], ["a " * 30] * 5, SENTENCES[9:14])]
    torch.manual_seed(5)
    streams = torch.randint(2**63 - 1, (3,)).tolist()
    expected = []
    for batch, stream in zip(batches, streams, strict=True):
        with mask_stream(stream):
            expected.append(encoder(batch))
    weights = [weight for weight in encoder.parameters() if weight.requires_grad]

    def loss_of(views: Any) -> torch.Tensor:
        return sum(((place + 1) * view.pow(3)).sum() for place, view in enumerate(views)) + (views[0] * views[2]).sum()

    wanted = torch.autograd.grad(loss_of(expected), weights, allow_unused=True)
    torch.manual_seed(5)
    with sharing(3 if shared else 1):
        views = views_of(encoder, batches)
        found = torch.autograd.grad(loss_of(views), weights, allow_unused=True)
    for one, other in zip([*views, *found], [*expected, *wanted], strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_without_the_kits_own_dropout_each_batch_is_one_pass(tiny: Path) -> None:
    encoder = SentenceEncoder.load(tiny).eval()
    batches = [encoder.pad(encoder.tokenize(column)) for column in (SENTENCES[:3], ["a " * 20] * 3)]
    for found, batch in zip(views_of(encoder, batches), batches, strict=True):
        torch.testing.assert_close(found, encoder(batch))


@pytest.mark.parametrize("fast", [True, False])
def test_a_run_reads_each_row_with_its_own_partners(
    tiny: Path, pairs: Corpus, dev: SentencePairs, store: Store, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    read: list[list[list[str]]] = []
    plain = batch_losses

    def spied(trainee: Trainee, batch: Any, *others: Any) -> Any:
        decode = trainee.encoder.tokenizer.batch_decode
        read.append([decode(each["input_ids"], skip_special_tokens=True) for each in (batch, *others[-1])])
        return plain(trainee, batch, *others)

    monkeypatch.setattr("distillcse_kit.training.loop.batch_losses", spied)
    run = train(store, recipe_of(tiny, fast=fast), pairs, dev, label=None)
    assert len(read) == 4 and run.about["corpus"]["fingerprint"] == "column 0+column 1+column 2"

    def words(text: str) -> str:
        return text.replace(" ", "").replace(",", "")

    known = {tuple(map(words, row)) for row in ROWS}
    for sentences, positives, negatives in read:
        for row in zip(sentences, positives, negatives, strict=True):
            assert tuple(map(words, row)) in known


def test_partners_change_what_is_learned_and_an_interrupted_run_goes_on(
    tiny: Path, pairs: Corpus, dev: SentencePairs, tmp_path: Path
) -> None:
    histories = []
    for partners in ((), pairs.partners[:1], pairs.partners):
        whole = Store(tmp_path / f"whole{len(partners)}")
        histories.append(train(whole, recipe_of(tiny), replace(pairs, partners=partners), dev, label=None).history)
    assert len({row[-1]["contrastive"] for row in histories}) == 3
    cut = Store(tmp_path / "cut")
    with power_cut():
        train(cut, recipe_of(tiny), pairs, dev, label=None)
    assert train(cut, recipe_of(tiny), pairs, dev, label=None).history == histories[-1]


def test_teachers_and_students_of_pairs(tiny: Path, pairs: Corpus, dev: SentencePairs, store: Store) -> None:
    place = Workplace(store, pairs, dev, recipe_of(tiny).training)
    student = place.run(Recipe(recipe_of(tiny).training, DistillationSettings()), progress=False)
    assert set(student.history[0]) >= {"contrastive", "distillation"}
    alone = Workplace(store, replace(pairs, partners=()), dev, recipe_of(tiny).training)
    assert place.folder(recipe_of(tiny)) != alone.folder(recipe_of(tiny))
    assert place.is_done(recipe_of(tiny)) and not alone.is_done(recipe_of(tiny))


def test_identical_views_are_no_worry_where_positives_are_other_sentences(
    tiny: Path, pairs: Corpus, dev: SentencePairs, store: Store, recwarn: pytest.WarningsRecorder
) -> None:
    train(store, recipe_of(tiny, dropout=0.0), pairs, dev, label=None)
    assert not [warning for warning in recwarn if "views" in str(warning.message)]


# ---------------------------------------------------------------- the command


def test_teach_trains_on_named_columns(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "nli.csv")
    words = ["--corpus", path, "--positive", "sent1", "--hard-negative", "hard_neg", "--base", tiny]
    words += ["--store", tmp_path / "store", "--steps", 2, "--batch-size", 8, "--evaluate-every", 1]
    result = tmp_path / "result.json"
    assert cli.main(["teach", "--seeds", "0", *map(str, words), "--json", str(result)]) == 0
    settings = json.loads(result.read_text())["settings"]
    expected = Corpus.of(load_corpus(path, **COLUMNS))  # type: ignore[arg-type]
    assert settings["corpus"] == {"sentences": 60, "fingerprint": expected.identity}
    lab = laboratory_of(cli.parser_of("distill").parse_args(list(map(str, words))))
    assert [list(column.sentences) for column in (lab.corpus, *lab.corpus.partners)] == [
        [row[place] for row in ROWS] for place in range(3)
    ]
    capsys.readouterr()


@pytest.mark.parametrize("flag", ["--positive", "--hard-negative"])
def test_columns_need_a_corpus(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["teach", flag, "sent1"]) == 2
    assert f"{flag} names a column of a corpus; name the corpus as well, with --corpus." in capsys.readouterr().err
