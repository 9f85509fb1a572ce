"""The published numbers of the paper and of other systems.

Scores are Spearman x 100 on the test sets, in the order of the paper: STS12 to STS16, STS-B, SICK-R (``PAPER_TASKS``).
The paper is Xu, Shao, Chen, Liu, "DistillCSE: Distilled Contrastive Learning for Sentence Embeddings", Findings of
EMNLP 2023 (arXiv 2310.13499). Averages are as printed; nothing is recomputed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.scoring import PAPER_TASKS


@dataclass(frozen=True)
class PublishedRow:
    """One row of the paper's Table 4.

    Attributes:
        model: the encoder; teacher and student have the same size.
        method: its name in the kit's own tables; "SimCSE" is the teacher.
        scores: Spearman x 100 in the order of ``PAPER_TASKS``. The paper prints no spread; the
            caption of its Table 4 claims p < 0.005 for DistillCSE over vanilla distillation.
        average: mean of the seven scores, as printed.
    """

    model: str
    method: str
    scores: tuple[float, ...]
    average: float

    def mean_over(self, tasks: Iterable[str]) -> float:
        """Mean score over those of ``tasks`` that are among the seven; nan if none is."""
        by_task = dict(zip(PAPER_TASKS, self.scores, strict=True))
        wanted = [by_task[task] for task in tasks if task in by_task]
        return sum(wanted) / len(wanted) if wanted else math.nan


def _row(model: str, method: str, *numbers: float) -> PublishedRow:
    """A row as printed: seven scores, then their average."""
    return PublishedRow(model, method, numbers[:-1], numbers[-1])


TABLE_4: tuple[PublishedRow, ...] = (
    _row("BERT-base", "SimCSE", 68.40, 82.41, 74.38, 80.91, 78.56, 76.85, 72.23, 76.25),
    _row("BERT-base", "vanilla distillation", 70.85, 83.49, 74.84, 81.52, 78.19, 78.60, 71.69, 77.03),
    _row("BERT-base", "+ Group-P", 72.39, 83.51, 75.71, 82.97, 78.87, 79.48, 73.24, 78.02),
    _row("BERT-base", "+ teacher components", 73.14, 84.36, 77.05, 83.64, 79.94, 80.21, 72.15, 78.64),
    _row("BERT-base", "DistillCSE", 73.56, 84.09, 77.39, 84.06, 80.68, 80.86, 73.02, 79.09),
    _row("BERT-base", "DistillCSE, round 2", 74.54, 84.51, 77.67, 84.87, 80.70, 81.48, 72.16, 79.42),
    _row("BERT-large", "SimCSE", 70.88, 84.16, 76.43, 84.50, 79.76, 79.26, 73.88, 78.41),
    _row("BERT-large", "vanilla distillation", 72.27, 85.56, 77.65, 84.82, 80.36, 80.53, 75.05, 79.46),
    _row("BERT-large", "DistillCSE", 75.18, 86.32, 78.92, 85.89, 81.18, 81.97, 75.33, 80.68),
    _row("BERT-large", "DistillCSE, round 2", 75.08, 86.64, 79.53, 86.45, 81.29, 82.72, 76.17, 81.13),
    _row("RoBERTa-base", "SimCSE", 70.16, 81.77, 73.24, 81.36, 80.65, 80.22, 68.56, 76.57),
    _row("RoBERTa-base", "vanilla distillation", 71.14, 82.49, 73.67, 81.18, 81.58, 81.24, 68.74, 77.15),
    _row("RoBERTa-base", "DistillCSE", 71.45, 83.33, 75.53, 83.19, 82.47, 82.38, 69.44, 78.26),
    _row("RoBERTa-large", "SimCSE", 72.86, 83.99, 75.62, 84.77, 81.80, 81.98, 71.26, 78.90),
    _row("RoBERTa-large", "vanilla distillation", 72.96, 84.50, 76.68, 85.41, 82.29, 82.83, 71.89, 79.51),
    _row("RoBERTa-large", "DistillCSE", 74.86, 85.72, 78.15, 86.42, 83.35, 84.96, 73.20, 80.95),
    _row("RoBERTa-large", "DistillCSE, round 2", 73.41, 85.89, 78.81, 86.59, 83.96, 84.98, 74.43, 81.15),
)

# Table 1, BERT-base: (mean, standard deviation) of the two orders, on training batches and on STS-B dev ("test").
TABLE_1: dict[str, dict[str, tuple[float, float]]] = {
    "1st order": {"training": (-7.43e-4, 5.25e-5), "test": (-7.29e-4, 4.61e-5)},
    "2nd order": {"training": (0.267, 0.064), "test": (0.696, 0.181)},
}

# Table 2: standard deviation over 16 teachers.
TABLE_2: dict[str, float] = {"1st order": 2.177e-5, "2nd order": 0.0406}

# In the paper's text: (k, Spearman x 100) between 16 teachers on the k largest logits, over 100 mini-batches.
TOP_AGREEMENT: tuple[int, float] = (12, 48.56)

# Table 5: seven-task averages of BERT-base. The raw ensemble is the mean of the teachers' cosines, without a student.
TABLE_5: dict[str, float] = {
    "vanilla distillation": 77.03,
    "+ teacher components": 78.64,
    "raw teacher ensemble": 76.45,
}

# Seven-task averages of unsupervised systems on BERT-base, as printed in their own papers, lowest first. Those of
# SimCSE++ and InfoCSE are known only to about 0.1. Code and seeds differ from paper to paper.
OTHER_SYSTEMS: dict[str, float] = {
    "SimCSE": 76.25,
    "DCLR": 77.22,
    "SimCSE++": 78.05,
    "ArcCSE": 78.11,
    "PCL": 78.14,
    "ESimCSE": 78.27,
    "DiffCSE": 78.49,
    "PromptBERT": 78.54,
    "InfoCSE": 78.85,
    "SNCSE": 78.97,
    "CoT-BERT": 79.40,
    "RankCSE-ListNet": 80.05,
    "RankEncoder": 80.07,
    "DebCSE": 80.33,
    "RankCSE-ListMLE": 80.36,
}


def table_4(model: str = "BERT-base") -> dict[str, PublishedRow]:
    """{method: row} for one encoder of Table 4, in the paper's order.

    Raises:
        KitError: Table 4 has no such encoder.
    """
    rows = {row.method: row for row in TABLE_4 if row.model == model}
    if not rows:
        known = ", ".join(dict.fromkeys(row.model for row in TABLE_4))
        raise KitError(f"The paper's Table 4 has no encoder {model!r}; choose one of {known}.")
    return rows


def systems_above(average: float) -> list[str]:
    """Names of the other systems with a published BERT-base average above ``average``, best first."""
    best_first = sorted(OTHER_SYSTEMS, key=OTHER_SYSTEMS.__getitem__, reverse=True)
    return [name for name in best_first if OTHER_SYSTEMS[name] > average]
