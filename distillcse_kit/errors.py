"""The one exception that the kit raises for what a user can put right."""

from __future__ import annotations


class KitError(Exception):
    """A mistake in input or settings: one sentence that names what is wrong, where, and the fix.

    The ``distillcse`` command prints the sentence and exits with status 2, without a traceback.
    """
