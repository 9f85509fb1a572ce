"""Checkpoints of a training in progress: one safetensors file, written completely or not at all, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from distillcse_kit.encoder.devices import random_states
from distillcse_kit.whole_files import new_file


def save_checkpoint(
    path: Path,
    tensors: dict[str, dict[str, Tensor]],
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
    device: torch.device,
) -> None:
    """Write named groups of tensors, the optimiser's tensors, torch's random states, and plain values.

    Args:
        path: the file. An old one is replaced when the new one is complete.
        tensors: {group: {name: tensor}}, such as a model's state dict. The name of a group has no dot.
        optimiser: its tensors are saved, its settings are not.
        state: JSON values, such as the step.
        device: where training runs; its random state is saved beside the processor's.

    Raises:
        KitError: the disk is full.
    """
    flat = {f"{group}.{name}": tensor for group, named in tensors.items() for name, tensor in named.items()}
    for index, values in optimiser.state_dict()["state"].items():
        flat |= {f"optimiser.{index}.{name}": value for name, value in values.items()}
    flat |= {f"random.{kind}": random for kind, random in random_states(device).items()}
    # safetensors refuses tied weights, because they share memory, so every tensor is copied.
    flat = {name: value.detach().cpu().contiguous().clone() for name, value in flat.items()}
    with new_file(path) as temporary:
        save_file(flat, temporary, metadata={"state": json.dumps(state)})


def load_checkpoint(
    path: Path, optimiser: torch.optim.Optimizer, wanted: Collection[str]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """Read a checkpoint, and restore the optimiser from it.

    Args:
        path: the file.
        optimiser: gets the saved tensors; it must have the same parameters as the saved one.
        wanted: groups of tensors that the caller needs.

    Returns:
        (tensors by group, state), with torch's random states as the group "random"; None if there is no usable
        checkpoint. A file that is damaged is deleted, and so is one that lacks a group because another version of the
        kit wrote it.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            # Copies: the tensors themselves are the file's pages, and Windows does not replace a file in use.
            flat = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        path.unlink()
        return None
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in flat.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = value
    if not {*wanted, "random"} <= set(groups):
        path.unlink()
        return None
    restored = optimiser.state_dict()
    restored["state"] = {}
    for name, value in groups.pop("optimiser", {}).items():
        index, _, key = name.partition(".")
        restored["state"].setdefault(int(index), {})[key] = value
    optimiser.load_state_dict(restored)
    return groups, state
