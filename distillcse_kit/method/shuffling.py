"""Shuffling the teacher's logits: Group-P (Eq 5 and 6 of the paper), its baselines, and its expectation.

Each function takes the teacher's cosines of one batch, [N, N], and returns a matrix of the same shape. Its rows hold
the same logits in another order (or, for the group mean, smoothed). The diagonal is never read and never changed.
A row's N - 1 logits are ranked from the largest (rank 0) downwards.

``plain_group_p`` is the algorithm, written to be read. ``group_p_shuffle`` sorts in a faster way and gives the
same numbers, to the last bit. The other functions sort the fast way, too, unless they get ``fast=False``.

The groups are cut in float64. Apple's GPUs have none, so there the processor does the work, with the same result.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distillcse_kit.errors import KitError
from distillcse_kit.fast.sorting import columns_by_rank, noise_bits, order_inside_groups
from distillcse_kit.fast.threads import one_thread
from distillcse_kit.method.float64 import where_float64_is
from distillcse_kit.method.losses import off_diagonal, require_positive, require_square

# A cut that is reached up to rounding counts as reached; cumulative sums are taken in float64.
_ROUNDING = 1e-9


def number_of_groups(p: float) -> int:
    """How many groups the cuts p, 2p, ..., 1 make: ceil(1 / p). KitError unless 0 < p <= 1."""
    if not 0 < p <= 1:
        raise KitError(f"p is {p}; the share of probability in a group must lie in (0, 1].")
    return math.ceil(1 / p - _ROUNDING)


def _noise(groups: Tensor, generator: torch.Generator | None) -> Tensor:
    """A random whole number for each rank, of the shape of ``groups``, drawn where the generator is."""
    noise = torch.empty(groups.shape, dtype=torch.long, device=generator.device if generator else groups.device)
    return noise.random_(1 << noise_bits(groups.shape[1]), generator=generator).to(groups.device)


def random_order_inside(groups: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A random order of each row's ranks in which every group keeps its places: long [N, N - 1] of ranks."""
    # Put the row in random order, then sort it by group. The sort is stable, so each group stays in random order.
    mixed = _noise(groups, generator).argsort(dim=-1, stable=True)
    return mixed.gather(1, groups.gather(1, mixed).argsort(dim=-1, stable=True))


