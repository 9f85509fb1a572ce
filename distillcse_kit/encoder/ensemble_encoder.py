"""Several encoders used as one: the raw teacher ensemble of the paper's Table 5."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.errors import KitError


class EnsembleEncoder:
    """Several encoders as one, with ``encode``: its cosines are the weighted mean of the teachers' cosines.

    Args:
        encoders: the teachers.
        weights: one of 0 or more for each encoder, scaled to sum to 1; None weighs all alike.

    Raises:
        KitError: no encoder, or weights that do not fit.
    """

    def __init__(self, encoders: Sequence[SentenceEncoder], weights: Sequence[float] | None = None) -> None:
        if not encoders:
            raise KitError("An ensemble needs at least one teacher.")
        self.encoders = list(encoders)
        chosen = np.asarray(weights if weights is not None else [1.0] * len(self.encoders), dtype=np.float64)
        if len(chosen) != len(self.encoders) or chosen.min() < 0 or chosen.sum() <= 0:
            raise KitError("Give one weight of 0 or more for each encoder, not all 0.")
        self.weights = chosen / chosen.sum()

    def encode(self, sentences: Sequence[str], **options: object) -> np.ndarray:
        """float32 [n, sum of widths], rows of length 1; options as in ``SentenceEncoder.encode``."""
        options["normalize_embeddings"] = True
        parts = [
            np.sqrt(weight) * encoder.encode(sentences, **options)  # type: ignore[arg-type]
            for encoder, weight in zip(self.encoders, self.weights, strict=True)
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)
