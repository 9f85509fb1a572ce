"""Where an encoder runs, and in what precision."""

from __future__ import annotations

import torch

from distillcse_kit.config import Precision


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device itself computes in bfloat16 (emulated, it would be slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def use_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether a precision setting means bfloat16 on a device; "auto" does where the device computes in it."""
    return precision == "bfloat16" or (precision == "auto" and computes_in_bfloat16(device))


def default_device() -> torch.device:
    """The first GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
