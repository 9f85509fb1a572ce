"""Versions of the packages that a result depends on."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("distillcse-kit", "torch", "transformers", "tokenizers", "accelerate", "numpy", "scipy")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
