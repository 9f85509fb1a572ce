"""What a command is made of, and the parser that reads it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and that accepts no abbreviated flags."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Print the mistake in one line and exit with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help.\n")


@dataclass(frozen=True)
class Command:
    """One command of ``distillcse``.

    Attributes:
        summary: its line in the list of commands.
        description: the first paragraph of its own help.
        add_arguments: adds its arguments to a parser.
        run: does the work and returns the exit status.
        required: what must be given, as the first line of its help shows it.
    """

    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    required: str = ""
