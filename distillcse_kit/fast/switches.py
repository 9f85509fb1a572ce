"""One switch for each faster way, and one argument, ``fast``, for all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Switches:
    """Which faster ways a training run takes. Each gives the same result as the plain way, to rounding.

    Dropout masks are cheap only in the packed forward pass, and two threads need masks of their own. So a switch is
    off as well when the one that it needs is off: ``Switches(packing=False)`` leaves only sorting on.

    ``TrainingSettings.fast``, and the argument ``fast`` of ``SentenceEncoder`` and of the shuffles, set all of them.

    Attributes:
        packing: leave padding and unread tokens out of the forward pass (``fast.packing``).
        dropout: draw dropout masks with a quicker generator (``fast.dropout``); other masks than torch's.
        threads: compute the two views of a batch in two threads (``fast.views``, ``fast.threads``).
        sorting: sort packed whole numbers when shuffling (``fast.sorting``); the same result to the last bit.
    """

    packing: bool = True
    dropout: bool = True
    threads: bool = True
    sorting: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "dropout", self.dropout and self.packing)
        object.__setattr__(self, "threads", self.threads and self.dropout)

    @classmethod
    def of(cls, fast: bool) -> Switches:
        """All of them on, or all off."""
        return cls(fast, fast, fast, fast)
