"""What this machine offers, and whether the kit can work on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from distillcse_kit.checkout import find_checkout
from distillcse_kit.errors import KitError
from distillcse_kit.store import default_store
from distillcse_kit.versions import installed_version


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was checked.
        status: "ok", "note" (the kit works, but this is worth knowing) or "missing" (the kit cannot work).
        detail: what was found, and the fix if one is needed.
    """

    name: str
    status: str
    detail: str


def requirements() -> list[Requirement]:
    """What the kit needs without extras: from its installed metadata, or from pyproject.toml in a checkout."""
    lines = importlib.metadata.requires("distillcse-kit") if installed_version("distillcse-kit") else None
    if lines is None and (root := find_checkout()):
        import tomllib

        lines = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    wanted = [Requirement(line) for line in lines or []]
    return [item for item in wanted if item.marker is None or item.marker.evaluate({"extra": ""})]


def pins() -> dict[str, str]:
    """{package: version} of constraints.txt; empty if the kit was installed without its repository."""
    root = find_checkout()
    if root is None:
        return {}
    lines = (line.strip() for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines())
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))  # type: ignore[misc]


def examine(store: str | Path | None = None) -> list[Finding]:
    """Check interpreter, packages, machine, encoder, data and store (None: the default one)."""
    checks: list[Callable[[], list[Finding]]] = [_python, _packages, _machine, _torch, _compiler, _encoder, _data]
    checks.append(_notebooks)
    found = [finding for check in checks for finding in check()]
    return found + _store(Path(store) if store else default_store())


def _python() -> list[Finding]:
    good = sys.version_info >= (3, 11)
    return [Finding("python", "ok" if good else "missing", f"{platform.python_version()} at {sys.executable}")]


def _packages() -> list[Finding]:
    found, wanted, tested = [], requirements(), pins()
    for item in wanted:
        version = installed_version(item.name)
        if version is None or not item.specifier.contains(version, prereleases=True):
            has = "not installed" if version is None else f"{version} is too old"
            fix = "run distillcse env" if tested else f'pip install "{item.name}{item.specifier}"'
            found.append(Finding(item.name, "missing", f"{has}; install it: {fix}"))
    differing = []
    for name, pinned in tested.items():
        version = installed_version(name)
        if version and version.split("+")[0] != pinned:
            differing.append(f"{name} {version} (pinned: {pinned})")
    if differing:
        found.append(Finding("pinned versions", "note", "not the tested ones: " + ", ".join(differing)))
    if not found:
        versions = "in the tested versions" if tested else "in versions that the kit accepts"
        found.append(Finding("packages", "ok", f"all {len(wanted)} are installed, {versions}"))
    return found


def _machine() -> list[Finding]:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    free, total = memory.available / 2**30, memory.total / 2**30
    enough = "ok" if free >= 2 else "note"
    return [
        Finding("cores", "ok", str(cores)),
        Finding(
            "memory",
            enough,
            f"{free:.1f} of {total:.1f} GiB free" + ("" if enough == "ok" else "; at least 2 are better"),
        ),
    ]


def _torch() -> list[Finding]:
    if installed_version("torch") is None:
        return []  # _packages reports it
    import torch

    from distillcse_kit.encoder.devices import VARIABLE, chosen_device, computes_in_bfloat16

    native = computes_in_bfloat16(torch.device("cpu"))
    found = [
        Finding(
            "bfloat16", "ok", "native on this processor" if native else "not native on this processor: float32 is used"
        )
    ]
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        found.append(Finding("GPU", "ok", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"))
    elif torch.backends.mps.is_available():
        found.append(Finding("GPU", "ok", "Apple's, through MPS"))
    else:
        found.append(Finding("GPU", "ok", "none: the processor is used; only the profile paper needs a GPU"))
    try:
        found.append(Finding("device", "ok", f"auto means {chosen_device()}"))
    except KitError as error:
        found.append(Finding("device", "missing", f"{VARIABLE} is not usable. {error}"))
    return found


def _compiler() -> list[Finding]:
    names = (os.environ.get("CXX", ""), "g++", "clang++")
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path:
        return [Finding("C++ compiler", "ok", f"{path}: pretraining can be compiled")]
    return [Finding("C++ compiler", "note", "none: run distillcse pretrain with --no-compile")]


def _encoder() -> list[Finding]:
    from distillcse_kit.encoder.sentence_encoder import SentenceEncoder

    try:
        encoder = SentenceEncoder.load("micro")
    except KitError as error:
        return [Finding("micro encoder", "missing", str(error))]
    return [Finding("micro encoder", "ok", f"loads; embeddings of {encoder.width} dimensions")]


def _data() -> list[Finding]:
    from distillcse_kit.data.corpus import load_corpus
    from distillcse_kit.data.sts import load_sts

    try:
        sentences = len(load_corpus("builtin", limit=100))
        pairs = {
            "dev": len(load_sts("builtin", split="dev")),
            "test": len(load_sts("builtin")),
            "kit": len(load_sts("kit")),
        }
    except KitError as error:
        return [Finding("built-in data", "missing", str(error))]
    counts = ", ".join(f"{count} {name}" for name, count in pairs.items())
    return [Finding("built-in data", "ok", f"made {sentences} sentences as a trial; pairs: {counts}")]


def _notebooks() -> list[Finding]:
    from distillcse_kit.course.notebook_files import FOLDER, find_notebooks

    try:
        return [Finding("notebooks", "ok", f"{len(find_notebooks())} in {FOLDER}")]
    except KitError as error:
        return [Finding("notebooks", "missing", str(error))]


def _store(root: Path) -> list[Finding]:
    """Where the store is, how large it is, and how much space its disk has left."""
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    if root.is_dir() and os.access(root, os.R_OK | os.X_OK) and not os.access(root, os.W_OK):
        return [Finding("store", "note", f"{root} may only be read: the kit loads what it has, and can add nothing")]
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return [Finding("store", "missing", f"{root} cannot be written to; name another folder in DISTILLCSE_STORE")]
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) if root.is_dir() else 0
    free = shutil.disk_usage(existing).free / 2**30
    return [
        Finding("store", "ok", f"{root}, {size / 2**20:.0f} MiB"),
        Finding(
            "disk",
            "ok" if free >= 2 else "note",
            f"{free:.1f} GiB free for the store" + ("" if free >= 2 else "; at least 2 are better"),
        ),
    ]
