"""One piece of work in a thread of its own, so that the page goes on answering, and that can be asked to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from distillcse_kit.errors import KitError
from distillcse_kit.training.loop import Cancelled


class Worker:
    """At most one work at a time; the work calls ``check`` now and then."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._asked = threading.Event()

    @property
    def running(self) -> bool:
        """Whether a work was begun and has not ended; seen from the work itself, it has not."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[], None]) -> None:
        """Begin a work, which must deal with its own exceptions: nobody else hears of them.

        Raises:
            KitError: another one is running.
        """
        if self.running:
            raise KitError("Something is being trained already; wait for it, or cancel it.")
        self._asked.clear()
        self._thread = threading.Thread(target=work, name="distillcse-explorer", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop."""
        self._asked.set()

    @property
    def cancelling(self) -> bool:
        """Whether the present or last work was asked to stop."""
        return self._asked.is_set()

    def check(self) -> None:
        """Called by the work between two steps: raises ``Cancelled`` if it was asked to stop."""
        if self._asked.is_set():
            raise Cancelled

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the work's end, at most so long; whether it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.running
