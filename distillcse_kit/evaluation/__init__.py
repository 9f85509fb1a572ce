"""How good is an encoder, and does a difference mean anything?

The room scores encoders on pairs of sentences, measures the shape of the space of embeddings, and says which
differences between runs are more than chance.
"""

from distillcse_kit.data.sts import load_sts
from distillcse_kit.evaluation.scoring import PAPER_TASKS, evaluate_sts, pair_cosines, score_pairs, spearman
from distillcse_kit.evaluation.statistics import SeedInterval, paired_difference, seed_interval, verdict

__all__ = [
    "PAPER_TASKS",
    "SeedInterval",
    "evaluate_sts",
    "load_sts",
    "pair_cosines",
    "paired_difference",
    "score_pairs",
    "seed_interval",
    "spearman",
    "verdict",
]
