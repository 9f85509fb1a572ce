"""Shuffling the teacher's logits: Group-P (Eq 5 and 6 of the paper), its baselines, and its expectation.

Each function takes the teacher's cosines of one batch, [N, N], and returns a matrix of the same shape whose rows hold
the same logits in another order (or, for the group mean, smoothed). The diagonal is never read and never changed.
A row's N - 1 logits are ranked from the largest (rank 0) downwards.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distillcse_kit.errors import KitError
from distillcse_kit.method.losses import require_positive, require_square

# A cut that is reached up to rounding counts as reached; cumulative sums are taken in float64.
_ROUNDING = 1e-9

_MOST_GROUPS = 2**20


def number_of_groups(p: float) -> int:
    """How many groups the cuts p, 2p, ..., 1 make: ceil(1 / p). KitError unless 0 < p <= 1."""
    if not 0 < p <= 1:
        raise KitError(f"p is {p}; the share of probability in a group must lie in (0, 1].")
    return math.ceil(1 / p - _ROUNDING)


def _sort_rows(keys: Tensor) -> Tensor:
    """Each row in ascending order; ``keys``, long, may be overwritten.

    On a processor numpy sorts whole numbers with its vector instructions, several times as fast as torch. That is why
    what is to be sorted is packed into one number with its place, here and below, instead of being sorted by argsort.
    """
    if keys.device.type == "cpu":
        keys.numpy().sort(axis=-1)
        return keys
    return keys.sort(dim=-1).values


def _descending(teacher_cosines: Tensor) -> tuple[Tensor, Tensor]:
    """Sort each row without its diagonal: (logits, columns), both [N, N - 1], largest first, ties by column."""
    require_square("teacher_cosines", teacher_cosines)
    n, device = len(teacher_cosines), teacher_cosines.device
    if teacher_cosines.dtype == torch.float64:  # too wide to be packed
        diagonal = torch.eye(n, dtype=torch.bool, device=device)
        columns = teacher_cosines.masked_fill(diagonal, -torch.inf).argsort(dim=-1, descending=True, stable=True)
        # A logit of -inf ties with the masked diagonal: drop the diagonal by its column, not by its place.
        columns = columns[columns != torch.arange(n, device=device)[:, None]].view(n, max(n - 1, 0))
        return teacher_cosines.gather(1, columns), columns
    # Bits of floats, read as whole numbers, have the floats' order, negative ones the reverse; + 0 turns -0 into 0.
    bits = (teacher_cosines.detach().float() + 0.0).view(torch.int32)
    ascending = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys = (~ascending).long().bitwise_left_shift_(32).bitwise_or_(torch.arange(n, device=device))
    columns = _sort_rows(keys.fill_diagonal_(torch.iinfo(torch.long).max))[:, : max(n - 1, 0)] & 0xFFFFFFFF
    return teacher_cosines.gather(1, columns), columns


def _groups_of_ranks(sorted_cosines: Tensor, p: float, temperature: float) -> Tensor:
    """Group of each rank, long [N, N - 1]: logit k is in group g when g p <= c_k < (g + 1) p; the last takes the rest.

    c_k is the inclusive cumulative sum of softmax(t / temperature) over the row's logits, largest first.
    """
    require_positive(temperature=temperature)
    groups = number_of_groups(p)
    cumulative = torch.softmax(sorted_cosines.double() / temperature, dim=-1).cumsum(dim=-1)
    return cumulative.div_(p).add_(_ROUNDING).long().clamp_(max=groups - 1)


def group_p_assignments(teacher_cosines: Tensor, p: float, temperature: float = 1.0) -> Tensor:
    """The group of each logit under Group-P (Eq 5).

    Per row: sort descending, take the cumulative sum of softmax(t / temperature), cut at p, 2p, ..., 1.

    Args:
        teacher_cosines: [N, N].
        p: share of the probability in a group, in (0, 1].
        temperature: of the softmax that is cut. The paper cuts at 1, where the softmax over cosines is nearly flat;
            cutting at the teacher temperature (0.01) leaves one large tail group and is another algorithm.

    Returns:
        long [N, N]: 0 for the group of the largest logits; -1 on the diagonal.

    Raises:
        KitError: p outside (0, 1], temperature not positive, or not a square matrix.
    """
    logits, columns = _descending(teacher_cosines)
    groups = torch.full(teacher_cosines.shape, -1, dtype=torch.long, device=teacher_cosines.device)
    return groups.scatter(1, columns, _groups_of_ranks(logits, p, temperature))


def _shuffle_inside(
    teacher_cosines: Tensor, logits: Tensor, columns: Tensor, groups: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Permute ``logits`` uniformly among the ranks of the same group, and put them back into their columns.

    ``groups``, [N, N - 1], must not decrease along the ranks, nor exceed the larger of N and 2^20.
    """
    # A key is (group, noise, rank): sorting orders each group at random and never crosses a border. With N = 1,024 the
    # noise has 32 bits; two that are equal in one group keep their order, which no statistic can notice.
    ranks = logits.shape[1]
    rank_bits = ranks.bit_length()
    noise_bits = 63 - rank_bits - max(rank_bits, _MOST_GROUPS.bit_length())
    source = generator.device if generator else groups.device
    noise = torch.empty(groups.shape, dtype=torch.long, device=source).random_(1 << noise_bits, generator=generator)
    keys = noise.to(groups.device).bitwise_left_shift_(rank_bits).bitwise_or_(torch.arange(ranks, device=groups.device))
    keys.bitwise_or_(groups << (rank_bits + noise_bits))
    permutation = _sort_rows(keys).bitwise_and_((1 << rank_bits) - 1)
    return teacher_cosines.scatter(1, columns, logits.gather(1, permutation))


