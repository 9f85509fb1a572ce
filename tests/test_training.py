"""The training loop: what a step computes, what a run keeps, and that a stopped run resumes unharmed."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from packaging.version import Version
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy import stats

from distillcse_kit.config import DistillationSettings, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.loading import load_masked_lm
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation import score_pairs
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.method.shuffling import group_mean
from distillcse_kit.store import Store
from distillcse_kit.training import loop as module
from distillcse_kit.training.loop import DevEncoder, Progress, Trainer, batch_rows
from distillcse_kit.training.objective import Draws, Trainee, batch_losses
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.run import Run, train
from distillcse_kit.training.teacher_embeddings import embed_corpus
from distillcse_kit.training.training_text import Corpus


def small(base: Path, seed: int = 0, **changes: Any) -> Recipe:
    settings = {"steps": 6, "batch_size": 8, "evaluate_every": 2, "precision": "float32", "learning_rate": 1e-3}
    return Recipe(TrainingSettings(base=str(base), **(settings | changes)), seed=seed)  # type: ignore[arg-type]


class Lesson(NamedTuple):
    """What a student learns, and from whom."""

    settings: DistillationSettings
    teachers: TeacherEnsemble


def lesson_of(store: Store, teacher: Path, corpus: Corpus, **settings: Any) -> Lesson:
    embeddings = embed_corpus(store, str(teacher), corpus, None)
    return Lesson(DistillationSettings(**settings), TeacherEnsemble({"teacher": embeddings}))


def taught(recipe: Recipe, lesson: Lesson | None) -> Recipe:
    return recipe if lesson is None else replace(recipe, distillation=lesson.settings)


def trained(
    store: Store, recipe: Recipe, corpus: Corpus, dev: SentencePairs, lesson: Lesson | None = None, **options: Any
) -> Run:
    teachers = None if lesson is None else lesson.teachers
    return train(store, taught(recipe, lesson), corpus, dev, teachers, **{"label": None, **options})


def losses_of(trainee: Trainee, batch: Any, rows: list[int], recipe: Recipe, lesson: Lesson | None) -> Any:
    teachers = None if lesson is None else lesson.teachers
    return batch_losses(trainee, batch, np.array(rows), taught(recipe, lesson), teachers, Draws.of(0))


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model.safetensors")


def same(first: Run, second: Run) -> bool:
    one, other = weights_of(first), weights_of(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------- batches


def test_an_epoch_has_every_row_once_and_its_last_batch_is_what_is_left(tiny: Path) -> None:
    batches = list(batch_rows(21, small(tiny, steps=7).training, 0))
    assert [len(batch) for batch in batches] == [8, 8, 5, 8, 8, 5, 8]
    first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:6])
    assert sorted(first) == sorted(second) == list(range(21)) and first.tolist() != second.tolist()


def test_the_order_is_decided_by_the_seed(tiny: Path) -> None:
    orders = [np.concatenate(list(batch_rows(50, small(tiny).training, seed))).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


# ---------------------------------------------------------------- losses of a batch


def rows_and_batch(trainee: Trainee, corpus: Corpus, rows: list[int]) -> dict[str, torch.Tensor]:
    return trainee.encoder.pad(trainee.encoder.tokenize([corpus.sentences[row] for row in rows]))


def brute_losses(
    vectors: np.ndarray, targets: np.ndarray, temperature: float, wanted: DistillationSettings
) -> tuple[float, float]:
    """Eq 1 and 2 with loops; without dropout both views are the same vectors."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines, n = unit @ unit.T, len(unit)
    contrast = distil = 0.0
    for i in range(n):
        contrast -= math.log(math.exp(cosines[i, i] / temperature) / sum(np.exp(cosines[i] / temperature))) / n
        others = [j for j in range(n) if j != i]
        q = np.exp((targets[i, others] - targets[i, others].max()) / wanted.teacher_temperature)
        p = np.exp(cosines[i, others] / wanted.student_temperature)
        distil -= float((q / q.sum() * np.log(p / p.sum())).sum()) / n
    return contrast, distil


