"""Run one notebook in its own kernel, and find the errors hidden in it."""

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
from distillcse_kit.encoder.devices import VARIABLE

_KERNEL = "distillcse-course"

_WIDGETS = "application/vnd.jupyter.widget-state+json"

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def kernel_of_this_python(device: str = "auto") -> Iterator[None]:
    """Inside the block, Jupyter knows a kernel that runs this interpreter and this copy of the kit on the device.

    The kernel named python3 may belong to another installation: Jupyter prefers a user's kernels to an environment's.
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
            VARIABLE: device,  # what "auto" means, wherever a notebook loads or trains
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # figures go into the notebook
            "PYTHONPATH": packages,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning about frozen modules in the notebook
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
    """Run one notebook in a new kernel and keep the executed copy, even if it failed.

    Args:
        notebook: has a parameters cell.
        out, name: the copy is ``out/notebooks/NAME.ipynb``.
        parameters: values for the parameters cell.
        limit: seconds for the whole notebook.

    Returns:
        None, or one line that says what went wrong: a failed cell, an error hidden in a widget, the time limit, or a
        dead kernel.
    """
    import papermill

    copy, unfinished = out / "notebooks" / f"{name}.ipynb", out / "notebooks" / f".{name}.part.ipynb"
    deadline = time.monotonic() + limit
    error = None
    try:
        papermill.execute_notebook(
            notebook,
            str(unfinished).replace("{", "{{").replace("}", "}}"),  # papermill replaces names in braces
            dict(parameters),
            kernel_name=_KERNEL,
            language="python",
            progress_bar=False,
            start_timeout=120,
            timeout_func=lambda _cell: max(1, int(deadline - time.monotonic())),
            shutdown_kernel="immediate",
        )
    except papermill.PapermillExecutionError as failure:
        error = f"cell {failure.cell_index + 1}: {joined_lines(f'{failure.ename}: {failure.evalue}')}"
    except TimeoutError:
        error = f"not finished within the time limit of {limit:.0f} s"
    except Exception as failure:  # such as a dead kernel or a full disk; the next notebooks may still run
        error = joined_lines(f"{type(failure).__name__}: {failure}")
    if unfinished.is_file():
        os.replace(unfinished, copy)
        error = error or next(iter(hidden_errors(read_notebook(copy))), None)
    return error


def hidden_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Errors in an executed notebook that stopped no cell: an Output widget catches whatever is raised inside it.

    Searches the outputs of all cells (errors, and tracebacks on stderr) and those of the widgets in the metadata.
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
    """The error in one output, on one line; None if there is none."""
    if output.get("output_type") == "error":
        return joined_lines(f"{output.get('ename')}: {output.get('evalue')}")
    text = "".join(output.get("text", ""))
    if output.get("name") == "stderr" and "Traceback (most recent call last)" in text:
        return joined_lines(text.strip().splitlines()[-1])
    return None


def joined_lines(text: str, most: int = 300) -> str:
    """``text`` on one line, without terminal colours, cut to ``most`` characters."""
    return re.sub(r"\s+", " ", _COLOURS.sub("", text)).strip()[:most]
