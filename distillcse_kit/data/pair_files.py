"""Finding the published sets of scored pairs in a folder, and reading them in the layout of SentEval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from distillcse_kit.data.column_tables import is_saved
from distillcse_kit.data.reading import column_positions, kind_of, numbered_lines, tab_rows
from distillcse_kit.data.split_files import split_in
from distillcse_kit.data.tasks import PUBLISHED, TASKS, Task, plain_name
from distillcse_kit.errors import KitError

GET_SENTEVAL = (
    "download the sets once where you have a network (hf download princeton-nlp/datasets-for-simcse senteval.tar "
    "--repo-type dataset --local-dir ., then unpack it) and give the folder with --data-dir"
)

_CONTAINERS = ("sts", "downstream", "data", "senteval", "mteb")  # folders in which the sets' folders lie


class ScoredRow(NamedTuple):
    """A pair as it was read: the score is still text; file and place (such as ``line 3``) say where it stands."""

    file: Path | str
    place: str
    first: str
    second: str
    score: str

    @property
    def where(self) -> str:
        """File and place, for an error message."""
        return f"{self.file}, {self.place}"


def _subfolders(folder: Path, names: Iterable[str]) -> list[Path]:
    wanted = set(names)
    if not folder.is_dir():
        return []
    return [sub for sub in sorted(folder.iterdir()) if plain_name(sub.name) in wanted and sub.is_dir()]


def _places(folder: Path, depth: int = 5) -> Iterator[Path]:
    """The folder, and below it those in which SimCSE and SentEval keep the sets: SentEval/data/downstream/STS."""
    yield folder
    for name in _CONTAINERS if depth else ():
        for sub in _subfolders(folder, [name]):
            yield from _places(sub, depth - 1)


def _all_places(data_dir: Path) -> list[Path]:
    places = list(_places(data_dir))
    above = data_dir.absolute().parent
    # SentEval keeps SICK beside its folder STS.
    beside_sick = plain_name(data_dir.absolute().name) == "sts" and plain_name(above.name) == "downstream"
    return [*places, above] if beside_sick else places


def in_senteval_layout(task: Task, split: str, folder: Path) -> bool:
    """Whether the folder holds every file of the split, as SentEval names them."""
    return all((folder / file).is_file() for file in task.file_names(split))


def _named_folders(task: Task, data_dir: Path) -> list[Path]:
    return [folder for place in _all_places(data_dir) for folder in _subfolders(place, task.aliases)]


def _find(task: Task, split: str, data_dir: Path) -> Path | None:
    # A folder that holds every file of the set is accepted under any name.
    folders = [*_named_folders(task, data_dir), data_dir]
    found = (folder for folder in folders if in_senteval_layout(task, split, folder))
    named = (folder for folder in folders if plain_name(folder.absolute().name) in task.aliases)
    return next(found, None) or next((folder for folder in named if _is_copy(folder, split)), None)


def _is_copy(folder: Path, split: str) -> bool:
    """Whether the folder is a copy of a set on the hub, and has the split."""
    files = split_in(folder, split)
    return is_saved(folder) or bool(files and kind_of(files[0]) in (".json", ".jsonl", ".parquet", ".arrow"))


def task_folder(task: Task, split: str, data_dir: Path) -> Path:
    """The folder of a set: the first one that holds all files of the split, or else a copy of the set on the hub.

    Raises:
        KitError: ``data_dir`` does not exist, or none of its folders holds all files.
    """
    if not data_dir.is_dir():
        raise KitError(f"{data_dir}: there is no such folder; {GET_SENTEVAL}.")
    folder = _find(task, split, data_dir)
    if folder is not None:
        return folder
    named = _named_folders(task, data_dir) or [data_dir] * (plain_name(data_dir.absolute().name) in task.aliases)
    if named:
        missing = [file for file in task.file_names(split) if not (named[0] / file).is_file()]
        raise KitError(f"{named[0]}: {task.title} {split} lacks {', '.join(missing)}; {GET_SENTEVAL}.")
    held = [other for other in PUBLISHED if any(_find(other, part, data_dir) for part in other.counts)]
    if held:
        raise KitError(
            f"{data_dir} holds {', '.join(other.title for other in held)}, but no folder of {task.title} (named "
            f"{', '.join(sorted(task.aliases))}, in upper or lower case); {GET_SENTEVAL}."
        )
    raise _none_held(data_dir)


def available_sets(data_dir: Path) -> list[Task]:
    """The published sets whose test split the folder holds completely, in the paper's order.

    Raises:
        KitError: the folder does not exist, or holds none of the sets.
    """
    if not data_dir.is_dir():
        raise KitError(f"{data_dir}: there is no such folder; {GET_SENTEVAL}.")
    held = [task for task in PUBLISHED if _find(task, "test", data_dir)]
    if held:
        return held
    for task in PUBLISHED:
        if _named_folders(task, data_dir):
            task_folder(task, "test", data_dir)  # says which files are missing
    raise _none_held(data_dir)


def _none_held(data_dir: Path) -> KitError:
    below = [str(place.relative_to(data_dir)) for place in _places(data_dir) if place != data_dir]
    searched = f"it and {', '.join(below)} were" if below else "it was"
    return KitError(
        f"{data_dir} holds none of the known sets ({', '.join(task.title for task in PUBLISHED)}): {searched} searched "
        f"for folders such as STS12-en-test, STSBenchmark and SICK; if the folder holds only sentences, give it as "
        f"corpus (--corpus of teach, distill, sweep and course), or else {GET_SENTEVAL}."
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
        yield ScoredRow(gold_path, f"line {number}", columns[0], columns[1], score)


def _stsb_rows(task: Task, split: str, folder: Path) -> Iterator[ScoredRow]:
    path = folder / task.files[split]
    for row in tab_rows(path):
        # More than seven are fine: in the official release some rows also name the sources of the sentences.
        if len(row.fields) < 7:
            raise KitError(
                f"{path}, line {row.line}: {len(row.fields)} columns; STS-B has seven, separated by tabs: genre, file, "
                f"year, id, score and two sentences."
            )
        yield ScoredRow(path, f"line {row.line}", row.fields[5], row.fields[6], row.fields[4])


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
        yield ScoredRow(path, f"line {row.line}", *(row.fields[position] for position in positions))


READERS: dict[str, Callable[[Task, str, Path], Iterator[ScoredRow]]] = {
    **{name: _year_rows for name, task in TASKS.items() if task.subsets},
    "stsb": _stsb_rows,
    "sickr": _sickr_rows,
}
