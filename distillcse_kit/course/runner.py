"""The course as one job: the notebooks in order, each in its own kernel, all with one store.

People read one line for each notebook as it finishes. Programs read ``course.json``, which is rewritten after every
notebook, so it is valid even if the job is killed.
"""

from __future__ import annotations

import logging
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from distillcse_kit.config import profile_named
from distillcse_kit.course.execution import execute, kernel_of_this_python
from distillcse_kit.course.notebook_files import FOLDER, find_notebooks, read_notebook
from distillcse_kit.duration import duration
from distillcse_kit.encoder.devices import chosen_device
from distillcse_kit.errors import KitError
from distillcse_kit.store import write_json
from distillcse_kit.versions import versions

TIME_LIMITS = {"smoke": 300.0, "laptop": 4 * 3_600.0, "paper": 7 * 24 * 3_600.0}  # seconds for one notebook

_OWN_FLAGS = ("profile", "data_dir", "corpus", "base", "store", "figures")


@dataclass(frozen=True)
class Course:
    """Which notebooks to run, and with which profile and data.

    Attributes:
        profile: smoke, laptop or paper.
        data_dir, corpus, base: as for ``Laboratory``.
        out: folder for the results; None is ``runs/course-PROFILE``.
        store: folder that keeps everything computed; None is ``OUT/store``.
        device: what "auto" means in the notebooks, as in ``encoder.devices.chosen_device``.
        notebooks: names, or their beginnings such as "03"; an empty sequence means all.
        parameters: other parameters of the notebooks, as text.
        time_limit: seconds for one notebook; None takes the profile's from ``TIME_LIMITS``.
        folder: where the notebooks are.
    """

    profile: str = "smoke"
    data_dir: Path | None = None
    corpus: str | None = None
    base: str | None = None
    out: Path | None = None
    store: Path | None = None
    device: str = "auto"
    notebooks: Sequence[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    time_limit: float | None = None
    folder: Path = FOLDER

    @property
    def results(self) -> Path:
        """The folder for the results, as an absolute path because the kernels may work elsewhere."""
        return (self.out or Path("runs") / f"course-{self.profile}").expanduser().absolute()

    def standard_parameters(self) -> dict[str, str]:
        """The parameters that every notebook has, except its seed."""
        return {
            "profile": self.profile,
            "data_dir": str(self.data_dir.expanduser().absolute()) if self.data_dir else "",
            "corpus": _absolute(self.corpus),
            "base": _absolute(self.base),
            "store": str((self.store or self.results / "store").expanduser().absolute()),
            "figures": str(self.results / "figures"),
        }


@dataclass
class Outcome:
    """What happened to one notebook.

    Attributes:
        name: the notebook's.
        status: "ok", "failed" or "not run".
        seconds: how long it took.
        error: what went wrong, in one line; None if nothing did.
    """

    name: str
    status: str = "not run"
    seconds: float = 0.0
    error: str | None = None


def _absolute(source: str | None) -> str:
    """The absolute path of a file or folder; "builtin", "micro" and hub names unchanged; "" for None."""
    if not source or source in ("builtin", "micro"):
        return source or ""
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() else source


def run_course(course: Course, say: Callable[[str], None] = print) -> list[Outcome]:
    """Run the notebooks of the course; one that fails does not stop those after it.

    Executed copies go to ``OUT/notebooks``, figures to ``OUT/figures``, outcomes to ``OUT/course.json``.

    Args:
        course: what to run.
        say: prints a line.

    Returns:
        One outcome for each notebook, in order.

    Raises:
        KitError: a mistake in the settings or the data, or a device that this machine lacks. It is found before
            anything runs or is written.
    """
    profile = profile_named(course.profile)
    limit = TIME_LIMITS[profile.name] if course.time_limit is None else course.time_limit
    if not limit > 0:
        raise KitError(f"The time limit is {limit} seconds; it must be greater than 0.")
    chosen = choose_notebooks(course.notebooks, course.folder)
    notebooks = {name: read_notebook(path) for name, path in chosen.items()}
    parameters = notebook_parameters(notebooks, course)
    device = str(chosen_device(course.device))
    check_data(course)
    out = _results_folders(course)

    outcomes = [Outcome(name) for name in notebooks]
    record = _record(course, limit) | {"device": device}
    _write(out, record, outcomes)
    say(f"{len(notebooks)} notebooks, profile {profile.name}, results in {out}.")
    say(f"The whole course takes about {duration(60 * profile.minutes)}, less if the store has some of the work.")
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the outcomes say the same
    started = time.monotonic()
    with kernel_of_this_python(device):
        for number, outcome in enumerate(outcomes, start=1):
            began = time.monotonic()
            outcome.error = execute(notebooks[outcome.name], out, outcome.name, parameters[outcome.name], limit)
            outcome.status = "failed" if outcome.error else "ok"
            outcome.seconds = round(time.monotonic() - began, 1)
            record["seconds"] = round(time.monotonic() - started, 1)
            _write(out, record, outcomes)
            line = f"[{number}/{len(outcomes)}] {outcome.name:<28}{outcome.status:<8}{outcome.seconds:7.1f} s"
            say(f"{line}   {outcome.error}" if outcome.error else line)
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    say(f"{len(outcomes) - failed} ok, {failed} failed, {duration(record['seconds'])}. {out / 'course.json'}")
    return outcomes


def choose_notebooks(wanted: Sequence[str], folder: Path = FOLDER) -> dict[str, Path]:
    """{name: path} of the wanted notebooks in the order of the course; the beginning of a name is enough.

    Raises:
        KitError: no notebook has that name, or several begin with it.
    """
    found = find_notebooks(folder)
    if not wanted:
        return found
    chosen = set()
    for given in wanted:
        name = Path(given).name.removesuffix(".ipynb")
        matching = [name] if name in found else [known for known in found if name and known.startswith(name)]
        if len(matching) != 1:
            problem = "There is no notebook" if not matching else "Several notebooks begin with"
            raise KitError(f"{problem} {given}; choose among {', '.join(found)}.")
        chosen.add(matching[0])
    return {name: path for name, path in found.items() if name in chosen}


def notebook_parameters(notebooks: Mapping[str, nbformat.NotebookNode], course: Course) -> dict[str, dict[str, Any]]:
    """{notebook: its parameters}: the standard ones for all, and the course's others for those that declare them.

    An unknown parameter is an error here. Papermill only warns about it and runs the notebook with the default.

    Raises:
        KitError: a parameter is declared by none of the notebooks, has its own flag, or has the wrong type.
    """
    import papermill

    for name in course.parameters:
        if name in _OWN_FLAGS:
            flag = "out" if name == "figures" else name.replace("_", "-")
            raise KitError(f"The parameter {name} is set by --{flag}; leave it out of --parameters.")
    standard, known, result = course.standard_parameters(), set(), {}
    for title, notebook in notebooks.items():
        declared = papermill.inspect_notebook(notebook)
        known |= set(declared)
        if missing := [name for name in standard if name not in declared]:
            raise KitError(f"The notebook {title} has no parameter {missing[0]}; add it to its parameters cell.")
        own = {
            name: _typed(name, text, declared[name]["inferred_type_name"])
            for name, text in course.parameters.items()
            if name in declared
        }
        result[title] = standard | own
    if unknown := sorted(set(course.parameters) - known):
        raise KitError(f"Unknown parameter {unknown[0]!r}; choose among {', '.join(sorted(known - set(_OWN_FLAGS)))}.")
    return result


def _typed(name: str, text: str, kind: str) -> Any:
    """A parameter's value, from its text and the type in the parameters cell."""
    try:
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        return {"int": int, "float": float}.get(kind, str)(text)
    except (ValueError, KeyError) as error:
        raise KitError(f"The parameter {name} is {text!r}; it must be of type {kind}.") from error


def check_data(course: Course) -> None:
    """Read the data that the user named, so that a mistake shows now and not as a failed cell in an hour.

    Raises:
        KitError: profile, base, corpus or pairs are unknown, missing or damaged.
    """
    if course.data_dir is not None and not course.data_dir.expanduser().is_dir():
        raise KitError(f"There is no data folder {course.data_dir}; give an existing one with --data-dir.")
    if course.profile != "paper" and not (course.data_dir or course.corpus or course.base):
        return
    from distillcse_kit.laboratory import Laboratory

    given = course.standard_parameters()
    data_dir, corpus, base = (given[name] or None for name in ("data_dir", "corpus", "base"))
    # A course that cannot start leaves nothing in its own store. Windows cannot delete what is still memory-mapped.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as store:
        lab = Laboratory(course.profile, data_dir, corpus, base, store, course.device)
        lab.describe()  # reads corpus, dev and test pairs
        _ = lab.base


def _results_folders(course: Course) -> Path:
    out = course.results
    try:
        for folder in (out / "notebooks", out / "figures", Path(course.standard_parameters()["store"])):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KitError(
            f"{error.filename} cannot be created ({error.strerror}); name another folder with --out."
        ) from error
    return out


def _record(course: Course, limit: float) -> dict[str, Any]:
    return {
        "profile": course.profile,
        "parameters": course.standard_parameters() | dict(course.parameters),
        "time_limit": limit,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **versions("papermill")},
        "seconds": 0.0,
    }


def _write(out: Path, record: dict[str, Any], outcomes: list[Outcome]) -> None:
    write_json(out / "course.json", record | {"notebooks": [asdict(outcome) for outcome in outcomes]})
