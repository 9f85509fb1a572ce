"""What the kit raises for what a user can put right, and what it warns with."""

from __future__ import annotations


class KitError(Exception):
    """A mistake in input or settings: one sentence that names what is wrong, where, and the fix.

    The ``distillcse`` command prints the sentence and exits with status 2, without a traceback.
    """


class KitWarning(UserWarning):
    """Work that goes on, but is hardly what was meant: one sentence that names the fix."""
