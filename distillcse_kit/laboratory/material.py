"""What a laboratory works with: a profile, training sentences, pairs to score on, and the base encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from distillcse_kit.config import Profile, profile_named, with_base, with_changes
from distillcse_kit.data.corpus import load_corpus
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.sts import available_tasks, load_sts
from distillcse_kit.encoder.devices import chosen_device
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.evaluation.scoring import PAPER_TASKS, first_pairs
from distillcse_kit.store import Store
from distillcse_kit.training.training_text import Corpus

if TYPE_CHECKING:
    from datasets import Dataset


class Material:
    """A profile and the data it is used on; each part is read when it is first asked for.

    Args:
        profile, data_dir, corpus, base, store, device: as for ``Laboratory``.

    Attributes:
        profile, store: as given.
        device: where everything is computed.
        real: whether the pairs are real STS sets rather than the built-in ones.
    """

    def __init__(
        self,
        profile: str | Profile = "laptop",
        data_dir: str | Path | None = None,
        corpus: str | Path | Dataset | Iterable[str] | None = None,
        base: str | None = None,
        store: str | Path | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        self.profile = profile_named(profile) if isinstance(profile, str) else profile
        if base:
            self.profile = with_changes(self.profile, training=with_base(self.profile.training, base))
        self.data_dir = Path(data_dir) if data_dir else None
        # "" means none, but an empty Dataset is a mistake that must show.
        self.corpus_source = None if isinstance(corpus, str) and not corpus else corpus
        self.store = Store(store)
        self.device = chosen_device(device)
        self.real = self.data_dir is not None or self.profile.name == "paper"

    @cached_property
    def corpus(self) -> Corpus:
        """The training sentences, as many as the profile takes."""
        source = self.corpus_source
        if source is None and self.data_dir is not None:
            source = self.data_dir
        if source is None:
            source = "sentence-transformers/wiki1m-for-simcse" if self.profile.name == "paper" else "builtin"
        return Corpus.of(load_corpus(source, limit=self.profile.sentences, store=self.store))

    @cached_property
    def dev(self) -> SentencePairs:
        """The pairs that choose checkpoints: STS-B dev on real data, else the built-in dev pairs."""
        task = "stsb" if self.real else "builtin"
        return first_pairs(load_sts(task, self.data_dir, "dev"), self.profile.dev_pairs)

    @cached_property
    def tests(self) -> dict[str, SentencePairs]:
        """The test pairs by task: those of the paper's seven sets that were found, or the built-in ones.

        The kit pairs, written by hand, are always among them.
        """
        if not self.real:
            tasks: Sequence[str] = ["builtin", "kit"]
        elif self.data_dir is not None:
            tasks = [*available_tasks(self.data_dir), "kit"]
        else:
            tasks = [*PAPER_TASKS, "kit"]
        return {task: first_pairs(load_sts(task, self.data_dir), self.profile.test_pairs) for task in tasks}

    @property
    def headline(self) -> str:
        """The test set that the figures show: STS-B test on real data, else the built-in test pairs."""
        return "stsb" if "stsb" in self.tests else next(iter(self.tests))

    @cached_property
    def base(self) -> SentenceEncoder:
        """The encoder that every training starts from, untrained."""
        training = self.profile.training
        return SentenceEncoder.load(training.base, training.pooling, device=self.device, dropout=training.dropout)

    def read_all(self) -> None:
        """Read corpus, pairs and base now, so that a mistake in any of them shows before hours of training.

        Raises:
            KitError: one of them is missing or damaged.
        """
        self.describe()
        _ = self.base

    def describe(self) -> dict[str, Any]:
        """The settings that every figure and table of this laboratory can be traced to."""
        return {
            "profile": self.profile.name,
            "base": self.profile.training.base,
            "corpus": {"sentences": len(self.corpus), "fingerprint": self.corpus.identity},
            "dev": self.dev.name,
            "tests": {task: len(pairs) for task, pairs in self.tests.items()},
            "teachers": self.profile.teachers,
            "seeds": self.profile.seeds,
            "steps": self.profile.training.steps,
            "learning_rate": self.profile.training.learning_rate,
        }
