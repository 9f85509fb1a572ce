"""Progress: a bar on a terminal and in notebooks; elsewhere a line for each finished job."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")


def progress_bar(items: Iterable[Any] | None = None, shown: bool = True, **options: Any) -> tqdm:
    """A tqdm bar over ``items``, or one that ``update`` moves; it disappears when it is done.

    It stays silent where stderr is a file or a pipe, and where the environment variable TQDM_DISABLE is set. Notebooks
    have their own bars.

    Args:
        items: what to go through.
        shown: False hides the bar.
        options: of tqdm, such as total, desc and unit.
    """
    # tqdm reads TQDM_DISABLE as the default of ``disable`` only, and Python without a console (pythonw) has no stderr.
    hidden = not shown or _unwanted()
    return tqdm(items, disable=hidden or None, **{"leave": False, **options})  # None: off where stderr is no terminal


def counted(jobs: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Go through long jobs behind a bar; where there is no bar, a line on stderr says how many are done.

    A job is done when the next one is asked for. TQDM_DISABLE silences the lines, too.
    """
    bar = progress_bar(jobs, total=total, desc=label)
    lines = bar.disable and total > 0 and not _unwanted()
    if lines:
        print(f"{label}: {total} to do.", file=sys.stderr, flush=True)
    for done, job in enumerate(bar, start=1):
        yield job
        if lines:
            print(f"{label}: {done} of {total} done.", file=sys.stderr, flush=True)


def _unwanted() -> bool:
    return bool(os.environ.get("TQDM_DISABLE")) or sys.stderr is None
