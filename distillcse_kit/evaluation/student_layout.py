"""Which students share a teacher or a draw, and what that does to the variance of a mean of their scores."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from distillcse_kit.errors import KitError

PARTS = ("teacher", "teacher by number", "teacher by row", "draw", "rest")
SMALL = 1e-8  # of the largest eigenvalue: below this, parts are the same up to rounding


class Student(NamedTuple):
    """Whom a student learns from, and the seed that its own training draws from.

    Attributes:
        teachers: the numbers or names of its teachers, whose mean it learns from.
        draw: its seed. Students with the same seed see the same order of data and the same dropout.
    """

    teachers: tuple[int | str, ...]
    draw: int


@dataclass(frozen=True)
class Estimates:
    """A weighted sum of scores, for any number of tables at once; all arrays have the tables' shape [...].

    Attributes:
        value: the weighted sum.
        variance: of that sum, estimated, not below 0.
        freedom: degrees of freedom of the variance, by Satterthwaite; nan where the variance is 0.
    """

    value: np.ndarray
    variance: np.ndarray
    freedom: np.ndarray


class Layout:
    """The students of a table, row by row, and the parts of their scores' variance.

    The score of student i in row r, with M teachers T_i and draw s_i, is

        y_ri = mu_r + 1/M sum_{t in T_i} (a_t + a'_tM + a''_tr) + b_{s_i} + e_ri

    a: what a teacher does to all its students. a': what it does to students of as many teachers, a'': to those of one
    row only. b: what a draw does in all rows. e: the rest. All effects are independent with mean 0. So the teachers of
    a set add up: their part of the variance is that of one teacher / M.

    The variances are estimated from quadratic forms, unbiased and without iteration (MINQUE with equal weights: Rao,
    1971, Journal of Multivariate Analysis 1). statsmodels' ``MixedLM`` fits such models too, but knows no degrees of
    freedom. With 1.96 standard errors instead, 95% intervals hold the truth in as few as 92% of simulated tables.

    Args:
        rows: {row: its students}.

    Raises:
        KitError: no row, a row without students, a student without teachers, or the same student twice in a row.
    """

    def __init__(self, rows: Mapping[str, Sequence[Student]]) -> None:
        if not rows:
            raise KitError("There is no row; give at least one with its students.")
        for row, students in rows.items():
            if not students or not all(student.teachers for student in students):
                raise KitError(f"{row} has no student, or one without a teacher; name the teachers of each student.")
            if len({(frozenset(student.teachers), student.draw) for student in students}) < len(students):
                raise KitError(f"{row} has the same student twice; give each pair of teachers and draw once.")
        self.rows = {row: list(students) for row, students in rows.items()}
        ends = np.cumsum([0, *map(len, rows.values())]).tolist()
        self.slices = {row: slice(*span) for row, span in zip(rows, pairwise(ends), strict=True)}
        students = list(chain(*rows.values()))
        self.parts = _parts(students, [row for row, members in rows.items() for _ in members])
        self._forms, self._system = _quadratic_forms(np.stack(list(self.parts.values())), _same_row(self.slices))
        self._inverse = np.linalg.pinv(self._system, rcond=SMALL, hermitian=True)

    def weights(self, row: str, baseline: str | None = None) -> np.ndarray:
        """Weights [N] whose sum with the scores is the mean of ``row``, or its difference from that of ``baseline``."""
        found = np.zeros(len(self._forms[0]))
        for name, sign in ((row, 1), (baseline, -1)):
            if name is not None:
                part = self.slices[name]
                found[part] += sign / (part.stop - part.start)
        return found

    def variances(self, scores: np.ndarray) -> np.ndarray:
        """Unbiased estimates of the five parts' variances, in the order of ``PARTS``: scores [..., N] -> [..., 5].

        Chance can make one negative. Parts that this layout cannot tell apart share what belongs to them together.
        """
        # The forms take the rows' means out as well. Doing it first loses no digits where all scores are much alike.
        centred = np.array(scores, dtype=np.float64)
        for part in self.slices.values():
            centred[..., part] -= centred[..., part].mean(axis=-1, keepdims=True)
        squares = [((centred @ form) * centred).sum(axis=-1) for form in self._forms]
        return np.stack(squares, axis=-1) @ self._inverse

    def estimate(self, weights: np.ndarray, scores: np.ndarray) -> Estimates:
        """The weighted sum of scores [..., N] with its variance and degrees of freedom.

        The variance is sum_k c_k max(v_k, 0), where v_k is the estimated variance of part k, c_k = w' V_k w, and V_k
        are the covariances of the scores if part k alone has variance 1.

        Raises:
            KitError: the layout cannot show the variance.
        """
        covariances = list(self.parts.values())
        share = np.array([weights @ part @ weights for part in covariances])
        solved = self._inverse @ share
        if np.abs(self._system @ solved - share).max() > 1e-6 * share.max():
            raise KitError(
                "These rows cannot show how much the teachers matter; "
                "add rows with several sets of teachers and several students each."
            )
        form = np.tensordot(solved, self._forms, axes=1)
        products = [form @ part for part in covariances]
        once = np.array([np.trace(product) for product in products])
        twice = np.array([[(one * other.T).sum() for other in products] for one in products])
        found = self.variances(scores).clip(min=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            freedom = (found @ once) ** 2 / ((found @ twice) * found).sum(axis=-1)
        return Estimates(scores @ weights, found @ share, freedom)


def enough_alone(*rows: Collection[Student]) -> bool:
    """Whether rows need no others for their interval: they have the same students, two or more, who share nothing.

    Then their differences by student are independent, and a paired t interval is exact; so is that of one row's mean.
    """
    first, *others = (set(row) for row in rows)
    teachers = [teacher for student in first for teacher in student.teachers]
    apart = len(set(teachers)) == len(teachers) and len({student.draw for student in first}) == len(first)
    return apart and len(first) > 1 and all(other == first for other in others)


def _parts(students: list[Student], row: list[str]) -> dict[str, np.ndarray]:
    """{part: covariance [N, N] of the scores if this part alone has variance 1}."""
    teachers = sorted(set(chain(*(student.teachers for student in students))), key=repr)
    member = np.array(
        [[(t in student.teachers) / len(set(student.teachers)) for t in teachers] for student in students]
    )
    shared = member @ member.T
    return dict(
        zip(
            PARTS,
            (
                shared,
                shared * _equal([len(set(student.teachers)) for student in students]),
                shared * _equal(row),
                _equal([student.draw for student in students]),
                np.eye(len(students)),
            ),
            strict=True,
        )
    )


def _equal(labels: Sequence[Hashable]) -> np.ndarray:
    _, numbers = np.unique(np.array(labels), return_inverse=True)
    return (numbers[:, None] == numbers[None]).astype(np.float64)


def _same_row(slices: Mapping[str, slice]) -> np.ndarray:
    """Indicators of the rows, [N, rows]."""
    return np.concatenate(
        [np.eye(len(slices))[[number] * (part.stop - part.start)] for number, part in enumerate(slices.values())]
    )


def _quadratic_forms(parts: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q V_k Q of each part, [K, N, N], and tr(Q V_k Q V_l), [K, K]. Q takes out the rows' means, weighted by sum V_k.

    y' Q V_k Q y has the expectation sum_l tr(Q V_k Q V_l) v_l, which is a linear system for the variances v.
    """
    inverse = np.linalg.inv(parts.sum(axis=0))
    weighted = inverse @ means
    q = inverse - weighted @ np.linalg.solve(means.T @ weighted, weighted.T)
    forms = q @ parts @ q
    return forms, np.einsum("kij,lij->kl", forms, parts)
