"""Threads that each do a piece of work on their own share of the cores.

torch shares the cores inside each operation, and waits for the slowest core after each. The operations of a small
encoder take a fraction of a millisecond: the waiting costs a tenth of the time, and everything stands still when
another program takes one core away. Here the pieces of work are whole passes, forward or backward.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

MOST_THREADS = 4  # more of them would wait for each other's Python

T = TypeVar("T")

_here = threading.local()  # .count: how many threads share the cores, inside ``sharing``


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "distillcse")


@contextmanager
def sharing(pieces: int) -> Iterator[None]:
    """Inside, the cores belong to as many threads as there are pieces of work, cores, or four, whichever is least.

    Between its pieces of work this thread, too, has one share of the cores only: torch's own helper threads would
    go on waiting actively for more, and take time from the others.
    """
    before = torch.get_num_threads()
    outer, _here.count = getattr(_here, "count", None), max(1, min(pieces, before, MOST_THREADS))
    torch.set_num_threads(before // _here.count)
    try:
        yield
    finally:
        _here.count = outer
        torch.set_num_threads(before)


def in_threads(works: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What each of the works returns, in order, as it comes; they run side by side inside ``sharing``, else here.

    Modes that belong to a thread (autocast, no gradient) are the works' own to set. A work is begun when one of the
    threads will soon be free: who stops asking for results stops the work.

    Raises:
        Exception: what a work raised.
    """
    count = getattr(_here, "count", None) or 1
    if count == 1:
        yield from (work() for work in works)
        return
    share = torch.get_num_threads()

    def on_its_share(work: Callable[[], T]) -> T:
        torch.set_num_threads(share)
        return work()

    begun: deque[Future[T]] = deque()
    try:
        for work in works:
            begun.append(_pool(count).submit(on_its_share, work))
            if len(begun) > 2 * count:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in reversed(begun):  # from the back, so that none begins where another was taken away
            future.cancel()
        wait(begun)
