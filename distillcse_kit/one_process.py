"""The kit works in one process: a launcher that starts several is refused, before torch is loaded."""

from __future__ import annotations

import os

from distillcse_kit.errors import KitError


def require_one_process() -> None:
    """Refuse to work as one of several processes of ``torchrun``; a launcher that starts one process is fine.

    Raises:
        KitError: the environment variable WORLD_SIZE is above 1.
    """
    count = os.environ.get("WORLD_SIZE", "")
    if count.isdecimal() and int(count) > 1:
        raise KitError(
            f"This is one of {count} processes (WORLD_SIZE={count}), but the kit works in one; "
            "start it without torchrun or another launcher of several processes."
        )
