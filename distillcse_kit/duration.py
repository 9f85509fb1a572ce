"""Durations as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """As text: seconds below 90, then minutes, and hours from an hour and a half."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5_400 else f"{seconds / 3_600:.1f} hours"