@where_float64_is
def plain_group_p(
    teacher_cosines: Tensor, p: float, temperature: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Group-P in plain lines, [N, N] -> [N, N]: the same as ``group_p_shuffle``, to the last bit."""
    require_square("teacher_cosines", teacher_cosines)
    require_positive(temperature=temperature)
    # Sort each row without its diagonal, largest logit first, and note the columns that the logits came from.
    logits, order = off_diagonal(teacher_cosines).sort(dim=-1, descending=True, stable=True)
    columns = off_diagonal(torch.arange(len(order), device=order.device).repeat(len(order), 1)).gather(1, order)
    # Eq 5: G is the row's cumulative softmax. Cut it at p, 2p, ..., 1: a logit's group is G / p, rounded down.
    cumulative = torch.softmax(logits.double() / temperature, dim=-1).cumsum(dim=-1)
    groups = (cumulative / p + _ROUNDING).long().clamp(max=number_of_groups(p) - 1)
    # Eq 6: permute the logits inside each group, and put them back into the columns.
    permutation = random_order_inside(groups, generator)
    return teacher_cosines.scatter(1, columns, logits.gather(1, permutation))


@where_float64_is
def group_p_shuffle(
    teacher_cosines: Tensor,
    p: float,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    fast: bool = True,
) -> Tensor:
    """Group-P shuffling: permute each row's logits at random, but only inside groups of about equal probability.

    A student that copies every logit of its teacher copies the teacher's noise, too. Logits of one group are similar:
    their order is mostly noise. Here it changes in each step, so the student does not learn it.

    Per row i, over the logits j != i, largest first:

        G(t_ij) = cumulative sum of softmax_j(t_ij / temperature)
        logit j is in group g where g p <= G(t_ij) < (g + 1) p; the last group takes the rest
        t_ij <- t_i,pi(j), with pi a uniform random permutation inside each group

    ===============  =======  ==========================================================================
    Input            Shape    Meaning
    ===============  =======  ==========================================================================
    teacher_cosines  [N, N]   t, cosines of one batch; the diagonal is not read
    p                scalar   share of the probability in a group, in (0, 1]; 0.1 in the paper
    temperature      scalar   of the softmax that is cut, above 0; 1 in the paper
    generator                 draws the permutation; None takes torch's global generator
    fast                      sort packed numbers, several times as fast; False gives the same numbers
    ===============  =======  ==========================================================================

    When to use it: before ``distillation_loss``, in training, anew in each step. ``group_mean`` is its expectation,
    without the noise. Cutting at the teacher's temperature of 0.01 leaves one large group of small logits: another
    algorithm.

    Reference: Xu et al., DistillCSE (Findings of EMNLP 2023), Eq 5 and 6; Table 6 varies p.

    Returns:
        [N, N]. Each group of each row holds the same logits as before; the diagonal is as it was.

    Raises:
        KitError: p is outside (0, 1], the temperature is not positive, or the matrix is not square.

    Example:
        >>> import torch
        >>> from distillcse_kit import group_p_shuffle
        >>> cosines = torch.tensor([[1.0, 0.9, 0.8, 0.3, 0.2]]).repeat(5, 1)
        >>> shuffled = group_p_shuffle(cosines, p=0.7, generator=torch.Generator().manual_seed(1))
        >>> [round(logit, 1) for logit in shuffled[0].tolist()]  # two groups: 0.9 and 0.8, 0.3 and 0.2
        [1.0, 0.8, 0.9, 0.2, 0.3]
    """
    with one_thread(teacher_cosines):
        if not fast:
            return plain_group_p(teacher_cosines, p, temperature, generator)
        logits, columns = _ranked(teacher_cosines)
        groups = _groups_of_ranks(logits, p, temperature)
        return _shuffled(teacher_cosines, logits, columns, groups, number_of_groups(p), generator)


@where_float64_is
def group_mean(
    teacher_cosines: Tensor,
    p: float,
    temperature: float = 1.0,
    teacher_temperature: float = 0.01,
    fast: bool = True,
) -> Tensor:
    """Group-P without the noise: logits whose targets are the mean of each group's targets.

    Cross-entropy is linear in the target. So its expectation under Group-P shuffling is its value at the group means:

        E[-sum_j q_pi(j) log p_j] = -sum_g mean_{j in g}(q_j) sum_{j in g} log p_j

    Returned are t_g = tau_t ln mean_{j in g} exp(t_ij / tau_t): their softmax at tau_t is the group mean of q.

    ===================  =======  ======================================================================
    Input                Shape    Meaning
    ===================  =======  ======================================================================
    teacher_cosines      [N, N]   t, cosines of one batch; the diagonal is not read
    p                    scalar   share of the probability in a group, in (0, 1]
    temperature          scalar   of the softmax that is cut, above 0
    teacher_temperature  scalar   tau_t, at which ``distillation_loss`` will read the result, above 0
    fast                          sort packed numbers; False gives the same numbers
    ===================  =======  ======================================================================

    When to use it: in place of ``group_p_shuffle``, to see whether its gain comes from the smoothing or from the noise.

    Reference: this kit; not in the paper. The groups are those of its Eq 5.

    Returns:
        [N, N]. The logits of a group are equal; the diagonal is as it was.

    Raises:
        KitError: p is outside (0, 1], a temperature is not positive, or the matrix is not square.

    Example:
        >>> import torch
        >>> from distillcse_kit import group_mean
        >>> cosines = torch.tensor([[1.0, 0.9, 0.8, 0.3, 0.2]]).repeat(5, 1)
        >>> smooth = group_mean(cosines, p=0.7, teacher_temperature=0.1)
        >>> [round(logit, 3) for logit in smooth[0].tolist()]
        [1.0, 0.862, 0.862, 0.262, 0.262]
    """
    require_positive(teacher_temperature=teacher_temperature)
    with one_thread(teacher_cosines):
        logits, columns = _ranked(teacher_cosines, fast)
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
        smoothed = (teacher_temperature * (mean + shift)).to(teacher_cosines.dtype)
        return teacher_cosines.scatter(1, columns, smoothed)


@where_float64_is
def group_p_assignments(teacher_cosines: Tensor, p: float, temperature: float = 1.0, fast: bool = True) -> Tensor:
    """The group of each logit under Group-P (Eq 5).

    Args:
        teacher_cosines: [N, N].
        p, temperature, fast: as in ``group_p_shuffle``.

    Returns:
        long [N, N]: 0 for the group of the largest logits; -1 on the diagonal.

    Raises:
        KitError: p is outside (0, 1], the temperature is not positive, or the matrix is not square.
    """
    with one_thread(teacher_cosines):
        logits, columns = _ranked(teacher_cosines, fast)
        groups = torch.full(teacher_cosines.shape, -1, dtype=torch.long, device=teacher_cosines.device)
        return groups.scatter(1, columns, _groups_of_ranks(logits, p, temperature))


@where_float64_is
def fixed_group_shuffle(
    teacher_cosines: Tensor, group_size: int, generator: torch.Generator | None = None, fast: bool = True
) -> Tensor:
    """Permute each row's logits inside groups of ``group_size`` neighbouring ranks; the last group may be smaller.

    Args:
        teacher_cosines: [N, N].
        group_size: logits in a group, 1 or more.
        generator, fast: as in ``group_p_shuffle``.

    Returns:
        [N, N]; the diagonal is as it was.

    Raises:
        KitError: group_size is below 1, or the matrix is not square.
    """
    if group_size < 1:
        raise KitError(f"group_size is {group_size}; it must be at least 1.")
    with one_thread(teacher_cosines):
        logits, columns = _ranked(teacher_cosines, fast)
        groups = torch.arange(logits.shape[1], device=logits.device).div(group_size, rounding_mode="floor")
        return _shuffled(teacher_cosines, logits, columns, groups.expand_as(logits), len(logits), generator, fast)


@where_float64_is
def rank_band_shuffle(
    teacher_cosines: Tensor, start: int, end: int, generator: torch.Generator | None = None, fast: bool = True
) -> Tensor:
    """Permute the logits of ranks start, ..., end - 1 of each row (Table 3 of the paper); the others stay.

    Args:
        teacher_cosines: [N, N].
        start, end: ranks among the N - 1 logits off the diagonal, 0 = largest. ``end`` may lie beyond the last rank.
        generator, fast: as in ``group_p_shuffle``.

    Returns:
        [N, N]; the diagonal is as it was.

    Raises:
        KitError: not 0 <= start < end, or the matrix is not square.
    """
    if not 0 <= start < end:
        raise KitError(f"The rank band {start}..{end} is empty; give 0 <= start < end.")
    with one_thread(teacher_cosines):
        logits, columns = _ranked(teacher_cosines, fast)
        ranks = torch.arange(logits.shape[1], device=logits.device)
        # Every rank outside the band is a group of its own; the band is one group.
        groups = torch.where((ranks >= start) & (ranks < end), start, ranks)
        return _shuffled(teacher_cosines, logits, columns, groups.expand_as(logits), len(logits), generator, fast)


# ---------------------------------------------------------------- the same steps, faster


def _ranked(teacher_cosines: Tensor, fast: bool = True) -> tuple[Tensor, Tensor]:
    """Sort each row without its diagonal: (logits, columns), both [N, N - 1], largest first, ties by column."""
    require_square("teacher_cosines", teacher_cosines)
    columns = columns_by_rank(teacher_cosines, packed=fast)
    return teacher_cosines.gather(1, columns), columns


def _groups_of_ranks(logits: Tensor, p: float, temperature: float) -> Tensor:
    """Eq 5, as in ``plain_group_p``, in place: the group of each rank, long [N, N - 1]."""
    require_positive(temperature=temperature)
    groups = number_of_groups(p)
    scaled = logits.double() if temperature == 1 else logits.double() / temperature
    cumulative = torch.softmax(scaled, dim=-1).cumsum_(dim=-1)
    return cumulative.div_(p).add_(_ROUNDING).long().clamp_(max=groups - 1)


def _shuffled(
    teacher_cosines: Tensor,
    logits: Tensor,
    columns: Tensor,
    groups: Tensor,
    count: int,
    generator: torch.Generator | None,
    fast: bool = True,
) -> Tensor:
    """Eq 6: permute ``logits`` uniformly among the ranks of the same group, and put them back into their columns.

    ``groups``, [N, N - 1], never decrease along the ranks, and each is below ``count``.
    """
    if fast:
        permutation = order_inside_groups(groups, _noise(groups, generator), count)
    else:
        permutation = random_order_inside(groups, generator)
    return teacher_cosines.scatter(1, columns, logits.gather(1, permutation))
