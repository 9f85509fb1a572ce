"""Durations in words, for messages."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """In words: seconds below 90, then minutes, then hours from an hour and a half.

    >>> [duration(seconds) for seconds in (0.4, 1, 89, 90, 5_399, 5_400)]
    ['0 seconds', '1 second', '89 seconds', '2 minutes', '90 minutes', '1.5 hours']
    """
    if seconds < 90:
        count = f"{seconds:.0f}"
        return "1 second" if count == "1" else f"{count} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5_400 else f"{seconds / 3_600:.1f} hours"
