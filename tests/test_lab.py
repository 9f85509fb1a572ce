"""``distillcse lab`` starts a real JupyterLab at the first notebook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from distillcse_kit.command import lab
from distillcse_kit.command.main import main
from distillcse_kit.course.notebook_files import FOLDER, sources

ROOT = Path(__file__).resolve().parents[1]


def answer(address: str) -> Any:
    """What the server says there. It prints its address a moment before it listens."""
    while True:
        try:
            with urllib.request.urlopen(address, timeout=60) as response:
                return json.load(response)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)


@pytest.mark.xdist_group("kernels")
def test_it_copies_the_notebooks_and_serves_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / "03_group_p_shuffling.ipynb").write_text("mine", encoding="utf-8")
    command = [sys.executable, "-u", "-m", "distillcse_kit", "lab", str(folder), "--no-browser", "--allow-root"]
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            assert server.stdout
            told, address = [], None
            for line in server.stdout:
                told.append(line)
                if address := re.search(r"(http://\S+)/lab/tree/00_start_here\.ipynb\?(token=\w+)", line):
                    break
            assert address, told
            served = {item["name"] for item in answer(f"{address[1]}/api/contents?{address[2]}")["content"]}
        finally:
            server.terminate()
    assert served == {f"{source.stem}.ipynb" for source in sources()}
    assert "Left as they are, since they differ from the kit's: 03_group_p_shuffling.ipynb." in "".join(told)
    assert (folder / "03_group_p_shuffling.ipynb").read_text(encoding="utf-8") == "mine"


def test_in_a_checkout_it_opens_the_notebooks_there(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "")
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", opened.append)
    assert main(["lab"]) == 0 and main(["lab", "--no-browser"]) == 0
    where = [f"--ServerApp.root_dir={FOLDER}", "--LabApp.default_url=/lab/tree/00_start_here.ipynb"]
    assert opened == [where, [*where, "--no-browser"]]


def test_outside_a_checkout_it_needs_a_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lab, "find_checkout", lambda: None)
    assert main(["lab"]) == 2
    assert "name one, as in distillcse lab lessons." in capsys.readouterr().err
