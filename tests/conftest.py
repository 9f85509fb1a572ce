"""Small real models and data, made anew for each session; they need neither the network nor the shipped encoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from distillcse_kit.config import Profile, TrainingSettings
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.store import Store
from distillcse_kit.training.loop import Trainer
from distillcse_kit.training.training_text import Corpus
from distillcse_kit.training.word_pieces import learn_vocabulary, new_tokenizer

WHO = ["the cook", "a nurse", "the farmer", "my neighbour", "a pilot", "the teacher", "an old painter", "the judge"]
DOES = ["washes", "paints", "buys", "breaks", "finds", "hides", "repairs", "forgets"]
WHAT = ["a red bowl", "the small boat", "two letters", "the garden gate", "an apple", "her bicycle", "the piano"]
SENTENCES = [f"{who} {does} {what}" for who in WHO for does in DOES for what in WHAT]


def make_model_folder(
    path: Path, width: int = 32, layers: int = 2, sentences: list[str] = SENTENCES, seed: int = 0
) -> Path:
    """Save a BERT with random weights and a vocabulary learned from ``sentences``, as transformers saves it."""
    tokenizer = new_tokenizer(learn_vocabulary(sentences, 200), 64)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
    )
    BertForMaskedLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny BERT."""
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def other_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny BERT with another width, whose vocabulary gives the same words other ids."""
    reversed_words = [" ".join(reversed(sentence.split())) + " extra words here" for sentence in SENTENCES[::3]]
    return make_model_folder(tmp_path_factory.mktemp("models") / "other", 48, 1, reversed_words, seed=1)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return Corpus(SENTENCES[:100], "test-corpus")


@pytest.fixture(scope="session")
def dev() -> SentencePairs:
    first, second = SENTENCES[:40], SENTENCES[3:43]
    shared = [float(len(set(a.split()) & set(b.split()))) for a, b in zip(first, second, strict=True)]
    return SentencePairs("dev", first, second, shared)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def lab(tiny: Path, corpus: Corpus, dev: SentencePairs, store: Store) -> Laboratory:
    """Two teachers and two seeds of three steps, on the small corpus and the dev pairs."""
    training = TrainingSettings(base=str(tiny), steps=3, batch_size=16, evaluate_every=3, learning_rate=1e-3)
    made = Laboratory(Profile("smoke", training, teachers=2, seeds=2), store=store.root)
    made.__dict__.update(corpus=corpus, dev=dev, tests={"builtin": replace(dev, name="builtin")})
    return made


@contextmanager
def one_sentence(*parts: str) -> Iterator[None]:
    """The block raises one sentence that has all the parts in it."""
    with pytest.raises(KitError) as raised:
        yield
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real corpora and test sets; tests that need it are skipped where there is none."""
    folder = os.environ.get("DISTILLCSE_TEST_DATA")
    if not folder:
        pytest.skip("set DISTILLCSE_TEST_DATA to a folder with real data to run this")
    return Path(folder)


@contextmanager
def as_if_cores(count: int) -> Iterator[None]:
    """Inside the block, torch believes that it has ``count`` cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def power_cut(before: Callable[[], object] = lambda: None) -> Iterator[None]:
    """The training in the block saves a checkpoint at its first dev score, after ``before``, and then stops."""
    save = Trainer._save

    def save_and_stop(self: Trainer, at: int) -> None:
        before()
        save(self, at)
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("distillcse_kit.training.loop.CHECKPOINT_SECONDS", -1.0)
        patched.setattr(Trainer, "_save", save_and_stop)
        with pytest.raises(InterruptedError):
            yield


@pytest.fixture
def two_cores() -> Iterator[None]:
    """Two cores, so that inside ``sharing(2)`` each view has one."""
    with as_if_cores(2):
        yield
