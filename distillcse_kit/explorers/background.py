"""Runs work in a thread of its own, so that the page still answers and the work can be asked to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from distillcse_kit.errors import KitError
from distillcse_kit.training.loop import Cancelled


class Worker:
    """Runs one piece of work at a time. The work calls ``check`` now and then, and stops there when it is asked to."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._asked = threading.Event()

    @property
    def running(self) -> bool:
        """Whether work has begun and not yet ended; always true when the work itself asks."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[], None]) -> None:
        """Begin the work. It must handle its own exceptions, because nothing else reports them.

        Raises:
            KitError: other work is still running.
        """
        if self.running:
            raise KitError("Something is being trained already; wait for it, or cancel it.")
        self._asked.clear()
        self._thread = threading.Thread(target=work, name="distillcse-explorer", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop at its next ``check``."""
        self._asked.set()

    @property
    def cancelling(self) -> bool:
        """Whether the current work, or the last, was asked to stop."""
        return self._asked.is_set()

    def check(self) -> None:
        """Raise ``Cancelled`` if the work was asked to stop; the work calls this between its steps."""
        if self._asked.is_set():
            raise Cancelled

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the work ends, or for so many seconds; return whether it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.running
