"""What do teachers and students do?

The room measures how much teachers disagree and what averaging them removes, what a shuffle does to their targets,
how soft these targets are, and what a student has learned of its teacher. numpy arrays or tensors go in, numbers and
frozen dataclasses come out; nothing here trains.
"""

from distillcse_kit.analysis.agreement import Agreement, Remaining, agreements, remaining_loss
from distillcse_kit.analysis.cost_of_shuffling import (
    MeanOfShuffles,
    RowGroups,
    ShuffleCost,
    Shuffler,
    group_sizes,
    mean_of_shuffles,
    row_groups,
    row_targets,
    shuffle_cost,
)
from distillcse_kit.analysis.logits import (
    batch_cosines,
    different_pairs,
    first_order,
    off_diagonal,
    row_centred,
    sample_batches,
    teacher_vectors,
    unit_ranks,
)
from distillcse_kit.analysis.noise_intervals import (
    FigureInterval,
    agreement_figures,
    table_1_figures,
    table_2_figures,
    teacher_jackknife,
)
from distillcse_kit.analysis.orders import BINS, Moments, TwoSamples, compare_orders, gaussian_kl, histogram_kl, moments
from distillcse_kit.analysis.parts_of_variance import VariancePart, disjoint_pairs, mean_squares, variance_parts
from distillcse_kit.analysis.softness import Softness, mean_entropy, rank_agreement
from distillcse_kit.analysis.teacher_noise import (
    AveragingLaw,
    Spread,
    SpreadByRank,
    TopAgreement,
    averaging_law,
    spread,
    spread_by_rank,
    teacher_spread,
    top_agreement,
)
from distillcse_kit.evaluation.scoring import unit

__all__ = [
    "BINS",
    "Agreement",
    "AveragingLaw",
    "FigureInterval",
    "MeanOfShuffles",
    "Moments",
    "Remaining",
    "RowGroups",
    "ShuffleCost",
    "Shuffler",
    "Softness",
    "Spread",
    "SpreadByRank",
    "TopAgreement",
    "TwoSamples",
    "VariancePart",
    "agreement_figures",
    "agreements",
    "averaging_law",
    "batch_cosines",
    "compare_orders",
    "different_pairs",
    "disjoint_pairs",
    "first_order",
    "gaussian_kl",
    "group_sizes",
    "histogram_kl",
    "mean_entropy",
    "mean_of_shuffles",
    "mean_squares",
    "moments",
    "off_diagonal",
    "rank_agreement",
    "remaining_loss",
    "row_centred",
    "row_groups",
    "row_targets",
    "sample_batches",
    "shuffle_cost",
    "spread",
    "spread_by_rank",
    "table_1_figures",
    "table_2_figures",
    "teacher_jackknife",
    "teacher_spread",
    "teacher_vectors",
    "top_agreement",
    "unit",
    "unit_ranks",
    "variance_parts",
]