@pytest.mark.parametrize("shuffle", ["none", "group_mean"])
@pytest.mark.parametrize("distil_only", [False, True])
def test_the_joint_loss_is_eq_3(
    tiny: Path, other_vocabulary: Path, corpus: Corpus, store: Store, shuffle: Any, distil_only: bool
) -> None:
    """A teacher of another width and vocabulary; evaluation mode, so that both views agree."""
    wanted = {"shuffle": shuffle, "weight": 0.7, "student_temperature": 0.1, "teacher_temperature": 0.05}
    lesson = lesson_of(store, other_vocabulary, corpus, distil_only=distil_only, **wanted)
    settings, rows = small(tiny), [3, 17, 40, 5, 99]
    trainee = Trainee(settings.training).eval()
    batch = rows_and_batch(trainee, corpus, rows)
    parts = losses_of(trainee, batch, rows, settings, lesson)
    with torch.no_grad():
        vectors = trainee(batch).double().numpy()
    teacher = SentenceEncoder.load(other_vocabulary).encode([corpus.sentences[row] for row in rows])
    unit = teacher / np.linalg.norm(teacher, axis=1, keepdims=True)
    targets = unit @ unit.T
    if shuffle == "group_mean":
        targets = group_mean(torch.from_numpy(targets), 0.1, 1.0, 0.05).numpy()
    contrast, distil = brute_losses(vectors, targets, settings.training.temperature, lesson.settings)
    assert parts["distillation"].item() == pytest.approx(distil, abs=0.02)  # the teacher is stored in float16
    assert ("contrastive" in parts) is not distil_only
    if not distil_only:
        assert parts["contrastive"].item() == pytest.approx(contrast, rel=1e-4)
    total = (0 if distil_only else parts["contrastive"].item()) + 0.7 * parts["distillation"].item()
    assert parts["loss"].item() == pytest.approx(total, rel=1e-5)


def test_two_views_differ_by_dropout_in_training_only(tiny: Path, corpus: Corpus) -> None:
    trainee = Trainee(small(tiny).training)
    batch = rows_and_batch(trainee, corpus, [0, 1])
    assert torch.equal(trainee.eval()(batch), trainee(batch))
    assert not torch.equal(trainee.train()(batch), trainee(batch))


def test_the_head_works_in_training_and_is_not_in_the_embedding(tiny: Path, corpus: Corpus) -> None:
    trainee = Trainee(small(tiny).training).eval()
    batch = rows_and_batch(trainee, corpus, [0, 1])
    linear = trainee.head[0]
    expected = torch.tanh(trainee.encoder(batch) @ linear.weight.T + linear.bias)
    torch.testing.assert_close(trainee(batch), expected)
    without = Trainee(small(tiny, head=False).training).eval()
    torch.testing.assert_close(without(batch), without.encoder(batch))


