"""A finished training run: its folder, its history and its scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillcse_kit.config import TrainingSettings, as_json
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.encoder.loading import source_fingerprint
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import pairs_fingerprint, score_pairs
from distillcse_kit.store import Store, read_json, write_json

if TYPE_CHECKING:
    pass

from distillcse_kit.training.corpus import Corpus
from distillcse_kit.training.objective import Distillation


@dataclass
class Run:
    """A finished training run, as its folder on disk holds it.

    The folder is a model folder (safetensors, tokenizer, pooling), beside ``run.json`` (settings, inputs, versions),
    ``history.json`` (a row per logged step) and ``scores.json`` (Spearman x 100 by set of pairs).
    """

    folder: Path
    about: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Open a run folder; KitError if it is not one."""
        if not (folder / "run.json").is_file():
            raise KitError(f"{folder} is not a run folder (it has no run.json); name a folder that training made.")
        return cls(folder, read_json(folder / "run.json"))

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def seed(self) -> int:
        return int(self.about["training"]["seed"])

    @property
    def history(self) -> list[dict[str, float]]:
        """Rows {"step", "loss", "contrastive", "distillation", "dev", ...}, one per dev score."""
        return read_json(self.folder / "history.json")

    @property
    def scores(self) -> dict[str, float]:
        """{name of the pairs: Spearman x 100} scored so far; "dev" is the best score of training."""
        return {name: entry["spearman"] for name, entry in read_json(self.folder / "scores.json").items()}

    def encoder(self) -> SentenceEncoder:
        """The trained encoder, without its training head."""
        return SentenceEncoder.load(self.folder)

    def known_score(self, pairs: SentencePairs) -> float | None:
        """Spearman x 100 on ``pairs`` if ``scores.json`` has it."""
        entry = read_json(self.folder / "scores.json").get(pairs.name, {})
        return entry["spearman"] if entry.get("fingerprint") == pairs_fingerprint(pairs) else None

    def score(self, pairs: SentencePairs) -> float:
        """Spearman x 100 on ``pairs``: read from ``scores.json``, or computed and written there."""
        score = self.known_score(pairs)
        if score is None:
            score = score_pairs(self.encoder(), pairs)
            path = self.folder / "scores.json"
            entry = {"spearman": score, "pairs": len(pairs), "fingerprint": pairs_fingerprint(pairs)}
            write_json(path, read_json(path) | {pairs.name: entry})
        return score


def run_content(
    settings: TrainingSettings, corpus: Corpus, dev: SentencePairs, distillation: Distillation | None
) -> dict[str, Any]:
    """Everything that decides a run's result; its hash names the run's folder."""
    content: dict[str, Any] = {
        "training": as_json(settings),
        "base": source_fingerprint(settings.base),
        "corpus": {"fingerprint": corpus.fingerprint, "sentences": len(corpus)},
        "dev": {"name": dev.name, "fingerprint": pairs_fingerprint(dev), "pairs": len(dev)},
    }
    if distillation is not None:
        content["distillation"] = as_json(distillation.settings)
        content["teachers"] = distillation.teachers.describe()
    return content


def run_folder(
    store: Store,
    settings: TrainingSettings,
    corpus: Corpus,
    dev: SentencePairs,
    distillation: Distillation | None = None,
) -> Path:
    """Where the run of these settings and inputs is or will be."""
    return store.path("runs", run_content(settings, corpus, dev, distillation))
