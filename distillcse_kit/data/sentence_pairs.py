"""Sentence pairs with a gold similarity: the form that every test set is read into."""

from __future__ import annotations

import math
from dataclasses import dataclass

from distillcse_kit.errors import KitError


@dataclass(frozen=True)
class SentencePairs:
    """n sentence pairs: ``first[i]``, ``second[i]`` and their gold similarity ``score[i]``, a finite number.

    Raises:
        KitError: the three lists differ in length or are empty, or a score is not a finite number.
    """

    name: str
    first: list[str]
    second: list[str]
    score: list[float]

    def __post_init__(self) -> None:
        if not len(self.first) == len(self.second) == len(self.score):
            raise KitError(
                f"{self.name}: {len(self.first)} first sentences, {len(self.second)} second sentences and "
                f"{len(self.score)} scores; give one of each per pair."
            )
        if not self.first:
            raise KitError(f"{self.name}: no scored pair was found; check the file.")
        for row, score in enumerate(self.score):
            if not math.isfinite(score):
                raise KitError(f"{self.name}: the score of pair {row + 1} is {score}; every score must be a number.")

    def __len__(self) -> int:
        return len(self.first)
