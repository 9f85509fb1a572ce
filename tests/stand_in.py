"""A stand-in for an Apple GPU on any machine: the processor computes, and what MPS would refuse is refused.

Its tensors say that they are on "mps:0". float64 is an error there, and so is an operation that mixes them with
tensors of the processor (numbers, copies and indexes apart). Everything else is computed, so whole runs can be tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

PLACE = torch.device("mps", 0)
_PROCESSOR = torch.device("cpu")
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_TAKES_AN_INDEX = (torch.ops.aten.index.Tensor,)  # torch moves an index by itself


class OnStandIn(torch.Tensor):
    """A tensor there; ``inner`` holds its numbers. For torch's own C++ code it is on the device "meta"."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: PLACE)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnStandIn:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.size(), strides=inner.stride(), dtype=inner.dtype, device="meta"
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def inner_of(value: Any) -> Any:
    return value.inner if isinstance(value, OnStandIn) else value


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation: refused as MPS would, or computed by the processor."""
    given, _ = tree_flatten((args, kwargs))
    there = [value for value in given if isinstance(value, OnStandIn)]
    elsewhere = [
        value for value in given if isinstance(value, torch.Tensor) and not isinstance(value, OnStandIn) and value.dim()
    ]
    if there and elsewhere and func not in (*_COPIES, *_TAKES_AN_INDEX):
        raise RuntimeError(f"{func}: Expected all tensors to be on the same device, but found mps:0 and cpu")
    wanted = kwargs.get("device")
    kind = "" if wanted is None else torch.device(wanted).type
    # torch's own backward passes ask for "meta", where they believe to be; a layer without weights asks for it, too.
    believes = kind == "meta" and func is not torch.ops.aten.empty.memory_format
    result_is_there = kind == "mps" or believes or (bool(there) and not kind)
    if func is torch.ops.aten.copy_.default:
        result_is_there = isinstance(args[0], OnStandIn)
    own_args, own_kwargs = tree_map(inner_of, (args, kwargs))
    if result_is_there and wanted is not None:
        own_kwargs["device"] = _PROCESSOR
    before = {id(inner_of(value)): value for value in given if isinstance(value, torch.Tensor)}
    found = func(*own_args, **own_kwargs)

    def placed(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in before:  # changed in place
            return before[id(value)]
        if value.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return OnStandIn(value)

    return tree_map(placed, found) if result_is_there else found


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


@contextmanager
def stand_in() -> Iterator[torch.Generator]:
    """Inside, torch has an Apple GPU. Yields its global generator, which nothing draws from."""
    generator = torch.Generator().manual_seed(77)
    patches: dict[str, Any] = {
        "torch.inference_mode": torch.no_grad,  # its tensors cannot be wrapped
        "torch.backends.mps.is_available": lambda: True,
        "torch.mps.synchronize": lambda: None,
        "torch.mps.manual_seed": generator.manual_seed,
        "torch.mps.get_rng_state": lambda device=PLACE: generator.get_state(),
        "torch.mps.set_rng_state": lambda state, device=PLACE: generator.set_state(state),
    }
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Mode():
            for name, replacement in patches.items():
                mock.patch(name, replacement).start()
            yield generator
    finally:
        mock.patch.stopall()
        torch.__future__.set_overwrite_module_params_on_conversion(before)
