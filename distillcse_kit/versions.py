"""Versions of the packages that a result depends on."""

from __future__ import annotations

import importlib.metadata

PACKAGES = ("distillcse-kit", "torch", "transformers", "tokenizers", "numpy", "scipy")


def installed_version(name: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(*others: str) -> dict[str, str]:
    """{package: version} of ``PACKAGES``, which every result depends on, and of ``others``."""
    return {name: installed_version(name) or "not installed" for name in (*PACKAGES, *others)}
