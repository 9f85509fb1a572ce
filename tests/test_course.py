"""The course runner on notebooks of a few lines. Kernels start only in the tests that need one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from distillcse_kit.course import runner
from distillcse_kit.course.execution import hidden_errors
from distillcse_kit.course.notebook_files import find_notebooks, read_notebook
from distillcse_kit.course.runner import Course, notebook_parameters, run_course
from distillcse_kit.errors import KitError

pytestmark = pytest.mark.xdist_group("kernels")  # one kernel at a time

PARAMETERS = """\
# %% tags=["parameters"]
profile: str = "smoke"  # how much
seed: int = 0  # of what is drawn
share: float = 0.5
loud: bool = False
data_dir: str = ""
corpus: str = ""
base: str = ""
store: str = ""  # of everything
figures: str = ""
"""

GOOD = """
# %%
import json, os, sys
from pathlib import Path
import matplotlib, matplotlib.pyplot as plt
import distillcse_kit
found = {"seed": seed, "share": share, "store": store, "headless": os.environ["DISTILLCSE_HEADLESS"],
         "python": sys.executable, "kit": distillcse_kit.__file__}
(Path(store) / "found.json").write_text(json.dumps(found))
(Path(figures) / "line.png").write_bytes(b"figure")
# %%
figure, axes = plt.subplots(figsize=(1, 1))
axes.plot([1, 2]);
"""

FAILING = """
# %%
print("fine so far")
# %%
raise ValueError("the cell\\nbroke")
"""

WIDGET = """
# %%
import ipywidgets
def draw(p):
    raise RuntimeError("the explorer broke")