def test_the_masked_lm_loss_trains_the_same_encoder(tiny: Path, corpus: Corpus) -> None:
    settings = small(tiny, mlm_weight=0.1, mlm_share=0.5)
    trainee = Trainee(settings.training)
    parts = losses_of(trainee, rows_and_batch(trainee, corpus, [0, 1, 2]), [0, 1, 2], settings, None)
    assert parts["loss"].item() == pytest.approx((parts["contrastive"] + 0.1 * parts["masked_lm"]).item(), rel=1e-6)
    parts["masked_lm"].backward()
    assert trainee.encoder.model.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_the_masked_lm_loss_is_that_of_transformers_on_the_same_disguise(tiny: Path, corpus: Corpus) -> None:
    """What the encoder reads is caught on its way in; transformers' own head and loss then score those inputs."""
    trainee = Trainee(small(tiny, mlm_weight=0.1, mlm_share=0.5).training).eval()
    batch = rows_and_batch(trainee, corpus, list(range(20)))
    read: list[torch.Tensor] = []
    trainee._words = lambda given, words=trainee._words: read.append(given["input_ids"]) or words(given)  # type: ignore[method-assign, misc]
    share, seed = 0.5, torch.Generator().manual_seed(3)
    found = trainee.masked_lm_loss(batch, share, seed)
    ids, [inputs] = batch["input_ids"], read
    draw = torch.rand(ids.shape, generator=torch.Generator().manual_seed(3))
    special = torch.isin(ids, torch.tensor(trainee.encoder.tokenizer.all_special_ids))
    hidden = (draw < share) & ~special
    assert torch.equal(inputs[~hidden], ids[~hidden]), "only hidden words may be disguised"
    assert not set(inputs[hidden].tolist()) & {*trainee.encoder.tokenizer.all_special_ids} - {
        trainee.encoder.tokenizer.mask_token_id
    }
    unchanged, masked = inputs == ids, inputs == trainee.encoder.tokenizer.mask_token_id
    for kind, mean in ((hidden & masked, 0.8), (hidden & unchanged, 0.1), (hidden & ~masked & ~unchanged, 0.1)):
        assert stats.binomtest(int(kind.sum()), int(hidden.sum()), mean).pvalue > 1e-4 and kind.any()
    labels = ids.where(hidden, -100)
    plain = load_masked_lm(tiny).eval()
    with torch.no_grad():
        expected = plain(input_ids=inputs, attention_mask=batch["attention_mask"], labels=labels).loss
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("rows", [[4], [4, 9]])
def test_a_last_batch_of_one_or_two_is_finite(tiny: Path, corpus: Corpus, store: Store, rows: list[int]) -> None:
    settings = small(tiny)
    lesson = lesson_of(store, tiny, corpus, shuffle="group_p")
    trainee = Trainee(settings.training)
    batch = rows_and_batch(trainee, corpus, rows)
    parts = losses_of(trainee, batch, rows, settings, lesson)
    parts["loss"].backward()
    assert all(math.isfinite(value.item()) for value in parts.values())
    assert all(torch.isfinite(p.grad).all() for p in trainee.parameters() if p.grad is not None)


# ---------------------------------------------------------------- a run


