"""Scored sentence pairs: STS12 to STS16, STS-B and SICK-R, the kit's own sets, and the user's files.

A year of STS is one set: its subsets are joined in a fixed order and scored together (the setting "all" in papers).
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillcse_kit.data.column_tables import dataset_table, has_splits, is_dataset, one_split
from distillcse_kit.data.own_pairs import is_pairs_file, own_rows, table_pairs
from distillcse_kit.data.pair_files import (
    GET_SENTEVAL,
    READERS,
    ScoredRow,
    available_sets,
    in_senteval_layout,
    named_rows,
    task_folder,
)
from distillcse_kit.data.reading import load_hub
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.data.tasks import TASKS, Task, canonical_task
from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from datasets import Dataset

_SPLIT_NAMES = {"valid": "dev", "validation": "dev", "trial": "dev"}

_HUB_SPLITS = {"dev": "validation"}

_MTEB_SICKR_PAIRS = 9_927


def load_sts(
    task: str | Path | Dataset,
    data_dir: str | Path | None = None,
    split: str = "test",
    check_counts: bool = True,
) -> SentencePairs:
    """Load scored sentence pairs: a published set, one of the kit's own sets, or a file of yours.

    **When to use it.** To score an encoder (see ``evaluate_sts``), or to choose a checkpoint on a dev split:
    ``lab.dev = load_sts("mine.jsonl")``.

    **Sets.** Other spellings of the names work, too, such as ``STS-B`` or ``STSBenchmark``.

    | ``task`` | pairs | splits | scores |
    |---|---|---|---|
    | ``"sts12"`` to ``"sts16"`` | 3,108, 1,500, 3,750, 3,000 and 1,186 | test | 0 to 5 |
    | ``"stsb"`` | 5,749, 1,500 and 1,379 | train, dev, test | 0 to 5 |
    | ``"sickr"`` | 4,500, 500 and 4,927 | train, dev, test | 1 to 5 |
    | ``"kit"`` | 688, written for the kit | test | 0 to 5 |
    | ``"builtin"`` | 1,500 per split, generated | dev, test | 0 to 5 |
    | a file | those of your file | none | any scale |
    | a folder | a data set of yours, as ``save_to_disk`` or the hub lays it out | its own | any scale |
    | a ``Dataset`` | its own; of a ``DatasetDict``, one split | its own | any scale |

    A file of pairs is .csv (commas, quoted fields), .tsv or .txt (tabs), .jsonl or .json (objects), .parquet or .arrow,
    and may be compressed as .gz, .xz, .bz2 or .zst. Columns are found by their usual names, such as ``sentence1``,
    ``sentence2`` and ``score``; of three columns, one of them a score, the other two are the sentences. In .csv, .tsv
    and .txt without such names, the first two columns are the sentences, and the last one is the score; a header line
    is skipped if its last field is a word such as ``score``.

    Args:
        task: see the table.
        data_dir: a folder in the layout of SentEval. The set's folder (``sts14``, ``STS14-en-test``, ``STSBenchmark``,
            ``SICK`` and so on, in upper or lower case) is looked for in it, and in any of its subfolders ``SentEval``,
            ``data``, ``downstream``, ``sts`` and ``mteb``, which may be nested. So a checkout of SimCSE will do. It may
            also be the set's folder itself, or a copy of the set on the hub (``mteb/sts14-sts``). With None, the
            published sets come from the hub; the kit's sets and your data need neither.
        split: ``train``, ``dev`` or ``test``.
        check_counts: raise an error if the number of pairs is not the published one.

    Returns:
        All pairs that have a score. A blank gold line in a year of STS is a pair without a score, which is left out.

    Raises:
        KitError: the set, a folder, a file, a score or a sentence is missing or malformed, or the number is wrong.

    Reference:
        Table 4 of the paper scores on the seven published test sets, by the protocol of SimCSE and SentEval.

    Example:
        >>> from distillcse_kit.data.sts import load_sts
        >>> pairs = load_sts("kit")
        >>> len(pairs)
        688
        >>> pairs.first[2], pairs.second[2], pairs.score[2]
        ('A jogger pauses to tie her laces.', 'A woman out running has stopped to do up her shoe.', 4.5)
    """
    split = _SPLIT_NAMES.get(split.lower(), split.lower())
    if not isinstance(task, (str, Path)):
        return _given_pairs(task, split)
    if isinstance(task, Path) or is_pairs_file(task):
        path = Path(task).expanduser()
        name = f"{path.name}-{split}" if path.is_dir() and has_splits(path) else path.name
        return _pairs(name, own_rows(path, split), math.inf, str(task))
    info = TASKS[canonical_task(task)]
    if split not in info.counts:
        raise KitError(f"{info.title} has no split {split}; choose {' or '.join(info.counts)}.")
    if info.name == "builtin":
        from distillcse_kit.data.builtin.generator import builtin_pairs

        return builtin_pairs(split)
    name = f"{info.name}-{split}"
    if info.name == "kit":
        with resources.as_file(resources.files("distillcse_kit.data") / "kit_pairs.tsv") as path:
            return _pairs(name, named_rows(path, ("first", "second", "score")), 5.0, str(path))
    if data_dir is None:
        return _hub_pairs(info, split, check_counts, str(info.hub), _hub_rows(info, split))
    folder = task_folder(info, split, Path(data_dir).expanduser())
    if not in_senteval_layout(info, split, folder):
        return _hub_pairs(info, split, check_counts, str(folder), own_rows(folder, split))
    scored = list(READERS[info.name](info, split, folder))
    if check_counts:
        _check_count(info, split, folder, scored)
    return _pairs(name, scored, 5.0, str(folder))


def available_tasks(data_dir: str | Path) -> list[str]:
    """Names of the published test sets that the folder holds completely, in the paper's order.

    Raises:
        KitError: the folder does not exist, or holds none of the sets.
    """
    return [task.name for task in available_sets(Path(data_dir).expanduser())]


def _given_pairs(source: Any, split: str) -> SentencePairs:
    """Pairs of a data set in memory, named after it."""
    origin = f"The {type(source).__name__} given as pairs"
    if not is_dataset(source):
        raise KitError(f"{origin} is neither the name of a set, nor a path, nor a Dataset; give one of these.")
    dataset = one_split(source, split, origin)
    known = [str(part) for part in (dataset.info.dataset_name, dataset.split) if part]
    return _pairs("-".join(known) or "pairs", table_pairs(dataset_table(dataset, origin)), math.inf, origin)


def _pairs(name: str, scored: Iterable[ScoredRow], highest: float, origin: str) -> SentencePairs:
    rows = list(scored)
    if not rows:
        raise KitError(f"{origin}: no scored pair in it; check that the file is complete.")
    first = [_sentence(row, row.first) for row in rows]
    second = [_sentence(row, row.second) for row in rows]
    return SentencePairs(name, first, second, [_number(row, highest) for row in rows])


def _number(row: ScoredRow, highest: float) -> float:
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


def _sentence(row: ScoredRow, text: str) -> str:
    if not text.strip():
        raise KitError(f"{row.where}: a sentence of the pair is missing; give two sentences.")
    return text.strip()


def _check_count(task: Task, split: str, folder: Path, scored: list[ScoredRow]) -> None:
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
        f"this is not the published set; {GET_SENTEVAL}."
    )


def _hub_rows(task: Task, split: str) -> Iterator[ScoredRow]:
    hub = str(task.hub)
    dataset = load_hub(hub, _HUB_SPLITS.get(split, split), GET_SENTEVAL)
    missing = [column for column in ("sentence1", "sentence2", "score") if column not in dataset.column_names]
    if missing:
        found = ", ".join(dataset.column_names)
        raise KitError(f"{hub}: no column {' or '.join(missing)} among {found}; {GET_SENTEVAL}.")
    yield from table_pairs(dataset_table(dataset, f"{hub} ({split})"))


def _hub_pairs(task: Task, split: str, check_counts: bool, origin: str, rows: Iterable[ScoredRow]) -> SentencePairs:
    """Pairs of a set as the hub has it: there, or in a local copy."""
    if task.name == "sickr" and split != "test":
        raise KitError(f"{origin} does not keep the splits of SICK-R apart, so it has no {split}; {GET_SENTEVAL}.")
    scored, expected = list(rows), task.counts[split]
    if task.name == "sickr" and len(scored) == _MTEB_SICKR_PAIRS:
        warnings.warn(
            f"{origin} holds {_MTEB_SICKR_PAIRS:,} pairs: SICK's train, dev and test splits together. A score on them "
            f"compares with mteb's, not with the papers', which use only the {expected:,} test pairs; for those, "
            f"{GET_SENTEVAL}.",
            stacklevel=3,
        )
    elif check_counts and len(scored) != expected:
        raise KitError(f"{origin}: {len(scored)} pairs in {split} instead of {expected}; {GET_SENTEVAL}.")
    return _pairs(f"{task.name}-{split}", scored, 5.0, origin)
