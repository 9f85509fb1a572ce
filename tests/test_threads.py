"""Work in threads: the order of the results, how the cores are shared, and how the work stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from conftest import as_if_cores
from torch.overrides import TorchFunctionMode

from distillcse_kit.fast import threads as module
from distillcse_kit.fast.threads import MOST_ELEMENTS, MOST_THREADS, in_threads, one_thread, sharing
from distillcse_kit.method.ensemble import TeacherEnsemble
from distillcse_kit.method.losses import contrastive_loss, distillation_loss, ranking_hinge_loss
from distillcse_kit.method.shuffling import group_mean, group_p_shuffle

PATIENCE = 30.0  # seconds after which a wait for another thread has failed; no result depends on it


@pytest.fixture(autouse=True)
def four_cores() -> Iterator[None]:
    """torch believes that it has four cores."""
    with as_if_cores(4):
        yield


def threads_used(works: int = 4) -> set[int]:
    return set(in_threads([threading.get_ident] * works))


def runs_here() -> bool:
    return threads_used() == {threading.get_ident()}


# ---------------------------------------------------------------- order


def test_results_come_in_order_whatever_order_the_works_finish_in() -> None:
    """Each even work waits for the odd one after it, so that results are ready in the order 1, 0, 3, 2, ..."""
    done = [threading.Event() for _ in range(12)]

    def work(number: int) -> int:
        if number % 2 == 0:
            assert done[number + 1].wait(PATIENCE), "the works do not run side by side"
        done[number].set()
        return number

    with sharing(2):
        assert list(in_threads(partial(work, number) for number in range(12))) == list(range(12))


@pytest.mark.parametrize("works", [0, 1, 2, 5, 17])
def test_every_work_is_done_once(works: int) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return number

    for pieces in (1, 2, 3):
        done.clear()
        with sharing(pieces):
            found = list(in_threads(partial(work, number) for number in range(works)))
        assert found == sorted(done) == list(range(works))


# ---------------------------------------------------------------- here or in threads


def test_works_run_here_outside_of_sharing_with_one_piece_and_with_one_core() -> None:
    assert runs_here()
    for pieces in (1, 0):
        with sharing(pieces):
            assert runs_here() and torch.get_num_threads() == 4
    with sharing(2):
        assert threading.get_ident() not in threads_used()
    assert runs_here()
    torch.set_num_threads(1)
    with sharing(4):
        assert runs_here()


def test_sharing_belongs_to_one_thread() -> None:
    """A work that has works of its own does them in its own thread."""
    with sharing(2):
        for inner in in_threads([lambda: (threads_used(), threading.get_ident())] * 3):
            assert inner[0] == {inner[1]} != {threading.get_ident()}


def test_here_a_work_is_done_when_its_result_is_asked_for() -> None:
    done: list[int] = []
    found = in_threads(partial(done.append, number) for number in range(5))
    assert done == []
    next(found)
    assert done == [0]
    next(found)
    assert done == [0, 1]


# ---------------------------------------------------------------- shares


# cores, pieces -> threads, cores of each; the same pool of two threads has a new share three times
SHARES = [(8, 2, 2, 4), (2, 2, 2, 1), (5, 2, 2, 2), (4, 3, 3, 1), (3, 8, 3, 1), (4, 4, 4, 1), (8, 4, 4, 2)]


def test_the_shares_of_all_threads_are_no_more_than_the_cores() -> None:
    for cores, pieces, count, share in SHARES:
        torch.set_num_threads(cores)
        together, seen = threading.Barrier(count), set[int]()

        def work(together: threading.Barrier = together, seen: set[int] = seen) -> int:
            seen.add(threading.get_ident())
            together.wait(PATIENCE)  # as many works at once as there should be threads
            return torch.get_num_threads()

        with sharing(pieces):
            assert torch.get_num_threads() == share
            assert list(in_threads([work] * (2 * count))) == [share] * (2 * count), (cores, pieces)
            assert torch.get_num_threads() == share
        assert len(seen) == count and count * share <= cores
        assert torch.get_num_threads() == cores


def test_never_more_threads_than_the_most() -> None:
    torch.set_num_threads(4 * MOST_THREADS)
    together, seen = threading.Barrier(MOST_THREADS), set[int]()

    def work() -> int:
        seen.add(threading.get_ident())
        together.wait(PATIENCE)
        return torch.get_num_threads()

    with sharing(100):
        assert list(in_threads([work] * (4 * MOST_THREADS))) == [4] * (4 * MOST_THREADS)
    assert len(seen) == MOST_THREADS


def test_nested_sharing_divides_a_share_and_gives_it_back() -> None:
    with sharing(2):
        assert torch.get_num_threads() == 2
        with sharing(2):
            assert torch.get_num_threads() == 1 and not runs_here()
            with sharing(2):
                assert torch.get_num_threads() == 1 and runs_here()
        assert torch.get_num_threads() == 2 and not runs_here()
        with sharing(1):
            assert torch.get_num_threads() == 2 and runs_here()
        assert torch.get_num_threads() == 2 and not runs_here()
    assert torch.get_num_threads() == 4 and runs_here()


def test_an_exception_inside_of_sharing_leaves_the_cores_as_they_were() -> None:
    with pytest.raises(KeyError), sharing(4):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 4 and runs_here()


def test_one_thread_is_for_small_matrices_and_gives_the_cores_back() -> None:
    small, large = torch.empty(300, 300), torch.empty(MOST_ELEMENTS + 1, dtype=torch.int8)
    with one_thread(small):
        assert torch.get_num_threads() == 1
        with one_thread(small):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
    with one_thread(torch.empty(2, 2)):  # torch shares even a few elements, in some operations
        assert torch.get_num_threads() == 1
    with one_thread(large):
        assert torch.get_num_threads() == 4
    with one_thread(torch.empty(3, 3, device="meta")):  # as on a GPU
        assert torch.get_num_threads() == 4
    with pytest.raises(KeyError), one_thread(small):
        raise KeyError
    assert torch.get_num_threads() == 4


class Cores(TorchFunctionMode):
    """Notes how many cores torch has in each operation that computes."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[str, set[int]] = {}

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.noted.setdefault(function.__name__, set()).add(torch.get_num_threads())
        return function(*args, **(kwargs or {}))


