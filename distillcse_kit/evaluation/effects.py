"""Effects by data set: every difference of a whole table, and what holds after a correction for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.shared_teachers import SharedTeachers
from distillcse_kit.evaluation.statistics import LEVEL, Comparison, compare_pairs, holm

Cell = tuple[str, str]  # (row, data set)


@dataclass(frozen=True)
class Effects:
    """The differences of all rows from their baseline, on all data sets.

    The intervals are each cell's own. The p-values ``adjusted`` hold for the whole table: if nothing in it has an
    effect, the chance that any cell is decided is at most 5%. They speak of other seeds (and of other teachers, where
    the comparisons do), with the same test pairs.

    Attributes:
        cells: {(row, data set): comparison}, p-values corrected by Holm for all cells.
    """

    cells: dict[Cell, Comparison]

    @property
    def rows(self) -> list[str]:
        """The rows that are compared, in their order."""
        return list(dict.fromkeys(row for row, _ in self.cells))

    @property
    def datasets(self) -> list[str]:
        """The data sets, in their order."""
        return list(dict.fromkeys(dataset for _, dataset in self.cells))

    @property
    def decided(self) -> list[Cell]:
        """Cells that stay significant at 5% after correction for all cells."""
        return [cell for cell, comparison in self.cells.items() if comparison.decided]

    def statement(self) -> str:
        """One sentence: how many of the differences stay significant after correction, and how many seemed so."""
        found, before = len(self.decided), sum(comparison.p_value < LEVEL for comparison in self.cells.values())
        count = len(self.cells)
        if count == 1:
            return f"The one difference is {'' if found else 'not '}significant (5% level)."
        return (
            f"{found} of {count} differences {'stays' if found == 1 else 'stay'} significant after correction for all "
            f"{count} (5% level, Holm). Tested alone, {before} of them would be significant."
        )

    def lines(self) -> list[str]:
        """The table as text, one cell a line: difference, 95% interval, corrected p-value."""
        rows, sets = (2 + max(map(len, names), default=0) for names in (self.rows, self.datasets))
        return [
            f"{row:<{rows}}{dataset:<{sets}}{one.difference.mean:+.2f} "
            f"[{one.difference.low:+.2f}, {one.difference.high:+.2f}]   {_in_words(one.adjusted)}"
            f"{'' if one.decided else '   (not significant)'}"
            for (row, dataset), one in self.cells.items()
        ]


def _in_words(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def effects(
    table: Mapping[str, Mapping[str, Sequence[float]]], baseline: str, datasets: Sequence[str] | None = None
) -> Effects:
    """Compare all rows of {row: {data set: values over seeds}} with the baseline, paired by seed, on each data set.

    Args:
        table: scores of rows whose students share nothing inside their row; for others take ``effects_by_student``.
        baseline: the row that the others are compared with.
        datasets: which ones; None takes all that the baseline has.

    Raises:
        KitError: the baseline or a data set is not in the table, or rows differ in length.
    """
    if baseline not in table:
        raise KitError(f"There is no row {baseline!r}; choose one of {', '.join(table)}.")
    wanted = list(datasets or table[baseline])
    for row, columns in table.items():
        if missing := [name for name in wanted if name not in columns]:
            raise KitError(f"{row} has no scores on {missing[0]}; score it there, or leave that data set out.")
    rows = [row for row in table if row != baseline]
    return Effects(
        compare_pairs({(row, name): (table[row][name], table[baseline][name]) for row in rows for name in wanted})
    )


def effects_by_student(tables: Mapping[str, SharedTeachers], baseline: str) -> Effects:
    """The same for students that share teachers: {data set: its table of rows}.

    Raises:
        KitError: as ``SharedTeachers.difference``.
    """
    found = {name: table.compare(baseline) for name, table in tables.items()}
    rows = list(dict.fromkeys(row for compared in found.values() for row in compared))
    cells = {(row, name): found[name][row] for row in rows for name in found if row in found[name]}
    adjusted = holm([one.p_value for one in cells.values()])
    return Effects({cell: replace(one, adjusted=p) for (cell, one), p in zip(cells.items(), adjusted, strict=True)})
