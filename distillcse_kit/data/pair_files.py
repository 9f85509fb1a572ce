"""Reading scored pairs from files: the user's own, and the published sets in the layout of SentEval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from distillcse_kit.data.reading import (
    COMPRESSED,
    Row,
    column_positions,
    comma_rows,
    kind_of,
    numbered_lines,
    tab_rows,
)
from distillcse_kit.data.tasks import TASKS, Task, plain_name
from distillcse_kit.errors import KitError

GET_SENTEVAL = (
    "download the sets once where you have a network (hf download princeton-nlp/datasets-for-simcse senteval.tar "
    "--repo-type dataset --local-dir ., then unpack it) and give the folder with --data-dir"
)

_HEADER_WORDS = {
    *("score", "scores", "gold", "gold score", "label", "labels", "rating", "value"),
    *("similarity", "similarity score", "relatedness", "relatedness score"),
}


class ScoredRow(NamedTuple):
    """A pair as it was read: the score is still text; file and line (from 1) say where the score stands."""

    file: Path | str
    line: int
    first: str
    second: str
    score: str

    @property
    def where(self) -> str:
        """File and line, for an error message."""
        return f"{self.file}, line {self.line}"


def is_pairs_file(task: str) -> bool:
    """Whether ``task`` is the path of a file of pairs, and not the name of a known set."""
    if plain_name(task) in {alias for info in TASKS.values() for alias in info.aliases}:
        return False
    path = Path(task).expanduser()
    return "/" in task or path.is_file() or kind_of(path) in _PAIR_READERS or path.suffix.lower() in COMPRESSED


def _pair_csv_rows(path: Path) -> Iterator[Row]:
    """Rows of a .csv file. Some, like those of STS-B, use tabs instead of commas."""
    first = next((text for _, text in numbered_lines(path) if text.strip()), "")
    return tab_rows(path) if "\t" in first else comma_rows(path)


_PAIR_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _pair_csv_rows,
    ".tsv": tab_rows,
    ".txt": tab_rows,
}


def external_rows(path: Path) -> Iterator[ScoredRow]:
    """Pairs of a user's file: the first two columns are the sentences, the last one is the score.

    Raises:
        KitError: the file is missing, of an unknown kind, unreadable or malformed.
    """
    if not path.is_file():
        raise KitError(f"{path}: there is no such file of pairs; check the path.")
    reader = _PAIR_READERS.get(kind_of(path))
    if reader is None:
        raise KitError(
            f"{path}: the kit does not know this kind of file of pairs; its name must end in "
            f"{', '.join(_PAIR_READERS)}, with or without .gz or .xz."
        )
    for number, row in enumerate(reader(path)):
        if number == 0 and row.fields[-1].strip().lower().replace("_", " ") in _HEADER_WORDS:
            continue
        if len(row.fields) < 3:
            separator = "commas" if kind_of(path) == ".csv" else "tabs"
            raise KitError(
                f"{path}, line {row.line}: {len(row.fields)} column(s) instead of three; give two sentences and a "
                f"score, separated by {separator}."
            )
        yield ScoredRow(path, row.line, row.fields[0], row.fields[1], row.fields[-1])


def _subfolders(folder: Path, names: Iterable[str]) -> list[Path]:
    wanted = set(names)
    if not folder.is_dir():
        return []
    return [sub for sub in sorted(folder.iterdir()) if plain_name(sub.name) in wanted and sub.is_dir()]


def _places(data_dir: Path) -> list[Path]:
    below = [data_dir, *_subfolders(data_dir, ["downstream"])]
    return [place for folder in below for place in (folder, *_subfolders(folder, ["sts"]))]


def task_folder(task: Task, split: str, data_dir: Path) -> Path:
    """The folder of a set: the first one that holds all files of the split.

    Raises:
        KitError: ``data_dir`` does not exist, or none of its folders holds all files.
    """
    if not data_dir.is_dir():
        raise KitError(f"{data_dir}: there is no such folder; {GET_SENTEVAL}.")
    files = task.file_names(split)
    places = _places(data_dir)
    named = [folder for place in places for folder in _subfolders(place, task.aliases)]
    # A folder that holds every file of the set is accepted under any name.
    for folder in (*named, data_dir):
        if all((folder / file).is_file() for file in files):
            return folder
    for folder in named or [data_dir] * (plain_name(data_dir.name) in task.aliases):
        missing = [file for file in files if not (folder / file).is_file()]
        raise KitError(f"{folder}: {task.title} {split} lacks {', '.join(missing)}; {GET_SENTEVAL}.")
    raise KitError(
        f"{data_dir}: no folder of {task.title} (named {', '.join(sorted(task.aliases))}, in upper or lower case) was "
        f"found in {', '.join(map(str, places))}; {GET_SENTEVAL}."
    )


def _year_rows(task: Task, split: str, folder: Path) -> Iterator[ScoredRow]:
    for subset in task.subsets:
        yield from _subset_rows(folder / f"STS.input.{subset}.txt", folder / f"STS.gs.{subset}.txt")


def _subset_rows(input_path: Path, gold_path: Path) -> Iterator[ScoredRow]:
    """The scored pairs of one subset: line i of the gold file belongs to line i of the input file."""
    sentences = [text.split("\t") for _, text in numbered_lines(input_path)]
    gold = [text.strip() for _, text in numbered_lines(gold_path)]
    # Editors add blank lines at the end of a file; in the gold file they can also be unscored pairs.
    while sentences and not "".join(sentences[-1]).strip():
        sentences.pop()
    while len(gold) > len(sentences) and not gold[-1]:
        gold.pop()
    if len(sentences) != len(gold):
        raise KitError(
            f"{input_path} has {len(sentences)} lines but {gold_path} has {len(gold)}; every pair needs a line in "
            f"both files (a blank gold line if it has no score), so {GET_SENTEVAL}."
        )
    for number, (columns, score) in enumerate(zip(sentences, gold, strict=True), start=1):
        if not score:
            continue
        if len(columns) < 2 or not (columns[0].strip() and columns[1].strip()):
            raise KitError(f"{input_path}, line {number}: a sentence is missing; give two, separated by a tab.")
        yield ScoredRow(gold_path, number, columns[0], columns[1], score)


def _stsb_rows(task: Task, split: str, folder: Path) -> Iterator[ScoredRow]:
    path = folder / task.files[split]
    for row in tab_rows(path):
        # More than seven are fine: in the official release some rows also name the sources of the sentences.
        if len(row.fields) < 7:
            raise KitError(
                f"{path}, line {row.line}: {len(row.fields)} columns; STS-B has seven, separated by tabs: genre, file, "
                f"year, id, score and two sentences."
            )
        yield ScoredRow(path, row.line, row.fields[5], row.fields[6], row.fields[4])


def _sickr_rows(task: Task, split: str, folder: Path) -> Iterator[ScoredRow]:
    return named_rows(folder / task.files[split], ("sentence_A", "sentence_B", "relatedness_score"))


def named_rows(path: Path, columns: tuple[str, str, str]) -> Iterator[ScoredRow]:
    """Pairs of a tab-separated file whose header names the columns of the two sentences and the score.

    Raises:
        KitError: the header lacks a column, a row is too short, or the file cannot be read.
    """
    rows = tab_rows(path)
    header = next(rows, None)
    if header is None:
        return
    positions = column_positions(header, columns, path)
    for row in rows:
        if len(row.fields) <= max(positions):
            raise KitError(
                f"{path}, line {row.line}: {len(row.fields)} columns, but the header has {len(header.fields)}; "
                f"fix the line."
            )
        yield ScoredRow(path, row.line, *(row.fields[position] for position in positions))


READERS: dict[str, Callable[[Task, str, Path], Iterator[ScoredRow]]] = {
    **{name: _year_rows for name, task in TASKS.items() if task.subsets},
    "stsb": _stsb_rows,
    "sickr": _sickr_rows,
}
