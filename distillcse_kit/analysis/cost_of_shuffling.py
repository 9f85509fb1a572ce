"""What a shuffle does to the teacher's targets: one row step by step, its cost on a batch, and the mean of many.

The targets of row i are q_i = softmax_{j != i}(t_ij / tau_t). The shuffles themselves are in ``method.shuffling``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distillcse_kit.analysis.logits import unit_ranks
from distillcse_kit.errors import KitError
from distillcse_kit.method.losses import distillation_loss, off_diagonal
from distillcse_kit.method.shuffling import group_mean, group_p_assignments, group_p_shuffle, number_of_groups

Shuffler = Callable[[Tensor, torch.Generator], Tensor]


def row_targets(cosines: Tensor, teacher_temperature: float = 0.01) -> Tensor:
    """Targets of all rows without the diagonal: [N, N] -> float64 [N, N - 1]. Each row sums to 1."""
    return torch.softmax(off_diagonal(cosines.double()) / teacher_temperature, dim=-1)


@dataclass(frozen=True)
class RowGroups:
    """One row under Group-P, sorted from its largest logit to its smallest; all arrays are [N - 1].

    Attributes:
        columns: which sentence has this rank.
        logits: before shuffling.
        shuffled: the same sentences' logits after shuffling.
        groups: group of each logit; 0 is the group of the largest.
        before, after: targets before and after shuffling.
        mean: mean of the targets over all possible shuffles.
    """

    columns: np.ndarray
    logits: np.ndarray
    shuffled: np.ndarray
    groups: np.ndarray
    before: np.ndarray
    after: np.ndarray
    mean: np.ndarray

    @property
    def sizes(self) -> list[int]:
        """Number of logits in each group. A large probability can skip groups: they are empty and left out."""
        return [int((self.groups == group).sum()) for group in np.unique(self.groups)]


def row_groups(
    cosines: Tensor,
    row: int,
    p: float,
    temperature: float = 1.0,
    teacher_temperature: float = 0.01,
    seed: int = 0,
) -> RowGroups:
    """Group-P (Eq 5 and 6) on one row of a batch, with everything that a picture of it needs.

    Args:
        cosines: of the teacher, [N, N].
        row: number of the row, which is that of the anchor sentence.
        p, temperature: of the cut into groups, as in ``method.shuffling.group_p_assignments``.
        teacher_temperature: tau_t of the targets.
        seed: of the shuffle.

    Raises:
        KitError: the row is outside the batch, p is outside (0, 1], or a temperature is not positive.
    """
    if not 0 <= row < len(cosines):
        raise KitError(f"row is {row}; the batch has rows 0 to {len(cosines) - 1}.")
    generator = torch.Generator().manual_seed(seed)
    matrices = {
        "logits": cosines,
        "shuffled": group_p_shuffle(cosines, p, temperature, generator),
        "groups": group_p_assignments(cosines, p, temperature),
        "mean": group_mean(cosines.double(), p, temperature, teacher_temperature),
    }
    others = np.delete(np.arange(len(cosines)), row)
    columns = others[np.argsort(-cosines[row, others].numpy(), kind="stable")]
    ranked = {name: matrix[row, columns].numpy() for name, matrix in matrices.items()}

    def targets(logits: np.ndarray) -> np.ndarray:
        return torch.softmax(torch.from_numpy(logits).double() / teacher_temperature, dim=-1).numpy()

    return RowGroups(
        columns,
        ranked["logits"],
        ranked["shuffled"],
        ranked["groups"],
        before=targets(ranked["logits"]),
        after=targets(ranked["shuffled"]),
        mean=targets(ranked["mean"]),
    )


def group_sizes(cosines: Tensor, p: float, temperature: float = 1.0) -> np.ndarray:
    """Mean number of logits in each group, over the rows of a batch [N, N]: float64 [number of groups]."""
    groups = group_p_assignments(cosines, p, temperature)
    counts = [(groups == group).sum(dim=-1).double().mean().item() for group in range(number_of_groups(p))]
    return np.array(counts)


@dataclass(frozen=True)
class ShuffleCost:
    """What shuffled targets cost a student that copies its teacher's cosines exactly; in nats, mean over rows.

    Attributes:
        cross_entropy: the distillation loss of that student.
        entropy: of the targets; no student can have a smaller cross-entropy.
        rank_correlation: Spearman correlation, from -1 to 1, of a row's logits before and after shuffling.
    """

    cross_entropy: float
    entropy: float
    rank_correlation: float

    @property
    def kl(self) -> float:
        """Cross-entropy minus the entropy of the targets."""
        return self.cross_entropy - self.entropy


def shuffle_cost(
    cosines: Tensor,
    shuffle: Shuffler,
    student_temperature: float = 0.02,
    teacher_temperature: float = 0.01,
    draws: int = 20,
    seed: int = 0,
) -> ShuffleCost:
    """Mean cost of a shuffle over ``draws`` draws.

    Args:
        cosines: of the teacher, and of the student that copies it, [N, N].
        shuffle: (cosines, generator) -> shuffled cosines.
        student_temperature, teacher_temperature: tau_s and tau_t.
        draws: number of shuffles.
        seed: of the shuffles.
    """
    rows, generator = [], torch.Generator().manual_seed(seed)
    ranks = unit_ranks(off_diagonal(cosines).numpy())
    for _ in range(draws):
        changed = shuffle(cosines, generator)
        loss = distillation_loss(cosines, changed, student_temperature, teacher_temperature)
        targets = row_targets(changed, teacher_temperature)
        agreement = (ranks * unit_ranks(off_diagonal(changed).numpy())).sum(axis=-1).mean()
        rows.append((float(loss), float(torch.special.entr(targets).sum(dim=-1).mean()), float(agreement)))
    return ShuffleCost(*(float(column) for column in np.mean(rows, axis=0)))


@dataclass(frozen=True)
class MeanOfShuffles:
    """How the mean of the targets over many Group-P shuffles approaches the group mean.

    Attributes:
        draws: [K], how many shuffles are averaged.
        distance: [K], total variation distance from the group mean's targets, mean over rows. It is half the sum of
            the absolute differences: the share of the probability that lies elsewhere.
    """

    draws: np.ndarray
    distance: np.ndarray


def mean_of_shuffles(
    cosines: Tensor,
    p: float,
    temperature: float = 1.0,
    teacher_temperature: float = 0.01,
    draws: int = 1024,
    seed: int = 0,
) -> MeanOfShuffles:
    """Average the targets of 1, 2, 4, ..., ``draws`` shuffles of a batch [N, N], and compare with the group mean.

    Args:
        cosines: of the teacher, [N, N].
        p, temperature: of the cut into groups.
        teacher_temperature: tau_t of the targets.
        draws: number of shuffles.
        seed: of the shuffles.

    Raises:
        KitError: p is outside (0, 1], or a temperature is not positive.
    """
    generator = torch.Generator().manual_seed(seed)
    expected = row_targets(group_mean(cosines.double(), p, temperature, teacher_temperature), teacher_temperature)
    total, counts, distances = torch.zeros_like(expected), [], []
    for count in range(1, draws + 1):
        total += row_targets(group_p_shuffle(cosines, p, temperature, generator), teacher_temperature)
        if count.bit_count() == 1:  # a power of two
            counts.append(count)
            distances.append(float((total / count - expected).abs().sum(dim=-1).mean() / 2))
    return MeanOfShuffles(np.array(counts), np.array(distances))