def group_p_shuffle(
    teacher_cosines: Tensor, p: float, temperature: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Group-P shuffling (Eq 6): each row's logits are permuted at random inside the groups of equal probability.

    Args:
        teacher_cosines: [N, N]. p, temperature: as in ``group_p_assignments``.
        generator: of the permutation; None takes torch's global one.

    Returns:
        [N, N]; each group of each row holds the same logits as before; the diagonal is untouched.

    Raises:
        KitError: p outside (0, 1], temperature not positive, or not a square matrix.
    """
    logits, columns = _descending(teacher_cosines)
    groups = _groups_of_ranks(logits, p, temperature)
    if number_of_groups(p) > _MOST_GROUPS:  # nearly all are empty: count the others
        groups = (groups.diff(dim=-1, prepend=groups[:, :1]) != 0).cumsum(dim=-1)
    return _shuffle_inside(teacher_cosines, logits, columns, groups, generator)


def fixed_group_shuffle(teacher_cosines: Tensor, group_size: int, generator: torch.Generator | None = None) -> Tensor:
    """Permute each row's logits inside groups of ``group_size`` neighbouring ranks; the last group may be smaller.

    Raises:
        KitError: group_size below 1, or not a square matrix.
    """
    if group_size < 1:
        raise KitError(f"group_size is {group_size}; it must be at least 1.")
    logits, columns = _descending(teacher_cosines)
    groups = torch.arange(logits.shape[1], device=logits.device).div(group_size, rounding_mode="floor")
    return _shuffle_inside(teacher_cosines, logits, columns, groups.expand_as(logits), generator)


def rank_band_shuffle(
    teacher_cosines: Tensor, start: int, end: int, generator: torch.Generator | None = None
) -> Tensor:
    """Permute the logits of ranks start, ..., end - 1 of each row (Table 3 of the paper); the others stay.

    Ranks count the N - 1 logits beside the diagonal, 0 = largest; ``end`` beyond the last rank means up to it.

    Raises:
        KitError: not 0 <= start < end, or not a square matrix.
    """
    if not 0 <= start < end:
        raise KitError(f"The rank band {start}..{end} is empty; give 0 <= start < end.")
    logits, columns = _descending(teacher_cosines)
    ranks = torch.arange(logits.shape[1], device=logits.device)
    # Every rank outside the band is a group of its own; the band is one group.
    groups = torch.where((ranks >= start) & (ranks < end), start, ranks)
    return _shuffle_inside(teacher_cosines, logits, columns, groups.expand_as(logits), generator)


def group_mean(
    teacher_cosines: Tensor, p: float, temperature: float = 1.0, teacher_temperature: float = 0.01
) -> Tensor:
    """Group-P without the noise: logits whose targets are the mean of each group's targets.

    Cross-entropy is linear in the target, so its expectation under Group-P shuffling is its value at the group means:

        E[-sum_j q_pi(j) log p_j] = -sum_g mean_{j in g}(q_j) sum_{j in g} log p_j

    Returned are t_g = tau_t ln mean_{j in g} exp(t_ij / tau_t): their softmax at tau_t is the group mean of q.

    Args:
        teacher_cosines: [N, N]. p, temperature: as in ``group_p_assignments``.
        teacher_temperature: tau_t, the temperature at which the distillation loss will read the result.

    Returns:
        [N, N]; equal logits inside a group; the diagonal is untouched.

    Raises:
        KitError: p outside (0, 1], a temperature not positive, or not a square matrix.
    """
    require_positive(teacher_temperature=teacher_temperature)
    logits, columns = _descending(teacher_cosines)
    if logits.shape[1] == 0:
        return teacher_cosines.clone()
    groups = _groups_of_ranks(logits, p, temperature)
    log_q = torch.log_softmax(logits.double() / teacher_temperature, dim=-1)
    shape = (len(logits), number_of_groups(p))
    total = log_q.new_zeros(shape).scatter_add(1, groups, log_q.exp())
    size = log_q.new_zeros(shape).scatter_add(1, groups, torch.ones_like(log_q))
    # Far tails underflow to 0 even in float64 at tau_t = 0.01; clamping keeps their logit finite.
    mean = (total / size.clamp(min=1)).clamp(min=1e-300).log().gather(1, groups)
    shift = torch.logsumexp(logits.double() / teacher_temperature, dim=-1, keepdim=True)
    return teacher_cosines.scatter(1, columns, (teacher_temperature * (mean + shift)).to(teacher_cosines.dtype))
