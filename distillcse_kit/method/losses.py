"""The losses of the paper as pure functions of tensors: contrastive, distillation, and the ranking hinge.

N is the batch size, d the embedding width. A cosine matrix [N, N] holds sim(h_i, h_j) in row i, column j; its diagonal
compares a sentence with itself and never enters a distillation loss.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from distillcse_kit.config import DIVERGENCES, Divergence
from distillcse_kit.errors import KitError
from distillcse_kit.fast.threads import one_thread


def require_positive(**values: float) -> None:
    """Raise KitError unless every given value is above zero, naming the one that is not."""
    for name, value in values.items():
        if not value > 0:
            raise KitError(f"{name} is {value}; it must be greater than 0.")


def require_square(name: str, cosines: Tensor) -> None:
    """Raise KitError unless ``cosines`` is a square matrix."""
    if cosines.ndim != 2 or cosines.shape[0] != cosines.shape[1]:
        raise KitError(f"{name} has shape {list(cosines.shape)}; it must be a square matrix [N, N] of one batch.")


def cosine_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Cosines of all pairs: [N, d], [M, d] -> [N, M], in float32 whatever the inputs are."""
    return F.normalize(first.float(), dim=-1) @ F.normalize(second.float(), dim=-1).T


def off_diagonal(matrix: Tensor) -> Tensor:
    """The matrix without its diagonal: [N, N] -> [N, N - 1], columns in their order.

    Leaving the diagonal out, instead of setting it to -inf, keeps every later logarithm and product finite.
    """
    n = matrix.shape[0]
    # Read from element 1 on in rows of N + 1: each such row ends with the next diagonal element.
    return matrix.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)


def contrastive_loss(
    view_a: Tensor, view_b: Tensor, temperature: float = 0.05, hard_negatives: Tensor | None = None
) -> Tensor:
    """SimCSE's loss: a sentence must find its own other view among those of the whole batch. Mean over the batch.

        l_cl = -1/N sum_i log( exp(sim(a_i, b_i) / tau) / sum_j exp(sim(a_i, b_j) / tau) ),   sim = cosine

    With hard negatives c, as in SimCSE's supervised mode, the sum is over sum_j exp(sim(a_i, b_j) / tau) +
    exp(sim(a_i, c_j) / tau): all positives and all hard negatives of the batch.

    ==============  =======  ======================================================
    Input           Shape    Meaning
    ==============  =======  ======================================================
    view_a          [N, d]   embeddings of N sentences under one dropout mask
    view_b          [N, d]   the same sentences, in the same order, under another; or a positive for each
    temperature     scalar   tau, above 0; 0.05 in the paper
    hard_negatives  [N, d]   c, one for each sentence; None has none, as in the paper
    ==============  =======  ======================================================

    When to use it: to train a teacher from plain sentences; with ``distillation_loss``, to train a student (Eq 3).
    The other sentences of the batch are the negatives, so larger batches make the task harder. It equals
    sentence-transformers' ``MultipleNegativesRankingLoss`` with scale 1 / tau.

    Reference: Xu et al., DistillCSE (Findings of EMNLP 2023), Eq 1; Gao et al., SimCSE (EMNLP 2021), Eq 1 and 5.

    Returns:
        Scalar, in nats; 0 for N = 1 without hard negatives. ln N - l_cl is a lower bound of the mutual information of
        the two views.

    Raises:
        KitError: the views differ in shape, or the temperature is not positive.

    Example:
        >>> import torch
        >>> from distillcse_kit import contrastive_loss
        >>> view = torch.eye(3)
        >>> round(contrastive_loss(view, view, temperature=0.5).item(), 4)
        0.2395
        >>> round(contrastive_loss(view, view.flip(0), temperature=0.5).item(), 4)  # two of the three are swapped
        1.5729
    """
    require_positive(temperature=temperature)
    for other in (view_b, view_a if hard_negatives is None else hard_negatives):
        if view_a.shape != other.shape:
            raise KitError(
                f"The two views have shapes {list(view_a.shape)} and {list(other.shape)}; encode the same batch twice, "
                "or as many positives and hard negatives as sentences."
            )
    with one_thread(view_a):
        candidates = view_b if hard_negatives is None else torch.cat([view_b, hard_negatives])
        logits = cosine_matrix(view_a, candidates) / temperature
        return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def distillation_loss(
    student_cosines: Tensor,
    teacher_cosines: Tensor,
    student_temperature: float = 0.02,
    teacher_temperature: float = 0.01,
    divergence: Divergence = "cross_entropy",
) -> Tensor:
    """Distillation inside a batch: the student's similarities are drawn towards the teacher's. Mean over rows.

        q_i = softmax_{j != i}(t_ij / tau_t)      p_i = softmax_{j != i}(s_ij / tau_s)
        cross_entropy: -sum_j q log p    kl: sum_j q log(q / p)    js: KL(q || m) / 2 + KL(p || m) / 2, m = (q + p) / 2

    ===================  =======  ===========================================================================
    Input                Shape    Meaning
    ===================  =======  ===========================================================================
    student_cosines      [N, N]   s, with gradient; the diagonal is not read
    teacher_cosines      [N, N]   t, perhaps averaged or shuffled; -inf stands for a probability of 0
    student_temperature  scalar   tau_s, above 0; 0.02 in the paper
    teacher_temperature  scalar   tau_t, above 0; 0.01 in the paper
    divergence           a name   "cross_entropy" as in the paper, "kl" or "js"
    ===================  =======  ===========================================================================

    When to use it: to train a student on a fixed teacher's cosines of the same batch. Pass those through
    ``group_p_shuffle`` or take them from a ``TeacherEnsemble`` first. Cross-entropy and KL have the same gradient.
    Where the student matches the teacher, KL is 0 and cross-entropy is the entropy of q.

    Reference: Xu et al., DistillCSE (Findings of EMNLP 2023), Eq 2; Table 7 varies the temperatures.

    Returns:
        Scalar, in nats; 0 (with a gradient of 0) for a batch of one sentence, which has no other to compare with.

    Raises:
        KitError: shapes differ, a temperature is not positive, or the divergence is unknown.

    Example:
        >>> import torch
        >>> from distillcse_kit import distillation_loss
        >>> teacher = torch.tensor([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
        >>> student = torch.tensor([[1.0, 0.5, 0.4], [0.5, 1.0, 0.2], [0.4, 0.2, 1.0]])
        >>> round(distillation_loss(student, teacher, 0.1, 0.1).item(), 4)
        0.7571
        >>> round(distillation_loss(teacher, teacher, 0.1, 0.1, "kl").item(), 4)
        0.0
    """
    require_positive(student_temperature=student_temperature, teacher_temperature=teacher_temperature)
    require_square("student_cosines", student_cosines)
    if student_cosines.shape != teacher_cosines.shape:
        raise KitError(
            f"student_cosines {list(student_cosines.shape)} and teacher_cosines {list(teacher_cosines.shape)} "
            "differ in shape; compute both on the same batch."
        )
    if divergence not in DIVERGENCES:
        raise KitError(f"Unknown divergence {divergence!r}; choose one of {', '.join(DIVERGENCES)}.")
    if len(student_cosines) == 1:
        return student_cosines.float().sum() * 0.0
    with one_thread(student_cosines):
        log_p = F.log_softmax(off_diagonal(student_cosines).float() / student_temperature, dim=-1)
        log_q = F.log_softmax(off_diagonal(teacher_cosines).float() / teacher_temperature, dim=-1)
        q = log_q.exp()
        if divergence == "cross_entropy":
            per_pair = -q * log_p
        elif divergence == "kl":
            per_pair = _times_log(q, log_q) - q * log_p
        else:
            p = log_p.exp()
            log_m = torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0))
            per_pair = 0.5 * (_times_log(q, log_q) - q * log_m) + 0.5 * (p * log_p - p * log_m)
        return per_pair.sum(dim=-1).mean()


