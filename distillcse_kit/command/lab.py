"""``distillcse lab``: the notebooks in JupyterLab."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from distillcse_kit.checkout import find_checkout
from distillcse_kit.command.parser import Command
from distillcse_kit.errors import KitError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``lab``."""
    parser.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        nargs="?",
        help="copy the notebooks into this folder and open them there (default: those of the checkout, where they are)",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address and start no browser (default: off)"
    )
    parser.add_argument(
        "--allow-root", action="store_true", help="start even as the user root, as in a container (default: off)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Start JupyterLab at the first notebook and wait until the user stops it; returns 0."""
    first = _copied(arguments.folder) if arguments.folder else _own()
    # The kernel "python3" of this Python, even if the user has one of that name from another.
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    from jupyterlab.labapp import LabApp

    print(f"Opening {first} in JupyterLab; Ctrl-C here stops it ...", flush=True)
    flags = [f"--{name.replace('_', '-')}" for name in ("no_browser", "allow_root") if getattr(arguments, name)]
    # Not only the file's name: the address that Jupyter prints would then lead past the notebook.
    where = [f"--ServerApp.root_dir={first.parent}", f"--LabApp.default_url=/lab/tree/{first.name}"]
    LabApp.launch_instance([*where, *flags])
    return 0


def _own() -> Path:
    """The first notebook of the checkout."""
    if find_checkout() is None:
        raise KitError("The notebooks need a folder that you can write to; name one, as in distillcse lab lessons.")
    from distillcse_kit.course.notebook_files import find_notebooks

    first = next(iter(find_notebooks().values()))
    if first.suffix != ".ipynb":
        raise KitError(f"{first} has no .ipynb file yet; run distillcse notebooks.")
    return first


def _copied(folder: Path) -> Path:
    """The first notebook of a folder that has got all of them."""
    from distillcse_kit.course.notebook_files import copy_notebooks

    paths, kept = copy_notebooks(folder.expanduser().absolute())
    print(f"{len(paths)} notebooks are in {paths[0].parent}.")
    if kept:
        names = ", ".join(path.name for path in kept)
        print(f"Left as they are, since they differ from the kit's: {names}. Delete one to get the kit's instead.")
    return paths[0]


COMMAND = Command(
    "open the notebooks in JupyterLab",
    "Open the first notebook in JupyterLab; Ctrl-C stops it. With DIR, first copy the notebooks into that folder. A "
    "notebook that is there already and differs from the kit's, because you changed or ran it, stays as it is.",
    add_arguments,
    run,
    "[DIR]",
)
