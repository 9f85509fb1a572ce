"""What this machine has, and whether the kit can work on it."""

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

from distillcse_kit.errors import KitError
from distillcse_kit.store import default_store

_CHECKOUT = Path(__file__).resolve().parent.parent.parent

_RESULT_PACKAGES = (
    "distillcse-kit",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "numpy",
    "scipy",
    "papermill",
)


@dataclass(frozen=True)
class Finding:
    """One line of the report: "ok", "note" (works, but worth knowing) or "missing" (the kit cannot work)."""

    name: str
    status: str
    detail: str


def installed_version(name: str) -> str | None:
    """The version of an installed package; None if it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed_versions(names: tuple[str, ...] = _RESULT_PACKAGES) -> dict[str, str]:
    """{package: version} of what results depend on."""
    return {name: installed_version(name) or "not installed" for name in names}


def requirements() -> list[Requirement]:
    """What the kit needs without extras: from its installed metadata, or from pyproject.toml in a checkout."""
    lines = importlib.metadata.requires("distillcse-kit") if installed_version("distillcse-kit") else None
    if lines is None and (_CHECKOUT / "pyproject.toml").is_file():
        import tomllib

        lines = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    wanted = [Requirement(line) for line in lines or []]
    return [item for item in wanted if item.marker is None or item.marker.evaluate({"extra": ""})]


def pins() -> dict[str, str]:
    """{package: version} of constraints.txt; empty where the kit was installed without its repository."""
    path = _CHECKOUT / "constraints.txt"
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))  # type: ignore[misc]


def examine(store: str | Path | None = None) -> list[Finding]:
    """Look at interpreter, packages, machine, data and store; each look is one or a few findings."""
    looks: list[Callable[[], list[Finding]]] = [_python, _packages, _machine, _torch, _compiler, _encoder, _data]
    found = [finding for look in looks for finding in look()]
    return found + _store(Path(store) if store else default_store())


def _python() -> list[Finding]:
    good = sys.version_info >= (3, 11)
    return [Finding("python", "ok" if good else "missing", f"{platform.python_version()} at {sys.executable}")]


def _packages() -> list[Finding]:
    found, wanted = [], requirements()
    for item in wanted:
        version = installed_version(item.name)
        if version is None or not item.specifier.contains(version, prereleases=True):
            has = "not installed" if version is None else f"{version} is too old"
            found.append(Finding(item.name, "missing", f"{has}; install it: pip install -c constraints.txt -e ."))
    differing = []
    for name, pinned in pins().items():
        version = installed_version(name)
        if version and version.split("+")[0] != pinned:
            differing.append(f"{name} {version} (pinned: {pinned})")
    if differing:
        found.append(Finding("pinned versions", "note", "other than tested: " + ", ".join(differing)))
    if not found:
        found.append(Finding("packages", "ok", f"{len(wanted)} needed, all there, at the tested versions"))
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
            "memory", enough, f"{free:.1f} of {total:.1f} GiB free" + ("" if enough == "ok" else "; 2 are advisable")
        ),
    ]


def _torch() -> list[Finding]:
    if installed_version("torch") is None:
        return []  # _packages has said so
    import torch

    from distillcse_kit.encoder.devices import computes_in_bfloat16

    native = computes_in_bfloat16(torch.device("cpu"))
    found = [Finding("bfloat16", "ok", "native on this processor" if native else "not native here: float32 is used")]
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        found.append(Finding("GPU", "ok", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"))
    else:
        found.append(Finding("GPU", "ok", "none: the processor is used; only the profile paper wants one"))
    return found


def _compiler() -> list[Finding]:
    names = (os.environ.get("CXX", ""), "g++", "clang++")
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path:
        return [Finding("C++ compiler", "ok", f"{path}: long runs can be compiled")]
    return [Finding("C++ compiler", "note", "none: pretraining runs uncompiled, so give it --no-compile")]


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
    return [Finding("built-in data", "ok", f"{sentences} sentences made on trial; pairs: {counts}")]


def _store(root: Path) -> list[Finding]:
    """Place and size of the store, and the room that its disk has."""
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return [Finding("store", "missing", f"{root} cannot be written to; name another with DISTILLCSE_STORE")]
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) if root.is_dir() else 0
    free = shutil.disk_usage(existing).free / 2**30
    return [
        Finding("store", "ok", f"{root}, {size / 2**20:.0f} MiB"),
        Finding(
            "disk",
            "ok" if free >= 2 else "note",
            f"{free:.1f} GiB free there" + ("" if free >= 2 else "; 2 are advisable"),
        ),
    ]
