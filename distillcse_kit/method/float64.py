"""Float64 on every machine: Apple's GPUs (torch's device "mps") have none, so there the processor computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from torch import Tensor

Work = TypeVar("Work", bound=Callable[..., Tensor])


def where_float64_is(work: Work) -> Work:
    """The same function of a batch's cosines [N, N], with the same numbers on every device.

    Cosines on an Apple GPU go to the processor, and the result comes back.
    """

    @wraps(work)
    def anywhere(teacher_cosines: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if teacher_cosines.device.type != "mps":
            return work(teacher_cosines, *arguments, **options)
        return work(teacher_cosines.cpu(), *arguments, **options).to(teacher_cosines.device)

    return cast(Work, anywhere)
