"""What would these rows find? Tables of scores with a planted effect, analysed as real ones are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from scipy.stats import t as student_t

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.shared_teachers import SharedTeachers
from distillcse_kit.evaluation.statistics import LEVEL, holm
from distillcse_kit.evaluation.student_layout import Estimates, Layout, enough_alone


@dataclass(frozen=True)
class Scatter:
    """Standard deviations of the five parts of a score (see ``student_layout.Layout``), in points of Spearman x 100."""

    teacher: float
    teacher_by_number: float
    teacher_by_row: float
    draw: float
    rest: float

    @classmethod
    def of(cls, table: SharedTeachers) -> Scatter:
        """The scatter of a real table; a variance that is estimated below 0 counts as 0.

        Parts that the table cannot tell apart get equal variances.
        """
        return cls(*np.sqrt(table.layout.variances(table.scores).clip(min=0)).tolist())

    def __post_init__(self) -> None:
        if not min(astuple(self)) >= 0 or not sum(astuple(self)) > 0:
            raise KitError(f"{self} is no scatter; give standard deviations of 0 or more, one of them above 0.")


def plant(layout: Layout, scatter: Scatter, tables: int, seed: int = 0) -> np.ndarray:
    """Scores of a layout's N students in many tables without any effect, normal with mean 0: [tables, N].

    Raises:
        KitError: there is no table.
    """
    if tables < 1:
        raise KitError(f"tables is {tables}; it must be at least 1.")
    covariance = sum(d**2 * part for d, part in zip(astuple(scatter), layout.parts.values(), strict=True))
    values, axes = np.linalg.eigh(covariance)
    roots = axes * np.sqrt(values.clip(min=0))
    return np.random.default_rng(seed).normal(size=(tables, len(roots))) @ roots.T


class PlantedEffects:
    """Tables of rows, with differences from a baseline that are planted, and how often they are claimed.

    The claim is that of ``SharedTeachers.compare``: significant at 5% after Holm's correction for all rows compared.

    Args:
        layout: the students of all rows.
        baseline: the row that the others are compared with.
        scatter: of the scores.
        rows: which rows are compared; None takes all others.
        tables: how many tables are drawn. Shares of 1,000 tables are exact to about one percent.
        seed: of the draw. The same noise is used whatever is planted.

    Raises:
        KitError: an unknown row, no table, or as ``Layout.estimate``.
    """

    def __init__(
        self,
        layout: Layout,
        baseline: str,
        scatter: Scatter,
        rows: Sequence[str] | None = None,
        tables: int = 1_000,
        seed: int = 0,
    ) -> None:
        self.rows = [row for row in (rows or layout.rows) if row != baseline]
        if missing := [row for row in (*self.rows, baseline) if row not in layout.rows]:
            raise KitError(f"There is no row {missing[0]!r}; choose one of {', '.join(layout.rows)}.")
        scores = plant(layout, scatter, tables, seed)
        found = [_difference(layout, row, baseline, scores) for row in self.rows]
        self._value, variance, self._freedom = (np.stack(c, -1) for c in zip(*map(astuple, found), strict=True))
        self._error = np.sqrt(variance)

    def claimed(self, effects: Mapping[str, float] | None = None) -> np.ndarray:
        """Which differences are claimed, bool [tables, rows], with the sign of the mean for a planted one.

        Args:
            effects: {row: its planted difference from the baseline}; other rows have none. A claim of the wrong sign
                is no find of a planted effect.

        Raises:
            KitError: an effect for a row that is not compared.
        """
        effects = effects or {}
        if unknown := set(effects) - set(self.rows):
            raise KitError(f"No row {sorted(unknown)[0]!r} is compared; choose from {', '.join(self.rows)}.")
        planted = np.array([effects.get(row, 0.0) for row in self.rows])
        value = self._value + planted
        p_values = 2 * student_t.sf(np.abs(value) / self._error, self._freedom)
        # Most tables have one p-value, or none below the level, and need no correction.
        low = p_values < LEVEL
        found = np.zeros_like(low)
        for number in np.flatnonzero(low.any(axis=1)):
            found[number] = low[number] if len(self.rows) == 1 else np.array(holm(p_values[number])) < LEVEL
        return found & ((planted == 0) | (np.sign(value) == np.sign(planted)))

    def chance(self, row: str, effect: float) -> float:
        """How often a planted difference is found, if no other row has one: a share of the tables."""
        return float(self.claimed({row: effect})[:, self.rows.index(row)].mean())

    def false_claims(self) -> float:
        """Share of the tables in which at least one difference is claimed although none is planted."""
        return float(self.claimed().any(axis=1).mean())

    def smallest(self, row: str, wanted: float = 0.9, digits: int = 2) -> float:
        """The smallest effect, to so many digits, that is found in the share ``wanted`` of the tables.

        Raises:
            KitError: ``wanted`` is outside (0, 1), or the row is not compared.
        """
        if not 0 < wanted < 1:
            raise KitError(f"The wanted share is {wanted}; give one between 0 and 1.")
        step = 10.0**-digits
        low, high = 0, 1
        while self.chance(row, high * step) < wanted:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.chance(row, middle * step) >= wanted else (middle, high)
        return round(high * step, digits)


def _difference(layout: Layout, row: str, baseline: str, scores: np.ndarray) -> Estimates:
    """What ``SharedTeachers.difference`` finds in each of the tables [tables, N]."""
    pair = {name: layout.rows[name] for name in (row, baseline)}
    if enough_alone(*pair.values()):
        layout, scores = Layout(pair), np.concatenate([scores[:, layout.slices[name]] for name in pair], axis=1)
    return layout.estimate(layout.weights(row, baseline), scores)
