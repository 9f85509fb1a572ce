"""Averaging teachers (Eq 7 of the paper): the mean of several teachers' cosines, from their stored embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distillcse_kit.errors import KitError
from distillcse_kit.fast.threads import one_thread


class TeacherEnsemble:
    """Several teachers as one: the (weighted) mean of their cosines, from their stored embeddings.

        t_ij = sum_m w_m cos_m(i, j),   sum_m w_m = 1;   Eq 7 has w_m = 1 / M

    A mean of cosines is the cosine of a concatenation. With each teacher's unit embeddings scaled by sqrt(w_m), all
    cosines of a batch are one matrix product, whatever the teachers' widths.

    ==========  ================  =================================================================================
    Input       Shape             Meaning
    ==========  ================  =================================================================================
    embeddings  {name: [n, d_m]}  each teacher's embeddings of the same n sentences, in one order; widths may differ
    weights     {name: scalar}    0 or more, scaled to sum to 1; None weighs all teachers alike
    rows        [N]               (of ``cosines``) which sentences make the batch
    ==========  ================  =================================================================================

    When to use it: before ``distillation_loss``. Teachers from different seeds err in different directions, so their
    mean has less noise than one of them. Embed the corpus once with each teacher: a batch then costs no forward pass.

    Reference: Xu et al., DistillCSE (Findings of EMNLP 2023), Eq 7; Table 5.

    Raises:
        KitError: no teacher, different numbers of sentences, weights that are unknown, missing, negative or all 0.

    Example:
        >>> import numpy as np
        >>> from distillcse_kit import TeacherEnsemble
        >>> one, other = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> teachers = TeacherEnsemble({"one": one, "other": other})
        >>> [round(cosine, 4) for cosine in teachers.cosines(np.array([0, 1]))[0].tolist()]
        [1.0, 0.5]
    """

    def __init__(self, embeddings: Mapping[str, np.ndarray], weights: Mapping[str, float] | None = None) -> None:
        if not embeddings:
            raise KitError("An ensemble needs at least one teacher.")
        lengths = {name: len(rows) for name, rows in embeddings.items()}
        if len(set(lengths.values())) > 1:
            raise KitError(
                f"The teachers embedded different numbers of sentences ({lengths}); embed one corpus with all."
            )
        weights = dict.fromkeys(embeddings, 1.0) if weights is None else weights
        if set(weights) != set(embeddings):
            odd = sorted(set(weights) ^ set(embeddings))
            raise KitError(f"Weights and teachers do not match at {odd[0]!r}; give one weight for each teacher.")
        total = sum(weights.values())
        if min(weights.values()) < 0 or not total > 0:
            raise KitError("The teachers' weights must be 0 or more, and not all 0.")
        self.embeddings = dict(embeddings)
        self.weights = {name: weights[name] / total for name in embeddings}

    @property
    def sentences(self) -> int:
        """n, how many sentences are embedded."""
        return len(next(iter(self.embeddings.values())))

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """The concatenated embeddings of the sentences ``rows``: float32 [N, sum of widths], rows of length 1."""
        read = {
            name: torch.from_numpy(np.asarray(stored[rows], dtype=np.float32))
            for name, stored in self.embeddings.items()
        }
        with one_thread(next(iter(read.values()))):
            parts = [self.weights[name] ** 0.5 * F.normalize(part, dim=-1) for name, part in read.items()]
        return torch.cat(parts, dim=-1).numpy()

    def cosines(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
        """Averaged cosines of the sentences ``rows`` of the corpus: float32 [N, N]."""
        vectors = torch.from_numpy(self.vectors(rows)).to(device)
        # Autocast would round the product to bfloat16, coarser than the temperature of 0.01 allows.
        with torch.autocast(vectors.device.type, enabled=False), one_thread(vectors):
            return vectors @ vectors.T

    def describe(self) -> list[dict[str, float | str]]:
        """Names and weights, in order, for keys and run folders."""
        return [{"teacher": name, "weight": round(weight, 12)} for name, weight in self.weights.items()]
