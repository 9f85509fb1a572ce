"""Bars are for people at a terminal or a notebook; logs get lines."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tqdm.notebook import tqdm as notebook_tqdm

import distillcse_kit
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
from distillcse_kit.progress import counted, progress_bar

PACKAGE = Path(distillcse_kit.__file__).parent
BAR = "from distillcse_kit.progress import progress_bar\nfor _ in progress_bar(range(3), desc='hens'): pass"
JOBS = "from distillcse_kit.progress import counted\nfor _ in counted(['a', 'b'], 2, 'hens'): pass"


def into_pipe(code: str, **variables: str) -> str:
    """What the code writes to stderr, which is a pipe."""
    surroundings = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"} | variables
    done = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def onto_terminal(code: str, **variables: str) -> str:
    """What the code writes to stderr, which is a terminal."""
    surroundings = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"} | variables
    ours, theirs = pytest.importorskip("pty", reason="Windows has no pseudo terminals").openpty()
    pytest.importorskip("termios").tcsetwinsize(theirs, (24, 80))
    try:
        subprocess.run([sys.executable, "-c", code], env=surroundings, stderr=theirs, check=True)
        os.write(theirs, b"end\n")
        written = b""
        while not written.endswith(b"end\r\n"):
            written += os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(theirs)
    return written.decode().removesuffix("end\r\n")


def test_a_bar_needs_a_terminal() -> None:
    assert "hens:   0%" in onto_terminal(BAR)
    assert into_pipe(BAR) == ""


@pytest.mark.parametrize("code", [BAR, JOBS, BAR.replace("desc=", "shown=True, desc=")])
def test_the_variable_of_tqdm_silences_everything(code: str) -> None:
    assert onto_terminal(code, TQDM_DISABLE="1") == ""
    assert into_pipe(code, TQDM_DISABLE="1") == ""


def test_jobs_are_counted_in_lines_where_there_is_no_bar() -> None:
    assert into_pipe(JOBS) == "hens: 2 to do.\nhens: 1 of 2 done.\nhens: 2 of 2 done.\n"
    assert "hens:   0%" in onto_terminal(JOBS) and "to do" not in onto_terminal(JOBS)
    assert into_pipe(JOBS.replace("['a', 'b'], 2", "[], 0")) == ""


def test_a_job_counts_when_it_is_done(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with pytest.raises(RuntimeError):
        for job in counted("ab", 2, "hens"):
            if job == "b":
                raise RuntimeError
    assert capsys.readouterr().err == "hens: 2 to do.\nhens: 1 of 2 done.\n"


def test_notebooks_keep_their_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr("distillcse_kit.progress.tqdm", notebook_tqdm)
    assert not progress_bar(range(3), display=False).disable
    assert progress_bar(range(3), shown=False, display=False).disable
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress_bar(range(3), display=False).disable


def test_python_without_a_console_has_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert list(progress_bar("ab")) == list(counted("ab", 2, "hens")) == ["a", "b"]


def test_an_encoder_is_quiet_in_a_log(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SentenceEncoder.load(tiny).encode(["a red bowl"] * 3, batch_size=1, show_progress_bar=True)
    assert capsys.readouterr().err == ""


def test_all_bars_come_from_one_place() -> None:
    found = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tqdm"))
        or (isinstance(node, ast.Import) and any(name.name.startswith("tqdm") for name in node.names))
    }
    assert found == {"progress.py"}
