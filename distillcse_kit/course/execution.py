"""One notebook, executed in a kernel of its own, and the errors that hide in it."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from distillcse_kit.course.notebook_files import read_notebook

_KERNEL = "distillcse-course"

_WIDGETS = "application/vnd.jupyter.widget-state+json"

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def kernel_of_this_python() -> Iterator[None]:
    """Make a kernel known to Jupyter, for the time of the block, that is this very interpreter and this very kit.

    The name python3 may belong to another installation: a user's kernel spec goes before that of an environment.
    """
    packages = os.pathsep.join(
        filter(None, (str(Path(__file__).resolve().parent.parent.parent), os.environ.get("PYTHONPATH")))
    )
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"],
        "display_name": "DistillCSE Kit",
        "language": "python",
        "env": {
            "DISTILLCSE_HEADLESS": "1",  # explorers draw their static figure
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # figures into the notebook, whatever is set
            "PYTHONPATH": packages,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger's remark on frozen modules is no news to a reader
        },
    }
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory(prefix="distillcse-kernel-") as folder:
        kernel = Path(folder) / "kernels" / _KERNEL
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


def execute(
    notebook: nbformat.NotebookNode, out: Path, name: str, parameters: Mapping[str, Any], limit: float
) -> str | None:
    """Execute one notebook in a new kernel and keep the copy, also of a failed one.

    Args:
        notebook: with a parameters cell. out, name: the copy is ``out/notebooks/NAME.ipynb``.
        parameters: values for it. limit: seconds for the whole notebook.

    Returns:
        None, or in one line what went wrong: a failed cell, an error hidden in a widget, the time limit, a dead kernel.
    """
    import papermill

    copy, unfinished = out / "notebooks" / f"{name}.ipynb", out / "notebooks" / f".{name}.part.ipynb"
    deadline = time.monotonic() + limit
    error = None
    try:
        papermill.execute_notebook(
            notebook,
            str(unfinished).replace("{", "{{").replace("}", "}}"),  # papermill fills in what stands in braces
            dict(parameters),
            kernel_name=_KERNEL,
            language="python",
            progress_bar=False,
            start_timeout=120,
            timeout_func=lambda _cell: max(1, int(deadline - time.monotonic())),
            shutdown_kernel="immediate",
        )
    except papermill.PapermillExecutionError as failure:
        error = f"cell {failure.cell_index + 1}: {one_line(f'{failure.ename}: {failure.evalue}')}"
    except TimeoutError:
        error = f"not finished within the time limit of {limit:.0f} s"
    except Exception as failure:  # a dead kernel, a full disk: the next notebooks may still run
        error = one_line(f"{type(failure).__name__}: {failure}")
    if unfinished.is_file():
        os.replace(unfinished, copy)
        error = error or next(iter(hidden_errors(read_notebook(copy))), None)
    return error


def hidden_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Errors in an executed notebook that raised nothing: an Output widget swallows what is raised inside it.

    Looks at the outputs of all cells (errors, tracebacks printed to stderr) and of the widgets in the metadata.
    """
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        found += [f"cell {number}: {error}" for error in map(_error_of, cell.get("outputs", [])) if error]
    widgets = notebook.metadata.get("widgets", {}).get(_WIDGETS, {}).get("state", {})
    for widget in widgets.values():
        outputs = widget.get("state", {}).get("outputs", [])
        found += [f"in a widget: {error}" for error in map(_error_of, outputs) if error]
    return found


def _error_of(output: Mapping[str, Any]) -> str | None:
    """The error that one output shows, in a line; None if it shows none."""
    if output.get("output_type") == "error":
        return one_line(f"{output.get('ename')}: {output.get('evalue')}")
    text = "".join(output.get("text", ""))
    if output.get("name") == "stderr" and "Traceback (most recent call last)" in text:
        return one_line(text.strip().splitlines()[-1])
    return None


def one_line(text: str, most: int = 300) -> str:
    """``text`` without colours and line breaks, cut to ``most`` characters."""
    return re.sub(r"\s+", " ", _COLOURS.sub("", text)).strip()[:most]
