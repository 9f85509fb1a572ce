"""Which of the faster ways are taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Switches:
    packing: bool = True
    dropout: bool = True
    threads: bool = True
    sorting: bool = True

    @classmethod
    def of(cls, fast: bool) -> Switches:
        return cls(fast, fast, fast, fast)