def test_a_run_keeps_the_best_checkpoint_and_what_made_it(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store
) -> None:
    run = trained(store, small(tiny), corpus, dev)
    assert [row["step"] for row in run.history] == [2, 4, 6]
    best = max(row["dev"] for row in run.history)
    assert run.scores["dev"] == best
    assert score_pairs(run.encoder(), dev) == pytest.approx(best, abs=1e-3)
    assert run.about["training"]["learning_rate"] == 1e-3
    # Of PyPI's torch, torch.__version__ names the CUDA that it was built for, and its metadata does not.
    assert Version(run.about["versions"]["torch"]).public == Version(torch.__version__).public
    assert run.about["corpus"] == {"fingerprint": "test-corpus", "sentences": 100}
    assert not [file for file in run.folder.rglob("*") if file.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt")]
    assert (run.folder / "model.safetensors").is_file()


def test_a_run_is_made_once_and_another_seed_is_another_run(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = (trained(store, small(tiny, seed=seed), corpus, dev) for seed in (0, 1))
    assert first.folder != other.folder and not same(first, other)
    monkeypatch.setattr(module, "Trainer", None)
    assert trained(store, small(tiny), corpus, dev).folder == first.folder


def test_the_same_seed_gives_the_same_weights(tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path) -> None:
    runs = [trained(Store(tmp_path / name), small(tiny), corpus, dev) for name in "ab"]
    assert same(*runs) and runs[0].history == runs[1].history


def test_the_learning_rate_decays_linearly_to_zero(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def spy(self: torch.optim.AdamW, *args: Any, **kwargs: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    trained(store, small(tiny, steps=4), corpus, dev)
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])


def test_a_saved_student_gives_the_same_embeddings_in_sentence_transformers(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store
) -> None:
    models = pytest.importorskip("sentence_transformers")
    run = trained(store, small(tiny), corpus, dev, lesson_of(store, tiny, corpus, shuffle="group_p"))
    texts = [*corpus.sentences[:9], "word " * 80]
    theirs = models.SentenceTransformer(str(run.folder), device="cpu").encode(texts)
    np.testing.assert_allclose(run.encoder().encode(texts), theirs, atol=1e-5)


# ---------------------------------------------------------------- stopping and going on


class Stopped(Exception):
    """Stands for a power cut."""


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Save at every dev score, and stop when the step has been saved."""
    save = Trainer._save

    def save_and_stop(self: Trainer, at: int) -> None:
        save(self, at)
        if at == step:
            raise Stopped

    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(Trainer, "_save", save_and_stop)


@pytest.mark.parametrize("student", [False, True])
def test_a_resumed_run_ends_like_one_that_was_never_stopped(
    tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student: bool
) -> None:
    whole, cut = Store(tmp_path / "whole"), Store(tmp_path / "cut")
    lessons = [lesson_of(store, tiny, corpus, shuffle="group_p") if student else None for store in (whole, cut)]
    settings = small(tiny, mlm_weight=0.1)
    expected = trained(whole, settings, corpus, dev, lessons[0])
    with monkeypatch.context() as patched:
        stop_after(patched, 4)
        with pytest.raises(Stopped):
            trained(cut, settings, corpus, dev, lessons[1])
    assert not list((cut.root / "runs").glob("*/run.json")), "a stopped run must not look finished"
    steps: list[int] = []
    step = Trainer._step
    monkeypatch.setattr(Trainer, "_step", lambda self, at, rows: steps.append(at) or step(self, at, rows))
    found = trained(cut, settings, corpus, dev, lessons[1])
    assert steps == [5, 6]
    assert found.folder.name == expected.folder.name
    assert same(found, expected) and found.history == expected.history
    assert not list((cut.root / "runs").glob("*.checkpoint"))


@pytest.mark.parametrize("wanted", [{}, {"mlm_weight": 0.1}, {"distil_only": True}])
@pytest.mark.parametrize("student", [False, True])
def test_random_draws_elsewhere_change_no_run(
    tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path, student: bool, wanted: dict[str, Any]
) -> None:
    """A reader's cell that draws or reseeds while a run trains in the background."""
    alone, disturbed = Store(tmp_path / "alone"), Store(tmp_path / "disturbed")
    of_student = {"shuffle": "group_p"} | {name: wanted[name] for name in wanted if name == "distil_only"}
    lessons = [lesson_of(store, tiny, corpus, **of_student) if student else None for store in (alone, disturbed)]
    recipe = small(tiny, **{name: value for name, value in wanted.items() if name == "mlm_weight"})
    expected = trained(alone, recipe, corpus, dev, lessons[0])

    def cell(progress: Progress) -> None:
        torch.manual_seed(progress.step)
        torch.rand(7)

    found = trained(disturbed, recipe, corpus, dev, lessons[1], on_step=cell)
    assert same(found, expected) and found.history == expected.history


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("mlm_weight", [0.0, 0.1])
def test_training_leaves_torchs_random_state_as_it_was(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, fast: bool, mlm_weight: float
) -> None:
    torch.manual_seed(5)
    torch.rand(3)
    before, expected = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    trained(store, small(tiny, fast=fast, mlm_weight=mlm_weight), corpus, dev)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], expected)  # type: ignore[index]


def test_the_plain_way_is_that_of_transformers_and_has_its_own_key(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store
) -> None:
    trainer = Trainer(store, small(tiny, fast=False), corpus, dev, None, store.root / "none")
    assert not trainer.own_dropout and not trainer.trainee.encoder.fast
    fast, plain = (trained(store, small(tiny, fast=value), corpus, dev) for value in (True, False))
    assert fast.key != plain.key and "fast" not in fast.about["training"]


def test_a_run_is_not_resumed_with_other_settings(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_after(patched, 4)
        with pytest.raises(Stopped):
            trained(store, small(tiny), corpus, dev)
    steps: list[int] = []
    step = Trainer._step
    monkeypatch.setattr(Trainer, "_step", lambda self, at, rows: steps.append(at) or step(self, at, rows))
    trained(store, small(tiny, temperature=0.06), corpus, dev)
    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "older"])
