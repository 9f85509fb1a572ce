"""Notebooks and their sources: each notebook is written as a jupytext percent file and generated without outputs.

``python -m distillcse_kit.course.notebook_files`` writes ``notebooks/NAME.ipynb`` from ``notebooks/src/NAME.py``. With
``--check`` it only compares the two, and exits with status 1 if any differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from distillcse_kit.errors import KitError
from distillcse_kit.whole_files import new_file

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"  # only in a checkout of the repository

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
        text = as_file(from_source(source))
        with new_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        made.append(path)
    return made


def differences(folder: Path = FOLDER) -> list[str]:
    """One sentence for each notebook that differs from what its source gives."""
    found = []
    for source in sources(folder):
        path = folder / f"{source.stem}.ipynb"
        if not path.is_file():
            found.append(f"{path} is missing; run make notebooks.")
        elif path.read_text(encoding="utf-8") != as_file(from_source(source)):
            found.append(f"{path} differs from what {source} gives; change the source and run make notebooks.")
    return found


def find_notebooks(folder: Path = FOLDER) -> dict[str, Path]:
    """{name: its .ipynb, or its source if that has not been generated}, in the order of the course.

    If there are sources, they decide which notebooks belong to the course; the others are a reader's own.

    Raises:
        KitError: there is none, as in a package that was installed without its repository.
    """
    generated = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    found = {path.stem: generated.get(path.stem, path) for path in sources(folder)} or generated
    if not found:
        raise KitError(
            f"There are no notebooks in {folder}: the course runs from a checkout of the repository; "
            "clone it and install the kit from there (pip install -e .)."
        )
    return found


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook from an .ipynb file or from its source.

    Raises:
        KitError: the file is missing or is not a notebook.
    """
    try:
        text = as_file(from_source(path)) if path.suffix == ".py" else path.read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        reason = re.sub(r"\s+", " ", str(error)).strip()[:120]
        raise KitError(f"{path} is not a notebook ({reason}); run make notebooks to write it again.") from error
    return notebook


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Run this module's command line on the notebooks in ``folder``; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m distillcse_kit.course.notebook_files", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="only compare, and exit with status 1 if a notebook differs (default: off)"
    )
    wanted = parser.parse_args(arguments)
    try:
        if wanted.check:
            found = differences(folder)
            for sentence in found:
                print(sentence, file=sys.stderr)
            print(f"{len(sources(folder))} notebooks compared with their sources: {len(found)} differ.")
            return 1 if found else 0
        print(f"{len(generate(folder))} notebooks written to {folder}.")
    except KitError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
