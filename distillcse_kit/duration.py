"""Durations as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """As text: in seconds, minutes from a minute and a half on, hours from an hour and a half on."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5_400 else f"{seconds / 3_600:.1f} hours"
