"""Notebooks and their sources: each notebook is written as a jupytext percent file and generated without outputs.

A checkout has both, ``notebooks/src/NAME.py`` and ``notebooks/NAME.ipynb``. An installed kit has the sources only, in
its package, which is enough to run a notebook or to write it into a reader's folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from distillcse_kit.checkout import PACKAGE, find_checkout
from distillcse_kit.errors import KitError
from distillcse_kit.whole_files import new_file

FOLDER = (find_checkout() or PACKAGE) / "notebooks"

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def from_source(source: Path) -> dict[str, Any]:
    """Make the notebook of a percent file: no outputs, no versions, and stable cell ids.

    A cell's id is a hash of the notebook's name and the cell's text. Changing or inserting one cell keeps the ids of
    all others, and the same source gives the same file on every machine.

    Raises:
        KitError: the file is missing, is not UTF-8, or is not a Python source.
    """
    try:
        text = source.read_text(encoding="utf-8")
        read = jupytext.reads(text, fmt="py:percent")
    except FileNotFoundError as error:
        raise KitError(f"There is no notebook source {source}; check the name.") from error
    except (UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise KitError(f"The notebook source {source} cannot be read ({error}); correct it.") from error
    seen: Counter[str] = Counter()
    cells = []
    for cell in read.cells:
        made: dict[str, Any] = {
            "cell_type": cell.cell_type,
            "id": _cell_id(source.stem, cell.cell_type, cell.source, seen),
            "metadata": dict(cell.metadata),
            "source": cell.source.splitlines(keepends=True),
        }
        if cell.cell_type == "code":
            made |= {"execution_count": None, "outputs": []}
        cells.append(made)
    metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell_id(notebook: str, kind: str, text: str, seen: Counter[str]) -> str:
    digest = hashlib.sha256(f"{notebook}\0{kind}\0{text}".encode()).hexdigest()[:12]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"  # two cells with the same text


def as_file(notebook: dict[str, Any]) -> str:
    """A notebook as the text of an .ipynb file, laid out as Jupyter does."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def sources(folder: Path = FOLDER) -> list[Path]:
    """The percent files of ``folder``/src, in the order of the course."""
    return sorted((folder / "src").glob("*.py"))


def generate(folder: Path = FOLDER) -> list[Path]:
    """Write each source's notebook into ``folder``. Notebooks without a source, such as a reader's own, stay."""
    made = []
    for source in sources(folder):
        path = folder / f"{source.stem}.ipynb"
        _write(path, as_file(from_source(source)))
        made.append(path)
    return made


def copy_notebooks(target: Path, folder: Path = FOLDER) -> tuple[list[Path], list[Path]]:
    """Write the course's notebooks into a reader's folder; what is there already stays as it is.

    Returns:
        All notebooks of the course in ``target``, and those among them that were there and differ from the course's.

    Raises:
        KitError: ``target`` is a file, or cannot be written.
    """
    if target.exists() and not target.is_dir():
        raise KitError(f"{target} is a file; name a folder for the notebooks.")
    paths, kept = [], []
    for name, path in find_notebooks(folder).items():
        text, copy = _text_of(path), target / f"{name}.ipynb"
        if not copy.exists():
            _write(copy, text)
        elif copy.read_bytes().replace(b"\r\n", b"\n") != text.encode():
            kept.append(copy)
        paths.append(copy)
    return paths, kept


def _write(path: Path, text: str) -> None:
    with new_file(path) as temporary:
        temporary.write_bytes(text.encode())  # the same line ends on every machine


def _text_of(path: Path) -> str:
    """The text of a notebook, from an .ipynb file or from its source."""
    return as_file(from_source(path)) if path.suffix == ".py" else path.read_text(encoding="utf-8")


def differences(folder: Path = FOLDER) -> list[str]:
    """One sentence for each notebook that differs from what its source gives."""
    found = []
    for source in sources(folder):
        path = folder / f"{source.stem}.ipynb"
        if not path.is_file():
            found.append(f"{path} is missing; run distillcse notebooks.")
        elif path.read_text(encoding="utf-8") != as_file(from_source(source)):
            found.append(f"{path} differs from what {source} gives; change the source and run distillcse notebooks.")
    return found


def find_notebooks(folder: Path = FOLDER) -> dict[str, Path]:
    """{name: its .ipynb, or its source if that has not been generated}, in the order of the course.

    If there are sources, they decide which notebooks belong to the course; the others are a reader's own.

    Raises:
        KitError: there is none.
    """
    generated = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    found = {path.stem: generated.get(path.stem, path) for path in sources(folder)} or generated
    if not found:
        raise KitError(f"There are no notebooks in {folder}; install the kit again, it brings them.")
    return found


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook from an .ipynb file or from its source.

    Raises:
        KitError: the file is missing or is not a notebook.
    """
    try:
        notebook = nbformat.reads(_text_of(path), as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        reason = re.sub(r"\s+", " ", str(error)).strip()[:120]
        raise KitError(f"{path} is not a notebook ({reason}); run distillcse notebooks to write it again.") from error
    return notebook