ipywidgets.interactive_output(draw, {"p": ipywidgets.FloatSlider(0.1)})
print("all is well")
"""

SLOW = """
# %%
import time
time.sleep(600)
"""


def write(folder: Path, **notebooks: str) -> Path:
    """A folder of notebook sources, each with the parameters cell; returns what ``Course.folder`` takes."""
    (folder / "src").mkdir(parents=True)
    for name, text in notebooks.items():
        (folder / "src" / f"{name}.py").write_text("# %% [markdown]\n# # A title\n\n" + PARAMETERS + text)
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[runner.Outcome], list[str]]:
    """One course: a notebook that fails, one with a hidden error, and a good one after them."""
    root = tmp_path_factory.mktemp("course {braces}")
    folder = write(root / "notebooks", a_failing=FAILING, b_widget=WIDGET, c_good=GOOD)
    lines: list[str] = []
    # On a busy machine a kernel's answer is sometimes lost; papermill finds it when the cell's time is over.
    course = Course(out=root / "out", folder=folder, parameters={"seed": "7", "share": "1e-2"}, time_limit=45)
    return root / "out", run_course(course, say=lines.append), lines


def test_a_failed_notebook_does_not_stop_the_others(ran: Any) -> None:
    _, outcomes, _ = ran
    assert [(outcome.name, outcome.status) for outcome in outcomes] == [
        ("a_failing", "failed"),
        ("b_widget", "failed"),
        ("c_good", "ok"),
    ]


def test_an_error_is_one_line_that_names_its_cell(ran: Any) -> None:
    _, outcomes, _ = ran
    assert outcomes[0].error == "cell 5: ValueError: the cell broke"
    assert outcomes[2].error is None


def test_an_error_swallowed_by_a_widget_is_found(ran: Any) -> None:
    out, outcomes, _ = ran
    assert outcomes[1].error == "in a widget: RuntimeError: the explorer broke"
    cells = read_notebook(out / "notebooks" / "b_widget.ipynb").cells
    assert not any(output.output_type == "error" for cell in cells for output in cell.get("outputs", []))


def test_course_json_says_what_happened(ran: Any) -> None:
    out, _, _ = ran
    record = json.loads((out / "course.json").read_text())
    assert [row["status"] for row in record["notebooks"]] == ["failed", "failed", "ok"]
    assert all(row["seconds"] > 0 and set(row) == {"name", "status", "seconds", "error"} for row in record["notebooks"])
    assert record["profile"] == "smoke" and record["parameters"]["seed"] == "7"
    assert {"python", "torch", "distillcse-kit"} <= set(record["versions"])
    assert record["date"].endswith("+00:00") and record["seconds"] > 0


def test_kernels_have_the_parameters_the_store_and_this_python(ran: Any) -> None:
    out, _, _ = ran
    found = json.loads((out / "store" / "found.json").read_text())
    assert found.pop("kit") == sys.modules["distillcse_kit"].__file__
    assert found == {
        "seed": 7,
        "share": 0.01,
        "store": str(out / "store"),
        "headless": "1",
        "python": sys.executable,
    }
    assert (out / "figures" / "line.png").is_file()


def test_executed_copies_hold_outputs_and_inline_figures(ran: Any) -> None:
    out, _, _ = ran
    assert sorted(path.name for path in (out / "notebooks").iterdir()) == [
        "a_failing.ipynb",
        "b_widget.ipynb",
        "c_good.ipynb",
    ]
    good = read_notebook(out / "notebooks" / "c_good.ipynb")
    assert any("image/png" in output.get("data", {}) for output in good.cells[-1].outputs)


def test_a_line_per_notebook_with_its_time_and_the_expected_total_first(ran: Any) -> None:
    _, _, lines = ran
    assert "3 notebooks" in lines[0] and "about 4 minutes" in lines[1]
    assert [line[:5] for line in lines[2:5]] == ["[1/3]", "[2/3]", "[3/3]"]
    assert lines[4].endswith(" s") and "1 ok, 2 failed" in lines[5]


def test_the_time_limit_ends_a_notebook(tmp_path: Path) -> None:
    course = Course(out=tmp_path / "out", folder=write(tmp_path / "notebooks", slow=SLOW), time_limit=4)
    [outcome] = run_course(course, say=lambda line: None)
    assert outcome.status == "failed" and outcome.error == "not finished within the time limit of 4 s"
    assert outcome.seconds < 60
    assert json.loads((tmp_path / "out" / "course.json").read_text())["notebooks"][0]["status"] == "failed"


def test_a_killed_course_leaves_a_valid_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(notebook: Any, out: Path, name: str, *_: Any) -> None:
        if name == "b":
            raise KeyboardInterrupt

    monkeypatch.setattr(runner, "execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_course(Course(out=tmp_path / "out", folder=write(tmp_path / "n", a="", b="", c="")), say=lambda line: None)
    rows = json.loads((tmp_path / "out" / "course.json").read_text())["notebooks"]
    assert [row["status"] for row in rows] == ["ok", "not run", "not run"]


def test_unknown_parameters_are_refused_and_known_ones_get_their_type(tmp_path: Path) -> None:
    folder = write(tmp_path, a="", b="")
    notebooks = {name: read_notebook(path) for name, path in find_notebooks(folder).items()}
    given = notebook_parameters(notebooks, Course(parameters={"loud": "true", "seed": "3"}))
    assert given["a"]["loud"] is True and given["b"]["seed"] == 3
    for parameters, sentence in [
        ({"sed": "3"}, "Unknown parameter 'sed'; choose among loud, seed, share"),
        ({"seed": "three"}, "The parameter seed is 'three'; it must be of type int"),
        ({"loud": "perhaps"}, "must be of type bool"),
        ({"data_dir": "x"}, "set by --data-dir"),
    ]:
        with pytest.raises(KitError, match=sentence):
            notebook_parameters(notebooks, Course(parameters=parameters))


def test_notebooks_are_chosen_by_name_or_beginning(tmp_path: Path) -> None:
    folder = write(tmp_path, **{"00_start": "", "03_shuffle": "", "03_group": ""})
    assert list(runner.choose_notebooks(["03_g", "00_start.ipynb"], folder)) == ["00_start", "03_group"]
    for wrong, sentence in [
        ("09", "There is no notebook 09"),
        ("03", "Several notebooks begin with 03"),
        ("", "There is no"),
    ]:
        with pytest.raises(KitError, match=sentence):
            runner.choose_notebooks([wrong], folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"profile": "huge"}, "Unknown profile 'huge'"),
        ({"time_limit": 0}, "The time limit is 0 seconds"),
        ({"data_dir": Path("nowhere")}, "There is no data folder nowhere"),
        ({"parameters": {"bla": "1"}}, "Unknown parameter 'bla'"),
        ({"notebooks": ["z"]}, "There is no notebook z"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    folder = write(tmp_path / "notebooks", a=GOOD)
    with pytest.raises(KitError, match=sentence):
        run_course(Course(**{"out": tmp_path / "out", "folder": folder} | changes), say=lambda line: None)
    assert not (tmp_path / "out").exists()


def test_a_damaged_corpus_is_found_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes(b"a sentence\n\xff\xfe\n")
    course = Course(
        out=tmp_path / "out", folder=write(tmp_path / "notebooks", a=GOOD), corpus=str(tmp_path / "corpus.txt")
    )
    with pytest.raises(KitError, match=r"corpus\.txt, line 2"):
        run_course(course, say=lambda line: None)
    assert not (tmp_path / "out").exists()


def test_a_kit_without_notebooks_says_so(tmp_path: Path) -> None:
    with pytest.raises(KitError, match=r"There are no notebooks in .*; install the kit again"):
        run_course(Course(folder=tmp_path), say=lambda line: None)


def test_hidden_errors_in_outputs_and_widgets() -> None:
    traceback = "Traceback (most recent call last):\n  File ...\nKeyError: 'x'\n"
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("stream", name="stderr", text="50%|###")]),
            nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("stream", name="stderr", text=traceback)]),
            nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("stream", name="stdout", text=traceback)]),
        ]
    )
    assert hidden_errors(notebook) == ["cell 2: KeyError: 'x'"]
    error = {"output_type": "error", "ename": "ValueError", "evalue": "\x1b[31mp\x1b[0m\n> 1", "traceback": []}
    state = {"m": {"model_name": "OutputModel", "state": {"outputs": [error]}}}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    assert hidden_errors(notebook)[1:] == ["in a widget: ValueError: p > 1"]