def _times_log(probability: Tensor, log_probability: Tensor) -> Tensor:
    """p log p with 0 log 0 = 0."""
    return torch.where(probability > 0, probability * log_probability, 0.0)


def ranking_hinge_loss(
    student_cosines: Tensor,
    teacher_cosines: Tensor,
    teacher_temperature: float = 0.01,
    teacher_margin: float = 0.1,
    student_margin: float = 0.05,
    pairs_per_row: int = 16,
    generator: torch.Generator | None = None,
) -> Tensor:
    """An alternative to distillation, after the authors' code: learn just the order that the teacher is sure of.

    Per row i, ordered pairs (j, k) of other sentences are drawn uniformly, with replacement. A pair counts where the
    teacher gives j a larger probability than k, by more than a margin; the rest are left out:

        l = mean over counted pairs of max(0, student_margin - (s_ij - s_ik)),   counted: q_ij - q_ik > teacher_margin

    The mean is over the counted pairs of the whole batch, so that a row where the teacher is unsure counts for less.

    This follows a description of the authors' objective, "a hinge on sampled pairs whose teacher probabilities differ
    by a margin", and not their code, which has no licence. How pairs are drawn and averaged, the margin of the student
    and all defaults are the kit's own. So its numbers cannot be compared with theirs; the paper reports none.

    Args:
        student_cosines, teacher_cosines: [N, N]; the diagonals are not read.
        teacher_temperature: tau_t of q_i = softmax_{j != i}(t_ij / tau_t), above 0.
        teacher_margin: a difference of probabilities, in [0, 1). student_margin: a difference of cosines.
        pairs_per_row: pairs drawn in each row, with replacement.
        generator: draws the pairs, on the CPU; None takes torch's global one.

    Returns:
        Scalar; 0 (with a gradient of 0) where no pair counts or N < 3.

    Raises:
        KitError: shapes differ, a temperature or count is not positive, or teacher_margin is outside [0, 1).
    """
    require_positive(teacher_temperature=teacher_temperature, pairs_per_row=pairs_per_row)
    require_square("student_cosines", student_cosines)
    if student_cosines.shape != teacher_cosines.shape:
        raise KitError("student_cosines and teacher_cosines differ in shape; compute both on the same batch.")
    if not 0 <= teacher_margin < 1:
        raise KitError(f"teacher_margin is {teacher_margin}; it must lie in [0, 1).")
    n = len(student_cosines)
    if n < 3:
        return student_cosines.float().sum() * 0.0
    with one_thread(student_cosines):
        s = off_diagonal(student_cosines).float()
        q = F.softmax(off_diagonal(teacher_cosines).float() / teacher_temperature, dim=-1)
        j, k = torch.randint(n - 1, (2, n, pairs_per_row), generator=generator).to(s.device)
        counted = q.gather(1, j) - q.gather(1, k) > teacher_margin
        hinge = (student_margin - (s.gather(1, j) - s.gather(1, k))).clamp(min=0.0)
        return (hinge * counted).sum() / counted.sum().clamp(min=1)
