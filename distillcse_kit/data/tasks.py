"""The sets of scored pairs that the kit knows: their names, sizes, files and names on the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from distillcse_kit.errors import KitError


@dataclass(frozen=True)
class Task:
    """One set of scored pairs.

    Attributes:
        name: the canonical name, such as ``sts12``.
        title: the name as papers write it.
        counts: {split: number of scored pairs}; None if the number is not fixed.
        aliases: names of the set and of its folder, in lower case and without punctuation.
        hub: its name on the Hugging Face hub; None for sets that ship with the kit.
        subsets: for a year of STS, {subset: number of scored pairs}, in SentEval's order.
        files: for the other sets, {split: file name}.
    """

    name: str
    title: str
    counts: Mapping[str, int | None]
    aliases: frozenset[str]
    hub: str | None = None
    subsets: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def file_names(self, split: str) -> list[str]:
        """Names of the files that hold a split."""
        if self.subsets:
            return [f"STS.{part}.{subset}.txt" for subset in self.subsets for part in ("input", "gs")]
        return [self.files[split]]


def _year(year: int, subsets: Mapping[str, int]) -> Task:
    name = f"sts{year}"
    return Task(
        name,
        name.upper(),
        {"test": sum(subsets.values())},
        frozenset({name, f"sts20{year}", f"{name}entest", f"{name}sts"}),
        hub=f"mteb/{name}-sts",
        subsets=subsets,
    )


_SUBSETS = {
    12: {"MSRpar": 750, "MSRvid": 750, "SMTeuroparl": 459, "surprise.OnWN": 750, "surprise.SMTnews": 399},
    13: {"FNWN": 189, "headlines": 750, "OnWN": 561},
    14: {"deft-forum": 450, "deft-news": 300, "headlines": 750, "images": 750, "OnWN": 750, "tweet-news": 750},
    15: {"answers-forums": 375, "answers-students": 750, "belief": 375, "headlines": 750, "images": 750},
    16: {"answer-answer": 254, "headlines": 249, "plagiarism": 230, "postediting": 244, "question-question": 209},
}

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *(_year(year, subsets) for year, subsets in _SUBSETS.items()),
        Task(
            "stsb",
            "STS-B",
            {"train": 5749, "dev": 1500, "test": 1379},
            frozenset({"stsb", "stsbenchmark", "stsbench", "stsbenchmarksts"}),
            hub="mteb/stsbenchmark-sts",
            files={"train": "sts-train.csv", "dev": "sts-dev.csv", "test": "sts-test.csv"},
        ),
        Task(
            "sickr",
            "SICK-R",
            {"train": 4500, "dev": 500, "test": 4927},
            frozenset({"sickr", "sick", "sickrelatedness", "sickrsts"}),
            hub="mteb/sickr-sts",
            files={"train": "SICK_train.txt", "dev": "SICK_trial.txt", "test": "SICK_test_annotated.txt"},
        ),
        Task("builtin", "built-in pairs", {"dev": None, "test": None}, frozenset({"builtin", "builtinpairs"})),
        Task("kit", "kit pairs", {"test": None}, frozenset({"kit", "kitpairs"})),
    )
}

PUBLISHED = tuple(task for task in TASKS.values() if task.hub)


def plain_name(name: str) -> str:
    """The name in lower case, letters and digits only: ``STS-B`` becomes ``stsb``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def canonical_task(name: str) -> str:
    """The key in ``TASKS`` of a set written in any way, such as ``STS12``, ``STSBenchmark`` or ``SICK-R``.

    Raises:
        KitError: there is no such set.
    """
    for task in TASKS.values():
        if plain_name(name) in task.aliases:
            return task.name
    raise KitError(f"{name}: there is no such set of pairs; choose one of {', '.join(TASKS)}, or give a file of pairs.")