def test_a_damaged_checkpoint_starts_again(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    with monkeypatch.context() as patched:
        stop_after(patched, 2)
        with pytest.raises(Stopped):
            trained(store, small(tiny), corpus, dev)
    (checkpoint,) = (store.root / "runs").glob("*.checkpoint")
    content = checkpoint.read_bytes()
    if damage == "older":  # from a version that did not save generators
        with safe_open(checkpoint, framework="pt") as file:
            metadata = file.metadata()
        kept = {
            name: value.clone() for name, value in load_file(checkpoint).items() if not name.startswith("generators.")
        }
        save_file(kept, checkpoint, metadata)
    else:
        damaged = {"cut": content[: len(content) // 2], "empty": b"", "foreign": b"not safetensors"}
        checkpoint.write_bytes(damaged[damage])
    run = trained(store, small(tiny), corpus, dev)
    assert [row["step"] for row in run.history] == [2, 4, 6]


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(SentenceEncoder, "save_into", full)
        with pytest.raises(KitError, match=r"No space left on device.*free space and start again"):
            trained(store, small(tiny), corpus, dev)
    assert not [path for path in (store.root / "runs").iterdir() if path.is_dir()]
    assert trained(store, small(tiny), corpus, dev).scores


def test_a_killed_process_goes_on(tiny: Path, corpus: Corpus, dev: SentencePairs, tmp_path: Path) -> None:
    """SIGKILL, which nothing can catch, in the middle of a run with checkpoints."""
    task = tmp_path / "task.json"
    settings = {"base": str(tiny), "steps": 4000, "batch_size": 8, "evaluate_every": 2, "precision": "float32"}
    task.write_text(json.dumps([settings, corpus.sentences, dev.first, dev.second, dev.score]))
    code = f"""
import json
from distillcse_kit.training import loop
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.run import train
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.config import TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.store import Store
loop.CHECKPOINT_SECONDS = -1.0
settings, sentences, first, second, score = json.load(open({str(task)!r}))
train(Store({str(tmp_path / "store")!r}), Recipe(TrainingSettings(**settings)),
      Corpus(sentences, "test-corpus"), SentencePairs("dev", first, second, score), label=None)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    runs = tmp_path / "store" / "runs"
    deadline = time.monotonic() + 120
    while not list(runs.glob("*.checkpoint")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)  # polls for the file; no wait decides the result
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(runs.glob("*/run.json"))
    store = Store(tmp_path / "store")
    trainer = Trainer(
        store,
        Recipe(TrainingSettings(**settings)),
        corpus,
        dev,
        None,
        next(iter(runs.glob("*.checkpoint"))),  # type: ignore[arg-type]
    )
    assert trainer._resume() >= 2 and trainer.history[-1]["step"] >= 2


# ---------------------------------------------------------------- errors


def test_a_corpus_of_one_sentence(tiny: Path, dev: SentencePairs, store: Store) -> None:
    with pytest.raises(KitError, match="at least two sentences"):
        trained(store, small(tiny), Corpus(["one sentence"], "one"), dev)


def test_teachers_of_another_corpus(tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store) -> None:
    lesson = Lesson(DistillationSettings(), TeacherEnsemble({"t": np.ones((7, 4), np.float16)}))
    with pytest.raises(KitError, match="embedded 7 sentences, but the corpus has 100; embed this corpus"):
        trained(store, small(tiny), corpus, dev, lesson)


def test_a_loss_that_is_not_finite(tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store) -> None:
    with pytest.raises(KitError, match=r"loss is (nan|inf) at step \d+; lower the learning rate"):
        trained(store, small(tiny, learning_rate=1e30), corpus, dev)
    assert not list((store.root / "runs").glob("*/run.json"))


def test_a_folder_that_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(KitError, match=r"is not a run folder .*run\.json"):
        Run.load(tmp_path)


def test_the_dev_sentences_are_tokenised_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SentenceEncoder.load(tiny)
    text, other = ["two letters", "the cook finds an apple"], ["a pilot hides her bicycle"]
    expected = encoder.encode(text), encoder.encode(other)
    calls: list[list[str]] = []
    tokenize = SentenceEncoder.tokenize
    monkeypatch.setattr(
        SentenceEncoder, "tokenize", lambda self, sentences: calls.append(sentences) or tokenize(self, sentences)
    )
    view = DevEncoder(encoder, small(tiny).training)
    for _ in range(3):
        assert np.array_equal(view.encode(text), expected[0])
    assert calls == [text]
    assert np.array_equal(view.encode(other), expected[1]) and np.array_equal(view.encode(text), expected[0])
