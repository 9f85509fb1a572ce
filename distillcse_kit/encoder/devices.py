"""Where an encoder runs, in what precision, and where its random numbers come from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from distillcse_kit.config import Precision
from distillcse_kit.errors import KitError

VARIABLE = "DISTILLCSE_DEVICE"


def chosen_device(name: str | torch.device = "auto") -> torch.device:
    """The device of that name.

    Args:
        name: "cpu", "cuda" (or one of several, such as "cuda:1"), "mps", or "auto": what the environment variable
            DISTILLCSE_DEVICE names if it is set, else "cuda" if there is such a GPU, else "mps", else "cpu".

    Raises:
        KitError: an unknown name, or a device that this machine does not have.
    """
    wanted = str(name)
    if wanted == "auto":
        wanted = os.environ.get(VARIABLE, "") or "auto"
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    found = re.fullmatch(r"(cpu|cuda|mps)(?::(\d+))?", wanted)
    if found is None:
        raise KitError(f"Unknown device {wanted!r}; choose one of auto, cpu, cuda, cuda:1 and so on, mps.")
    kind, place = found[1], int(found[2] or 0)
    there = {"cpu": 1, "mps": int(torch.backends.mps.is_available())}
    there["cuda"] = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if place >= there[kind]:
        has = f"only {there[kind]} of that kind" if there[kind] else "none"
        raise KitError(f"The device is {wanted}, but torch finds {has} on this machine; choose auto or cpu.")
    return torch.device("cpu") if kind == "cpu" else torch.device(kind, place)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device itself computes in bfloat16 (emulated, it would be slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def use_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether a precision setting means bfloat16 on a device; "auto" does where the device computes in it."""
    return precision == "bfloat16" or (precision == "auto" and computes_in_bfloat16(device))


def has_fused_optimiser(device: torch.device) -> bool:
    """Whether torch updates all weights there in one operation, on every version that the kit accepts."""
    return device.type in ("cpu", "cuda")


def name_of(device: torch.device) -> str:
    """What people call the device: a GPU's model, or "processor"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU (MPS)" if device.type == "mps" else "processor"


def wait_for(device: torch.device) -> None:
    """Return when the device has finished: calls on a GPU return before their work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


# ---------------------------------------------------------------- torch's global random numbers


def random_states(device: torch.device) -> dict[str, Tensor]:
    """{"cpu", and the device's type: the states of torch's global generators}, for ``set_random_states``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = _module(device).get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Set the states of torch's global generators; one of another kind of device is left out."""
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu" and device.type in states:
        _module(device).set_rng_state(states[device.type], device)


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Inside, torch's global generators of processor and device start at the seed; then they are as they were before.

    Those of other GPUs are never touched.
    """
    before = random_states(device)
    try:
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield
    finally:
        set_random_states(before, device)


def _module(device: torch.device) -> Any:
    """torch.cuda or torch.mps."""
    return getattr(torch, device.type)
