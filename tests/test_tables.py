"""Tables 5, 8, 9 and Figure 2: the numbers agree with another computation, on the sentences they name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import spearmanr
from transformers import AutoTokenizer, BertForMaskedLM

from distillcse_kit.config import Profile, TrainingSettings, with_changes
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.encoder.ensemble_encoder import EnsembleEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import score_pairs
from distillcse_kit.experiments.figure_2 import WatchedTrainer, figure_2, watched_history
from distillcse_kit.experiments.tables import RAW, table_5, table_8, table_9
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.store import Store
from distillcse_kit.training.loop import rows_read
from distillcse_kit.training.training_text import Corpus


@pytest.fixture(scope="module")
def lively(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT, attending so strongly that its sentences are not all alike."""
    model = BertForMaskedLM.from_pretrained(tiny)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "value.weight" in name or "attention.output.dense.weight" in name:
                weight *= 20
    folder = tmp_path_factory.mktemp("models") / "lively"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    return folder


@pytest.fixture
def lab(lively: Path, corpus: Corpus, dev: SentencePairs, store: Store) -> Laboratory:
    training = TrainingSettings(
        base=str(lively), steps=3, batch_size=16, evaluate_every=1, learning_rate=1e-3, precision="float32"
    )
    made = Laboratory(Profile("smoke", training, teachers=2, seeds=2), store=store.root)
    made.__dict__.update(corpus=corpus, dev=dev, tests={"builtin": replace(dev, name="builtin")})
    return made


def test_the_raw_ensemble_is_the_teachers_put_side_by_side(lab: Laboratory) -> None:
    table = table_5(lab)
    side_by_side = EnsembleEncoder([teacher.encoder() for teacher in lab.teachers()])
    assert table[RAW]["dev"] == [pytest.approx(score_pairs(side_by_side, lab.dev))]
    assert table["single teachers"] == lab.scores(lab.teachers())
    assert table["vanilla distillation"]["builtin"] == [lab.score(run) for run in lab.students("vanilla")]


def test_agreement_is_between_the_cosines_of_the_dev_pairs(lab: Laboratory) -> None:
    def cosines(run: object) -> np.ndarray:
        first, second = (
            run.encoder().encode(side).astype(np.float64)  # type: ignore[attr-defined]
            for side in (lab.dev.first, lab.dev.second)
        )
        first, second = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (first, second))
        return (first * second).sum(1)

    students, teachers = lab.students("group_p"), lab.teachers()
    found = table_8(lab)["shuffled"]

    def rho(one: object, other: object) -> float:
        return 100 * spearmanr(one, other).statistic

    ours, theirs = ([cosines(run) for run in runs[:2]] for runs in (students, teachers))
    assert found["gold"] == pytest.approx([rho(one, lab.dev.score) for one in ours])
    assert found["own teacher"] == pytest.approx([rho(one, other) for one, other in zip(ours, theirs, strict=True)])
    # Two students have one pair, in which each is the other one.
    assert found["other teachers"] == [pytest.approx((rho(ours[0], theirs[1]) + rho(ours[1], theirs[0])) / 2)]
    assert found["other students"] == [pytest.approx(rho(*ours))]


def test_stored_and_fresh_cosines_read_the_same_tokens(lab: Laboratory) -> None:
    """Notebook 05 compares them: long sentences are cut for both, and then only float16 separates them."""
    long = [f"{sentence} {lab.corpus.sentences[-1 - row]} " * 4 for row, sentence in enumerate(lab.corpus.sentences)]
    lab.__dict__["corpus"] = Corpus(long, "long-sentences")
    longest = lab.profile.training.max_tokens
    teacher = lab.teacher(0)
    assert min(map(len, teacher.encoder().tokenize(long))) > longest
    rows = np.arange(16)
    stored = lab.ensemble([teacher]).cosines(rows)
    [fresh] = lab.batch_cosines(teacher, long[:16], 16)
    assert (stored - fresh).abs().max() < 1e-3
    whole = torch.from_numpy(teacher.encoder().encode(long[:16], normalize_embeddings=True))
    assert (stored - whole @ whole.T).abs().max() > 1e-2, "without the cut they are others"