VECTORS = torch.randn(64, 192, generator=torch.Generator().manual_seed(0))
MATRIX = VECTORS @ VECTORS.T / 192
# {work: an operation in it, which must have one core}
SMALL_WORKS: dict[str, tuple[Callable[[], object], str]] = {
    "contrastive": (lambda: contrastive_loss(VECTORS, VECTORS), "cross_entropy"),
    "distillation": (lambda: distillation_loss(MATRIX, MATRIX), "log_softmax"),
    "hinge": (lambda: ranking_hinge_loss(MATRIX, MATRIX), "gather"),
    "group-p": (lambda: group_p_shuffle(MATRIX, 0.1), "softmax"),
    "group mean": (lambda: group_mean(MATRIX, 0.1), "scatter_add"),
    "teachers": (lambda: TeacherEnsemble({"a": VECTORS.numpy()}).cosines(np.arange(64)), "matmul"),
    "one teacher's vectors": (lambda: TeacherEnsemble({"a": VECTORS.numpy()}).vectors(np.arange(64)), "normalize"),
}


@pytest.mark.parametrize("work", SMALL_WORKS)
def test_a_batch_of_64_is_computed_on_one_core(work: str) -> None:
    """On several, a busy program on one of them makes it up to 100 times as slow."""
    compute, operation = SMALL_WORKS[work]
    with Cores() as cores:
        compute()
    assert cores.noted[operation] == {1}
    assert torch.get_num_threads() == 4


def test_one_thread_inside_of_sharing_gives_the_share_back() -> None:
    with sharing(2):
        with one_thread(torch.empty(200, 200)):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2 and not runs_here()
    assert torch.get_num_threads() == 4


# ---------------------------------------------------------------- beginning and stopping


def test_works_are_begun_a_few_ahead_only() -> None:
    begun = 0

    def works() -> Iterator[Callable[[], int]]:
        nonlocal begun
        for number in range(20):
            begun += 1
            yield partial(int, number)

    with sharing(2):
        for got, _ in enumerate(in_threads(works()), start=1):
            assert begun == min(20, got + 4)  # this result, and two more for each thread


class Stuck:
    """Ten works for two threads. The first ends at once; those after it wait until somebody stops. The fifth is handed
    out when both threads are stuck in the second and the third, so that the fourth cannot have begun by then.

    Args:
        first: what the first work does.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: Callable[[], None]) -> None:
        self.first, self.handed_out = first, 0
        self.begun = [threading.Event() for _ in range(10)]
        self.ended = [threading.Event() for _ in range(10)]
        self.stopped = threading.Event()
        wait = module.wait

        def waits(futures: object) -> None:
            self.stopped.set()
            wait(futures)  # type: ignore[arg-type]

        # The caller that stops cancels what has not begun, and waits for the rest: the works end only then.
        monkeypatch.setattr(module, "wait", waits)

    def works(self) -> Iterator[Callable[[], None]]:
        for number in range(10):
            if number == 4:
                assert self.begun[1].wait(PATIENCE) and self.begun[2].wait(PATIENCE)
            self.handed_out += 1
            yield partial(self.work, number)

    def work(self, number: int) -> None:
        self.begun[number].set()
        if number == 0:
            self.first()
        else:
            self.stopped.wait(PATIENCE)
        self.ended[number].set()

    def check(self) -> None:
        """Three works have begun, and the caller has waited for them; the other seven never begin."""
        assert self.handed_out == 5
        assert self.ended[1].is_set() and self.ended[2].is_set()
        with sharing(2):
            list(in_threads([int] * 8))  # the threads have done all that was left for them
        assert [event.is_set() for event in self.begun] == [True] * 3 + [False] * 7


def test_a_caller_that_stops_asking_stops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch, lambda: None)
    with sharing(2):
        found = in_threads(stuck.works())
        next(found)
        found.close()  # type: ignore[attr-defined]
    stuck.check()


def test_an_exception_arrives_and_stops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise LookupError("the first work")

    stuck = Stuck(monkeypatch, fail)
    with pytest.raises(LookupError, match="the first work"), sharing(2):
        list(in_threads(stuck.works()))
    stuck.check()
    assert torch.get_num_threads() == 4 and runs_here()


def test_an_exception_of_a_later_work_arrives_in_its_turn() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise LookupError("the fourth work")
        return number

    for pieces in (1, 2):
        got: list[int] = []
        with pytest.raises(LookupError, match="the fourth work"), sharing(pieces):
            for number in in_threads(partial(work, number) for number in range(9)):
                got.append(number)
        assert got == [0, 1, 2]


def test_an_exception_where_the_works_come_from_arrives() -> None:
    done: list[int] = []

    def works() -> Iterator[Callable[[], None]]:
        yield partial(done.append, 0)
        raise LookupError("no more works")

    with pytest.raises(LookupError, match="no more works"), sharing(2):
        list(in_threads(works()))
    assert done in ([], [0]) and torch.get_num_threads() == 4 and runs_here()
