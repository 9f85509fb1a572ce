"""Threads that each do a piece of work on their own share of the cores.

Measured on two cores without bfloat16 (`distillcse bench --tricks`): without threads of its own, a training step takes
1.05 [1.05, 1.07] times as long. Beside two busy processes, Group-P of 256 sentences takes 2.5 ms on one thread, and 200
ms on torch's threads.

torch shares the cores inside each operation, and waits for the slowest core after each. The operations of a small
encoder take a fraction of a millisecond. So the waiting costs time, and everything stands still when another program
takes a core away. Here the pieces of work are whole passes, forward or backward, and small matrices stay on one core.
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
from torch import Tensor

MOST_THREADS = 4  # Python runs in one of them at a time, so more would wait

MOST_ELEMENTS = 300**2  # more are worth several cores

T = TypeVar("T")

_here = threading.local()  # .count: how many threads share the cores, inside ``sharing``


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "distillcse")


@contextmanager
def one_thread(matrix: Tensor) -> Iterator[None]:
    """Inside, torch works on one core, if the matrix is small and on a processor.

    Small means up to ``MOST_ELEMENTS`` elements, a batch of 300 sentences. Entering and leaving takes less than 1
    microsecond.

    With several cores, torch waits for the slowest of them after each operation. On a small matrix that gains little.
    Beside a busy program it costs much: that program holds one of the cores, and torch waits until it gets it back.
    Group-P of 32 sentences took 0.25 ms on one core and 16 ms on two, since some operations share a thousand elements.
    """
    before = torch.get_num_threads()
    if before == 1 or matrix.device.type != "cpu" or matrix.numel() > MOST_ELEMENTS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def sharing(pieces: int) -> Iterator[None]:
    """Inside, threads share the cores: as many as there are pieces of work, or cores, or four, whichever is least.

    This thread, too, has only one share of the cores until the end: otherwise torch's helper threads would keep a core
    busy with waiting, and take time from the others.
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
    """The result of each work, in order, as it comes. Inside ``sharing`` they run side by side, otherwise here.

    Each work sets its own autocast and gradient mode, because every thread has its own. A work begins when a thread
    will soon be free: a caller that stops asking for results stops the works, too.

    Raises:
        Exception: the one that a work raised.
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
        for future in reversed(begun):  # from the back, so that none begins in the place of one that was cancelled
            future.cancel()
        wait(begun)