def test_rows_read_are_those_that_the_trainer_asks_for(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = TokenizedText.rows

    def spied(self: TokenizedText, rows: np.ndarray, longest: int | None = None) -> list[np.ndarray]:
        asked.extend(int(row) for row in rows)
        return plain(self, rows, longest)

    monkeypatch.setattr(TokenizedText, "rows", spied)
    lab.teacher(1)
    batches = asked[-48:]  # before them, a few sentences are read to see whether dropout makes two views differ
    assert batches == rows_read(100, lab.profile.training, 1).tolist()
    assert len(set(batches)) == 48


def test_table_9_takes_sentences_that_were_read_and_others(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.students("vanilla"), lab.students("group_p"), lab.students("distillcse")
    asked: list[tuple[str, tuple[str, ...]]] = []
    plain = Laboratory.batch_cosines

    def spied(self: Laboratory, what: object, sentences: list[str], batch_size: int) -> torch.Tensor:
        asked.append((what.key, tuple(sentences)))  # type: ignore[attr-defined]
        return plain(self, what, sentences, batch_size)  # type: ignore[arg-type]

    monkeypatch.setattr(Laboratory, "batch_cosines", spied)
    table = table_9(lab, batches=2)
    student = lab.students("vanilla")[1]
    read, unread, dev = [set(sentences) for key, sentences in asked if key == student.key]
    trained = {lab.corpus.sentences[row] for row in rows_read(100, lab.profile.training, 1)}
    assert read <= trained and not unread & trained and len(read) == len(unread) == 32
    assert dev <= set(lab.dev.first) | set(lab.dev.second)
    assert {len(values) for row in table.values() for values in row.values()} == {2}


def test_table_9_is_the_loss_by_its_definition(lab: Laboratory) -> None:
    table = table_9(lab, batches=2)
    student, teacher = lab.students("vanilla")[0], lab.teacher(0)
    read = np.unique(rows_read(100, lab.profile.training, 0))
    chosen = np.random.default_rng(0).permutation(read)[:32]
    entropy, cross = [], []
    for rows in (chosen[:16], chosen[16:]):
        sentences = [lab.corpus.sentences[row] for row in rows]
        s, t = (run.encoder().encode(sentences, normalize_embeddings=True) for run in (student, teacher))
        for i in range(16):
            others = [j for j in range(16) if j != i]
            q, log_p = softmax(t[i] @ t[others].T / 0.01), log_softmax(s[i] @ s[others].T / 0.02)
            cross.append(-(q * log_p).sum())
            entropy.append(-(q * np.log(q.clip(1e-30))).sum())
    row = table["vanilla distillation"]
    assert row["read, cross-entropy"][0] == pytest.approx(np.mean(cross), rel=1e-3)
    assert row["read, shuffled cross-entropy"][0] == row["read, cross-entropy"][0]
    assert row["read, KL"][0] == pytest.approx(np.mean(cross) - np.mean(entropy), rel=2e-3)
    assert table["+ Group-P"]["read, shuffled cross-entropy"] != table["+ Group-P"]["read, cross-entropy"]


def test_a_run_that_reads_everything_has_no_unread_sentences(lab: Laboratory) -> None:
    lab.profile = with_changes(lab.profile, training=with_changes(lab.profile.training, steps=7))
    assert not any("unread" in column for column in table_9(lab, batches=1)["vanilla distillation"])
    with pytest.raises(KitError, match="give more sentences"):
        figure_2(lab)


def test_watching_does_not_change_what_is_watched(lab: Laboratory) -> None:
    watched = watched_history(lab, "group_p", 1)
    plain = lab.student([lab.teacher(1)], 1, shuffle="group_p").history
    assert [row["step"] for row in watched] == [1, 2, 3]
    for seen, unseen in zip(watched, plain, strict=True):
        assert {name: seen[name] for name in unseen} == unseen


def test_the_watched_losses_are_those_of_the_present_weights(lab: Laboratory) -> None:
    recipe = lab.recipe("vanilla", evaluate_every=3)
    ensemble = lab.ensemble([lab.teacher(0)])
    trainer = WatchedTrainer(lab.store, recipe, lab.corpus, lab.dev, ensemble, lab.store.root / "none")
    trainer.watch()
    trainer.fit(None)  # one row of history, so that the best weights are the last
    (row,) = trainer.history
    unread = np.setdiff1d(np.arange(100), rows_read(100, recipe.training, 0))
    chosen = np.random.default_rng(0).permutation(unread)[:48]
    losses = []
    for rows in chosen.reshape(3, 16):
        sentences = [lab.corpus.sentences[index] for index in rows]
        with torch.no_grad():
            vectors = trainer.trainee.head(torch.from_numpy(trainer.trainee.encoder.encode(sentences))).double()
        unit = torch.nn.functional.normalize(vectors, dim=-1).numpy()
        teacher = ensemble.cosines(rows).double().numpy()
        for i in range(16):
            others = [j for j in range(16) if j != i]
            q, log_p = softmax(teacher[i, others] / 0.01), log_softmax(unit[i] @ unit[others].T / 0.02)
            losses.append(-(q * log_p).sum())
    assert row["unread, cross_entropy"] == pytest.approx(np.mean(losses), rel=1e-3)


def test_figure_2_has_one_value_per_seed_at_each_step_and_is_computed_once(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = figure_2(lab)
    assert set(table) == {
        f"{who}: {what}"
        for who in ("not shuffled", "Group-P")
        for what in (
            "dev",
            *(f"{where}, {kind}" for where in ("read", "unread") for kind in ("cross-entropy", "shuffled", "kl")),
        )
    }
    assert all(list(row) == ["1", "2", "3"] and {len(v) for v in row.values()} == {2} for row in table.values())
    assert table["not shuffled: dev"]["2"][1] == watched_history(lab, "vanilla", 1)[1]["dev"]
    monkeypatch.setattr(WatchedTrainer, "fit", None)
    assert figure_2(lab) == table
