"""Finding the files of one split in a folder whose files are named as on the Hugging Face hub.

The library ``datasets`` can search a folder, too, but with all its subfolders: beside a corpus it would find STS-B.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from distillcse_kit.data.reading import COMPRESSED, DATA_KINDS, kind_of
from distillcse_kit.errors import KitError

_SPLIT_WORDS = {  # as ``datasets`` has them
    "train": ("train", "training"),
    "dev": ("dev", "val", "valid", "validation"),
    "test": ("test", "testing", "eval", "evaluation"),
}

_NOT_DATA = re.compile(
    r"readme|license|licence|^(requirements|constraints)\b|^(dataset_infos?|dataset_dict|state)\.json$", re.IGNORECASE
)

# At the end of a name: the number of a part, often how many there are, and in older data sets of the hub a checksum.
_PART = re.compile(r"(\d{4,})(?:-of-(\d{4,})(?:-[0-9a-f]{16})?)?$")


def split_in(folder: Path, split: str) -> list[Path]:
    """The files of a split in a folder, or in the subfolders in which the hub's data sets keep them."""
    return files_of_split(data_files([folder]), split) or files_of_split(
        data_files(places_of_split(folder, split)), split
    )


def data_files(places: Iterable[Path]) -> list[Path]:
    """Files of the kinds that the kit reads, without those for people, for pip, and for ``datasets`` itself."""
    return [
        file
        for place in places
        if place.is_dir()
        for file in sorted(place.iterdir())
        if file.is_file() and kind_of(file) in DATA_KINDS and not _NOT_DATA.search(file.name)
    ]


def places_of_split(folder: Path, split: str) -> list[Path]:
    """Subfolders in which the hub's data sets keep their files: ``data``, ``train``, ``default/train`` and so on."""
    return [folder / "data", *(folder / above / word for word in words_of(split) for above in ("", "data", "default"))]


def words_of(split: str) -> Sequence[str]:
    """The words that stand for a split in the names of files and folders."""
    return next((words for words in _SPLIT_WORDS.values() if split.lower() in words), (split.lower(),))


def files_of_split(files: Sequence[Path], split: str) -> list[Path]:
    """Of these files, the one of the split, or all its parts in the order of their numbers; empty if that is unclear.

    A file belongs to a split if ``train``, or another word for it, is in its name. If no file says so, all belong to
    it. The names of parts differ only in a number of four or more digits, which begins at 0 or 1.

    Raises:
        KitError: a part is missing.
    """
    words = {file: set(re.split(r"[\W_\d]+", _stem(file))) for file in files}
    chosen = [file for file in files if not words[file].isdisjoint(words_of(split))]
    all_words = {word for of_split in _SPLIT_WORDS.values() for word in of_split}
    if not chosen and all(words[file].isdisjoint(all_words) for file in files):
        chosen = list(files)
    parts = {file: match for file in chosen if (match := _PART.search(_stem(file)))}
    if not parts:
        return chosen if len(chosen) == 1 else []
    if len(parts) < len(chosen) or len({(file.parent, kind_of(file), _before(file)) for file in chosen}) > 1:
        return []
    numbers = {int(match.group(1)): file for file, match in parts.items()}
    counts = {int(match.group(2)) for match in parts.values() if match.group(2)}
    if not counts and len(chosen) == 1:
        return chosen
    count = max(counts, default=len(chosen))
    first = int(max(numbers) == count)
    wanted = range(first, first + count)
    if len(counts) > 1 or len(numbers) < len(chosen) or not set(numbers) <= set(wanted):
        return []
    missing = [str(number) for number in wanted if number not in numbers]
    if missing:
        raise KitError(
            f"{chosen[0].parent}: {chosen[0].name} is one of {len(wanted)} parts, of which these are missing: "
            f"{', '.join(missing[:5])}; download the folder again, or name one file of it."
        )
    return [numbers[number] for number in wanted]


def _stem(file: Path) -> str:
    stem = file.name.lower()
    for ending in (*COMPRESSED, *DATA_KINDS):
        stem = stem.removesuffix(ending)
    return stem


def _before(file: Path) -> str:
    return _PART.sub("", _stem(file))
