"""Scored sentence pairs: STS12-16, STS-B and SICK-R, the kit's own sets, and the user's files.

A year of STS is one set ("all"): its subsets are put together in a fixed order, and one Spearman is taken over them.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from distillcse_kit.data.pairs import SentencePairs
from distillcse_kit.data.reading import (
    COMPRESSED,
    Row,
    column_positions,
    comma_rows,
    kind_of,
    load_hub,
    numbered_lines,
    tab_rows,
)
from distillcse_kit.errors import KitError

_GET_SENTEVAL = (
    "get the sets once where there is a network (hf download princeton-nlp/datasets-for-simcse senteval.tar "
    "--repo-type dataset --local-dir ., then unpack it) and give the folder with --data-dir"
)
_SPLIT_NAMES = {"valid": "dev", "validation": "dev", "trial": "dev"}
_HUB_SPLITS = {"dev": "validation"}
_HEADER_WORDS = {
    *("score", "scores", "gold", "gold score", "label", "labels", "rating", "value"),
    *("similarity", "similarity score", "relatedness", "relatedness score"),
}
_MTEB_SICKR_PAIRS = 9_927


@dataclass(frozen=True)
class Task:
    """One set of scored pairs.

    Attributes:
        name: the canonical name, such as ``sts12``.
        title: as it is written in papers.
        counts: the number of scored pairs of each split that there is; None where it is not fixed.
        aliases: other names of the set and of its folder, in lower case and without punctuation.
        hub: its name on the Hugging Face hub; None for what ships with the kit.
        subsets: of a year of STS, the number of scored pairs of each subset, in SentEval's order.
        files: of the other sets, the file of each split.
    """

    name: str
    title: str
    counts: Mapping[str, int | None]
    aliases: frozenset[str]
    hub: str | None = None
    subsets: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def file_names(self, split: str) -> list[str]:
        """The files that hold a split."""
        if self.subsets:
            return [f"STS.{part}.{subset}.txt" for subset in self.subsets for part in ("input", "gs")]
        return [self.files[split]]


def _year(year: int, subsets: Mapping[str, int]) -> Task:
    name = f"sts{year}"
    return Task(
        name,
        name.upper(),
        {"test": sum(subsets.values())},
        frozenset({name, f"sts20{year}", f"{name}entest"}),
        hub=f"mteb/{name}-sts",
        subsets=subsets,
    )


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _year(12, {"MSRpar": 750, "MSRvid": 750, "SMTeuroparl": 459, "surprise.OnWN": 750, "surprise.SMTnews": 399}),
        _year(13, {"FNWN": 189, "headlines": 750, "OnWN": 561}),
        _year(
            14,
            {"deft-forum": 450, "deft-news": 300, "headlines": 750, "images": 750, "OnWN": 750, "tweet-news": 750},
        ),
        _year(
            15,
            {"answers-forums": 375, "answers-students": 750, "belief": 375, "headlines": 750, "images": 750},
        ),
        _year(
            16,
            {"answer-answer": 254, "headlines": 249, "plagiarism": 230, "postediting": 244, "question-question": 209},
        ),
        Task(
            "stsb",
            "STS-B",
            {"train": 5749, "dev": 1500, "test": 1379},
            frozenset({"stsb", "stsbenchmark", "stsbench"}),
            hub="mteb/stsbenchmark-sts",
            files={"train": "sts-train.csv", "dev": "sts-dev.csv", "test": "sts-test.csv"},
        ),
        Task(
            "sickr",
            "SICK-R",
            {"train": 4500, "dev": 500, "test": 4927},
            frozenset({"sickr", "sick", "sickrelatedness"}),
            hub="mteb/sickr-sts",
            files={"train": "SICK_train.txt", "dev": "SICK_trial.txt", "test": "SICK_test_annotated.txt"},
        ),
        Task("builtin", "built-in pairs", {"dev": None, "test": None}, frozenset({"builtin", "builtinpairs"})),
        Task("kit", "kit pairs", {"test": None}, frozenset({"kit", "kitpairs"})),
    )
}


class _Scored(NamedTuple):
    """A pair as read, the score still text, with the file and the line (from 1) of its score."""

    file: Path | str
    line: int
    first: str
    second: str
    score: str

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.line}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def canonical_task(name: str) -> str:
    """The name in ``TASKS`` of a set that may be written in another way: ``STS12``, ``STSBenchmark``, ``SICK-R``.

    Raises:
        KitError: there is no such set.
    """
    for task in TASKS.values():
        if _plain(name) in task.aliases:
            return task.name
    raise KitError(f"{name}: there is no such set of pairs; choose among {', '.join(TASKS)}, or give a file of pairs.")


def load_sts(
    task: str | Path,
    data_dir: str | Path | None = None,
    split: str = "test",
    check_counts: bool = True,
) -> SentencePairs:
    """Load the scored pairs of a set, or of a file of one's own.

    Args:
        task: a name of ``TASKS``, in any of its spellings; or the path of a file of pairs (.csv with commas and quoted
            fields, .tsv or .txt with tabs; also .gz and .xz): the first two columns are the sentences, the last is the
            score, on any scale; a first line whose last field is a word such as ``score`` is skipped.
        data_dir: a folder in the layout of SentEval, searched for the set's folder (``sts14``, ``STS14-en-test``,
            ``STSBenchmark``, ``SICK`` and so on, in any case) in itself, in ``sts`` and in ``downstream`` with its
            ``sts``; or the set's folder itself. Without it the pairs come from the hub. What ships with the kit and
            files of pairs need neither.
        split: ``train``, ``dev`` or ``test``; the years of STS and the kit's pairs only have ``test``.
        check_counts: whether another number of pairs than the published one is an error.

    Returns:
        The pairs that have a score. Of a year of STS, those of all subsets; blank gold lines are unscored pairs and
        are left out.

    Raises:
        KitError: the set, a folder, a file, a score or a sentence is missing or malformed, or the number is wrong.
    """
    if isinstance(task, Path) or _is_pairs_file(task):
        return _pairs(Path(task).name, _external_rows(Path(task).expanduser()), math.inf, str(task))
    info = TASKS[canonical_task(task)]
    split = _SPLIT_NAMES.get(split.lower(), split.lower())
    if split not in info.counts:
        raise KitError(f"{info.title} has no split {split}; choose {' or '.join(info.counts)}.")
    if info.name == "builtin":
        from distillcse_kit.data.builtin import builtin_pairs

        return builtin_pairs(split)
    name = f"{info.name}-{split}"
    if info.name == "kit":
        with resources.as_file(resources.files("distillcse_kit.data") / "kit_pairs.tsv") as path:
            return _pairs(name, _named_rows(path, ("first", "second", "score")), 5.0, str(path))
    if data_dir is None:
        return _from_hub(info, split, check_counts)
    folder = _task_folder(info, split, Path(data_dir).expanduser())
    scored = list(_READERS[info.name](info, split, folder))
    if check_counts:
        _check_count(info, split, folder, scored)
    return _pairs(name, scored, 5.0, str(folder))


def available_tasks(data_dir: str | Path) -> list[str]:
    """The names of the real test sets whose files are all in the folder, in the paper's order.

    Raises:
        KitError: there is no such folder, or none of the sets in it.
    """
    folder = Path(data_dir).expanduser()
    found = []
    problem: KitError | None = None
    for task in TASKS.values():
        if task.name in ("builtin", "kit"):
            continue
        try:
            _task_folder(task, "test", folder)
        except KitError as error:
            problem = error
        else:
            found.append(task.name)
    if not found and problem is not None:
        raise problem
    return found


def _pairs(name: str, scored: Iterable[_Scored], highest: float, origin: str) -> SentencePairs:
    rows = list(scored)
    if not rows:
        raise KitError(f"{origin}: no scored pair in it; check that the file is whole.")
    first = [_sentence(row, row.first) for row in rows]
    second = [_sentence(row, row.second) for row in rows]
    return SentencePairs(name, first, second, [_number(row, highest) for row in rows])


def _number(row: _Scored, highest: float) -> float:
    text = row.score.strip()
    if not text:
        raise KitError(f"{row.where}: the score is missing; give a number.")
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise KitError(f"{row.where}: the score is {text[:40]}, not a number; give a number.")
    if math.isfinite(highest) and not 0 <= score <= highest:
        raise KitError(f"{row.where}: the score is {text}, outside 0 to {highest:g}; check the line's columns.")
    return score


def _sentence(row: _Scored, text: str) -> str:
    if not text.strip():
        raise KitError(f"{row.where}: a sentence of the pair is missing; give two sentences.")
    return text.strip()


# -- files of the user


def _is_pairs_file(task: str) -> bool:
    if _plain(task) in {alias for info in TASKS.values() for alias in info.aliases}:
        return False
    path = Path(task).expanduser()
    return "/" in task or path.is_file() or kind_of(path) in _PAIR_READERS or path.suffix.lower() in COMPRESSED


def _pair_csv_rows(path: Path) -> Iterator[Row]:
    """Rows of a .csv, which as in STS-B may in truth be separated by tabs."""
    first = next((text for _, text in numbered_lines(path) if text.strip()), "")
    return tab_rows(path) if "\t" in first else comma_rows(path)


_PAIR_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _pair_csv_rows,
    ".tsv": tab_rows,
    ".txt": tab_rows,
}


def _external_rows(path: Path) -> Iterator[_Scored]:
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
        yield _Scored(path, row.line, row.fields[0], row.fields[1], row.fields[-1])


# -- the folders of the known sets


def _subfolders(folder: Path, names: Iterable[str]) -> list[Path]:
    wanted = set(names)
    if not folder.is_dir():
        return []
    return [sub for sub in sorted(folder.iterdir()) if _plain(sub.name) in wanted and sub.is_dir()]


def _places(data_dir: Path) -> list[Path]:
    below = [data_dir, *_subfolders(data_dir, ["downstream"])]
    return [place for folder in below for place in (folder, *_subfolders(folder, ["sts"]))]


def _task_folder(task: Task, split: str, data_dir: Path) -> Path:
    """The folder that holds the set: the first one whose files are all there."""
    if not data_dir.is_dir():
        raise KitError(f"{data_dir}: there is no such folder; {_GET_SENTEVAL}.")
    files = task.file_names(split)
    places = _places(data_dir)
    named = [folder for place in places for folder in _subfolders(place, task.aliases)]
    # a folder that holds every file of the set is that set, whatever it is called
    for folder in (*named, data_dir):
        if all((folder / file).is_file() for file in files):
            return folder
    for folder in named or [data_dir] * (_plain(data_dir.name) in task.aliases):
        missing = [file for file in files if not (folder / file).is_file()]
        raise KitError(f"{folder}: {task.title} {split} lacks {', '.join(missing)}; {_GET_SENTEVAL}.")
    raise KitError(
        f"{data_dir}: no folder of {task.title} ({', '.join(sorted(task.aliases))}, in any case) was found in "
        f"{', '.join(map(str, places))}; {_GET_SENTEVAL}."
    )


def _year_rows(task: Task, split: str, folder: Path) -> Iterator[_Scored]:
    for subset in task.subsets:
        yield from _subset_rows(folder / f"STS.input.{subset}.txt", folder / f"STS.gs.{subset}.txt")


def _subset_rows(input_path: Path, gold_path: Path) -> Iterator[_Scored]:
    """The scored pairs of one subset: line i of the gold file belongs to line i of the input file."""
    sentences = [text.split("\t") for _, text in numbered_lines(input_path)]
    gold = [text.strip() for _, text in numbered_lines(gold_path)]
    # blank lines at the very end are an editor's, unless the gold file has them for pairs
    while sentences and not "".join(sentences[-1]).strip():
        sentences.pop()
    while len(gold) > len(sentences) and not gold[-1]:
        gold.pop()
    if len(sentences) != len(gold):
        raise KitError(
            f"{input_path} has {len(sentences)} lines but {gold_path} has {len(gold)}; every pair needs its line in "
            f"both (a blank one for an unscored pair), so {_GET_SENTEVAL}."
        )
    for number, (columns, score) in enumerate(zip(sentences, gold, strict=True), start=1):
        if not score:
            continue
        if len(columns) < 2 or not (columns[0].strip() and columns[1].strip()):
            raise KitError(f"{input_path}, line {number}: a sentence is missing; give two, separated by a tab.")
        yield _Scored(gold_path, number, columns[0], columns[1], score)


def _stsb_rows(task: Task, split: str, folder: Path) -> Iterator[_Scored]:
    path = folder / task.files[split]
    for row in tab_rows(path):
        # more than seven is fine: some rows of the official release go on with the sources of the sentences
        if len(row.fields) < 7:
            raise KitError(
                f"{path}, line {row.line}: {len(row.fields)} columns; STS-B has seven, separated by tabs: genre, file, "
                f"year, id, score and two sentences."
            )
        yield _Scored(path, row.line, row.fields[5], row.fields[6], row.fields[4])


def _sickr_rows(task: Task, split: str, folder: Path) -> Iterator[_Scored]:
    return _named_rows(folder / task.files[split], ("sentence_A", "sentence_B", "relatedness_score"))


def _named_rows(path: Path, columns: tuple[str, str, str]) -> Iterator[_Scored]:
    """Pairs of a tab separated file whose header names the two sentences and the score."""
    rows = tab_rows(path)
    header = next(rows, None)
    if header is None:
        return
    positions = column_positions(header, columns, path)
    for row in rows:
        if len(row.fields) <= max(positions):
            raise KitError(
                f"{path}, line {row.line}: {len(row.fields)} columns, but the header has {len(header.fields)}; "
                f"mend the line."
            )
        yield _Scored(path, row.line, *(row.fields[position] for position in positions))


_READERS: dict[str, Callable[[Task, str, Path], Iterator[_Scored]]] = {
    **{name: _year_rows for name, task in TASKS.items() if task.subsets},
    "stsb": _stsb_rows,
    "sickr": _sickr_rows,
}


def _check_count(task: Task, split: str, folder: Path, scored: list[_Scored]) -> None:
    if len(scored) == task.counts[split]:
        return
    found = Counter(Path(row.file).name for row in scored)
    expected: dict[str, int | None] = {f"STS.gs.{subset}.txt": count for subset, count in task.subsets.items()}
    if not expected:
        expected = {task.files[split]: task.counts[split]}
    wrong = "; ".join(
        f"{file} has {found[file]} of {count}" for file, count in expected.items() if found[file] != count
    )
    raise KitError(
        f"{folder}: {task.title} {split} has {len(scored)} scored pairs instead of {task.counts[split]} ({wrong}), so "
        f"this is not the published set; {_GET_SENTEVAL}."
    )


# -- the hub


def _from_hub(task: Task, split: str, check_counts: bool) -> SentencePairs:
    hub = str(task.hub)
    if task.name == "sickr" and split != "test":
        raise KitError(f"{hub} does not keep the splits of SICK-R apart, so {split} is not there; {_GET_SENTEVAL}.")
    dataset = load_hub(hub, _HUB_SPLITS.get(split, split), _GET_SENTEVAL)
    columns = ("sentence1", "sentence2", "score")
    missing = [column for column in columns if column not in dataset.column_names]
    if missing:
        found = ", ".join(dataset.column_names)
        raise KitError(f"{hub}: no column {' or '.join(missing)} among {found}; {_GET_SENTEVAL}.")
    scored = [
        _Scored(f"{hub} ({split})", number, *(_text(row[column]) for column in columns))
        for number, row in enumerate(dataset.select_columns(list(columns)), start=1)
    ]
    expected = task.counts[split]
    if task.name == "sickr" and len(scored) == _MTEB_SICKR_PAIRS:
        warnings.warn(
            f"{hub} holds {_MTEB_SICKR_PAIRS:,} pairs, SICK's train, dev and test together: its score is mteb's, not "
            f"that of the papers, which is over the {expected:,} test pairs; for theirs, {_GET_SENTEVAL}.",
            stacklevel=3,
        )
    elif check_counts and len(scored) != expected:
        raise KitError(f"{hub}: {len(scored)} pairs in {split} instead of {expected}; {_GET_SENTEVAL}.")
    return _pairs(f"{task.name}-{split}", scored, 5.0, hub)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
