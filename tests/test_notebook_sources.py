"""Notebooks match their sources: no outputs, stable ids, one parameters cell, no long cells."""

from __future__ import annotations

import json
import random
from pathlib import Path

import nbformat
import papermill
import pytest

from distillcse_kit.command.main import main
from distillcse_kit.course import notebook_files as notebooks
from distillcse_kit.course.notebook_files import (
    as_file,
    copy_notebooks,
    differences,
    find_notebooks,
    from_source,
    generate,
    read_notebook,
)
from distillcse_kit.errors import KitError

SOURCE = """\
# %% [markdown]
# # Title
# Some $x^2$ prose, ünïcode too.

# %% tags=["parameters"]
seed: int = 0  # of chance

# %%
print(seed)

# %%
print(seed)
"""
COURSE = notebooks.sources()
STANDARD = {
    "profile": ("str", '"smoke"'),
    "seed": ("int", "0"),
    "data_dir": ("str", '""'),
    "corpus": ("str", '""'),
    "base": ("str", '""'),
    "store": ("str", '""'),
    "figures": ("str", '""'),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "01_lesson.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def test_generated_notebooks_are_valid_and_without_outputs(folder: Path) -> None:
    [path] = generate(folder)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "code", "code"]
    assert notebook.cells[1].metadata.tags == ["parameters"]
    assert "ünïcode" in notebook.cells[0].source and "ünïcode" in path.read_text(encoding="utf-8")
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells[1:])


def test_the_same_source_gives_the_same_file(folder: Path) -> None:
    [path] = generate(folder)
    before = path.read_bytes()
    random.seed(1)  # ids are not random
    generate(folder)
    assert path.read_bytes() == before
    assert differences(folder) == []


def test_ids_differ_and_stay_where_other_cells_change(folder: Path) -> None:
    source = folder / "src" / "01_lesson.py"
    before = [cell["id"] for cell in from_source(source)["cells"]]
    assert len(set(before)) == 4
    source.write_text(
        SOURCE.replace("Some", "More").replace("# %%\n", "# %%\nimport math\n\n# %%\n", 1), encoding="utf-8"
    )
    after = [cell["id"] for cell in from_source(source)["cells"]]
    assert after[1] == before[1] and after[3:] == before[2:] and after[0] != before[0]


def test_check_names_what_is_missing_or_differs(folder: Path) -> None:
    path = folder / "01_lesson.ipynb"
    assert differences(folder) == [f"{path} is missing; run distillcse notebooks."]
    generate(folder)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["0\n"]}]
    path.write_text(as_file(content), encoding="utf-8")
    [sentence] = differences(folder)
    assert "differs from what" in sentence and "run distillcse notebooks" in sentence


def test_a_readers_own_notebook_is_left_alone(folder: Path) -> None:
    own = folder / "my_trial.ipynb"
    own.write_text(as_file(from_source(folder / "src" / "01_lesson.py")), encoding="utf-8")
    generate(folder)
    assert own.is_file() and differences(folder) == []
    assert list(find_notebooks(folder)) == ["01_lesson"]


def test_the_command_compares_and_writes(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "notebooks").mkdir()
    (folder / "src").rename(folder / "notebooks" / "src")
    monkeypatch.setattr("distillcse_kit.command.notebooks.needed_checkout", lambda command: folder)
    assert main(["notebooks", "--check"]) == 1
    assert "01_lesson.ipynb is missing" in capsys.readouterr().err
    assert main(["notebooks"]) == 0
    assert main(["notebooks", "--check"]) == 0
    assert "0 differ" in capsys.readouterr().out


def test_copies_keep_what_a_reader_has_changed(folder: Path, tmp_path: Path) -> None:
    source = folder / "src" / "01_lesson.py"
    (folder / "src" / "02_next.py").write_text(SOURCE, encoding="utf-8")
    target = tmp_path / "a" / "lessons"
    paths, kept = copy_notebooks(target, folder)
    assert [path.name for path in paths] == ["01_lesson.ipynb", "02_next.ipynb"] and kept == []
    assert paths[0].read_text(encoding="utf-8") == as_file(from_source(source))
    paths[0].write_text("mine", encoding="utf-8")
    paths[1].write_bytes(paths[1].read_bytes().replace(b"\n", b"\r\n"))  # only saved on Windows
    assert copy_notebooks(target, folder) == (paths, [paths[0]])
    assert paths[0].read_text(encoding="utf-8") == "mine"
    paths[0].unlink()
    assert copy_notebooks(target, folder) == (paths, [])
    with pytest.raises(KitError, match=r"is a file; name a folder"):
        copy_notebooks(source, folder)


def test_unreadable_notebooks_are_one_sentence(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ipynb"
    damaged.write_text('{"cells": [', encoding="utf-8")
    latin = tmp_path / "latin.py"
    latin.write_bytes(b"# %% [markdown]\n# \xff\n")
    for path in (damaged, latin, tmp_path / "none.py", tmp_path / "none.ipynb"):
        with pytest.raises(KitError, match=path.name):
            read_notebook(path)


# ---------------------------------------------------------------- the course's own notebooks


@pytest.mark.parametrize("source", COURSE, ids=lambda path: path.stem)
def test_course_notebook(source: Path) -> None:
    """It matches its source, begins with a title, has the standard parameters, and its cells are short."""
    notebook = nbformat.reads(as_file(from_source(source)), as_version=4)
    assert (source.parent.parent / f"{source.stem}.ipynb").read_text(encoding="utf-8") == as_file(from_source(source))
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    declared = papermill.inspect_notebook(notebook)
    for name, (kind, default) in STANDARD.items():
        assert (declared[name]["inferred_type_name"], declared[name]["default"]) == (kind, default)
    for name, parameter in declared.items():
        assert parameter["inferred_type_name"] in ("str", "int", "float", "bool"), f"{name} is not a plain scalar"
        assert parameter["help"], f"{name} has no help"
    for cell in notebook.cells:
        assert cell.cell_type != "code" or len(cell.source.splitlines()) <= 25, cell.source.splitlines()[0]
