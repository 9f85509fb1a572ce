"""A private JupyterLab on the loopback address, and a browser that opens notebooks in it."""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from distillcse_kit.course.notebook_files import FOLDER as NOTEBOOKS

ROOT = Path(__file__).resolve().parents[2]
WINDOW = {"width": 1280, "height": 800}
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
OFFLINE = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SECOND = 1_000  # the browser counts in milliseconds

# These settings keep JupyterLab from asking the network for news, updates or extensions.
_SERVER = """\
c = get_config()
c.ServerApp.open_browser = False
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port_retries = 0
c.ServerApp.allow_root = True
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
"""
_PAGE = {
    "disabledExtensions": {
        "@jupyterlab/apputils-extension:announcements": True,
        "@jupyterlab/extensionmanager-extension": True,
    }
}


def find_chromium() -> str | None:
    """Path of Debian's browser, or of another with a usual name; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def copy_lessons(folder: Path, parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Copy all notebooks into a new folder, with {name: {parameter: value}} set as papermill sets them."""
    folder.mkdir()
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = load_notebook_node(str(path))
        if path.stem in parameters:
            notebook = parameterize_notebook(notebook, dict(parameters[path.stem]))
        nbformat.write(notebook, folder / path.name)


@dataclass(frozen=True)
class Server:
    """A running JupyterLab: its address, its token and the folder it shows."""

    address: str
    token: str
    folder: Path

    def ask(self, path: str, method: str = "GET", content: Any = None) -> Any:
        """Send ``method`` to ``path`` of the server's API; the decoded JSON answer, or None if it is empty."""
        body = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def stop_kernels(self) -> None:
        for kernel in self.ask("api/kernels"):
            self.ask(f"api/kernels/{kernel['id']}", "DELETE")


@contextmanager
def jupyterlab(notebooks: Path, home: Path, store: Path) -> Iterator[Server]:
    """A JupyterLab with its own settings, running until the block ends; its kernels stop with it.

    Args:
        notebooks: folder that it shows. home: empty folder for its settings, data and log.
        store: folder of everything that the notebooks compute.

    Raises:
        RuntimeError: it did not start; the message holds the end of its log.
    """
    (home / "config" / "labconfig").mkdir(parents=True)
    (home / "config" / "jupyter_server_config.py").write_text(_SERVER)
    (home / "config" / "labconfig" / "page_config.json").write_text(json.dumps(_PAGE))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}", secrets.token_hex(16), notebooks)
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", f"--port={port}", f"--ServerApp.root_dir={notebooks}"],
            env=_environment(home, store, server.token),
            cwd=notebooks,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_up(server, process, home / "log")
        yield server
    finally:
        _end(process)


def _environment(home: Path, store: Path, token: str) -> dict[str, str]:
    """The environment of a reader without settings: explorers are live, and the kernel is this Python with this kit."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DISTILLCSE_", "JUPYTER"))}
    return kept | {
        "DISTILLCSE_STORE": str(store),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_TOKEN": token,
        "IPYTHONDIR": str(home / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }


def _wait_until_up(server: Server, process: subprocess.Popen[bytes], log: Path, limit: float = 90) -> None:
    until = time.monotonic() + limit
    while process.poll() is None and time.monotonic() < until:
        try:
            server.ask("api/status")
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)  # between two tries
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3_000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop, which also stops its kernels; kill whatever still runs after that."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=20)
    for left in alive:
        left.kill()
    process.wait()


@contextmanager
def chromium(executable: str) -> Iterator[Browser]:
    """The browser, open until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*QUIET, *OFFLINE], timeout=60 * SECOND)
        try:
            yield browser
        finally:
            browser.close()


class OpenNotebook:
    """One notebook in a window of the browser.

    Args:
        browser, server: where to open it. name: path of the notebook in the server's folder.
        window: size in pixels.

    Attributes:
        dialogs: texts of the alerts and other dialogs that the page opened; each is dismissed.
        crashes: JavaScript exceptions that nothing caught.
    """

    def __init__(self, browser: Browser, server: Server, name: str, window: dict[str, int] | None = None) -> None:
        self.server = server
        self.context = browser.new_context(viewport=window or WINDOW)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(60 * SECOND)
        self.dialogs: list[str] = []
        self.crashes: list[str] = []
        self.page.on("dialog", self._dismiss)
        self.page.on("pageerror", lambda error: self.crashes.append(str(error)))
        workspace = f"{Path(name).stem}-{secrets.token_hex(4)}"
        self.page.goto(f"{server.address}/lab/workspaces/{workspace}/tree/{name}?token={server.token}")
        self.wait_until(lambda: self.page.evaluate(_READY), "the kernel is ready")

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def close(self) -> None:
        self.context.close()

    def wait_until(
        self, holds: Callable[[], Any], what: str, limit: float = 60, instead: Callable[[], str] = str
    ) -> None:
        """Wait for the page or the kernel: return as soon as the condition holds.

        Raises:
            AssertionError: it still does not hold after ``limit`` seconds. The message says ``what`` was waited for and
                what is there ``instead``.
        """
        until = time.monotonic() + limit
        while not holds():
            assert time.monotonic() < until, f"Not within {limit:.0f} seconds: {what}.\n{instead()}"
            self.page.wait_for_timeout(50)  # between two looks; the page's events are handled meanwhile

    def set_theme(self, name: str) -> None:
        """Choose a theme in the menu, "JupyterLab Light" or "JupyterLab Dark", and wait until the page shows it."""
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        menus = self.page.locator(".lm-Menu")
        menus.get_by_text("Theme", exact=True).hover()
        menus.get_by_text(name, exact=True).click()
        self.page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.page.mouse.move(2, 2)

    def begin(self) -> None:
        """Choose "Run All Cells" in the menu."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def run_all(self, limit: float = 120) -> None:
        """Run all cells, and wait until all have run or one has failed.

        Raises:
            AssertionError: a cell failed; the message holds its error.
        """
        self.begin()
        self.wait_until(lambda: self.page.evaluate(_DONE), "all cells have run", limit)
        assert not self.errors(), "\n".join(self.errors())

    def errors(self) -> list[str]:
        """All errors that the notebook shows: of cells, on the error stream, and in place of widgets."""
        cells = self.page.locator(f"{_OUTPUT}[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()
        streams = self.page.locator(f"{_OUTPUT}[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()
        broken = self.page.locator(".jupyter-widgets.jp-mod-error, .jupyter-widgets-error-widget").all_inner_texts()
        return [*cells, *(text for text in streams if "Traceback" in text), *broken]


_OUTPUT = ".jp-Notebook .jp-RenderedText"
# The kernel has answered this page. JupyterLab says "idle" from the start, but runs nothing before that.
_READY = """async () => {
    const sessions = await (await fetch("/api/sessions")).json();
    const kernel = sessions.map(session => session.kernel).find(kernel => kernel && kernel.connections > 0);
    const shown = document.querySelector(".jp-Notebook-ExecutionIndicator[data-status='idle']");
    const restored = !document.querySelector("#jupyterlab-splash, .jp-Dialog");
    return Boolean(restored && shown && kernel && kernel.execution_state === "idle");
}"""
# Every code cell has its number, or one has failed and the cells after it do not run.
_DONE = """() => {
    if (document.querySelector(".jp-Notebook .jp-RenderedText[data-mime-type='application/vnd.jupyter.error']"))
        return true;
    const prompts = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell .jp-InputArea-prompt")];
    const idle = document.querySelector(".jp-Notebook-ExecutionIndicator[data-status='idle']");
    return idle && prompts.length > 0 && prompts.every(prompt => /^\\[\\d+\\]:$/.test(prompt.textContent.trim()));
}"""


class Shown:
    """One explorer on the page, moved with the keyboard as a reader moves it.

    Args:
        notebook: an open notebook whose cells have run. kind: as in its DOM class: group-p, teacher-variance, ...
        last: take the last explorer of its kind instead of the first.
    """

    def __init__(self, notebook: OpenNotebook, kind: str, last: bool = False) -> None:
        self.notebook = notebook
        found = notebook.page.locator(f".dk-explorer.dk-{kind}")
        self.box = found.last if last else found.first
        self.box.wait_for(state="attached")
        self.bring_into_sight()

    def bring_into_sight(self, looks: int = 10) -> None:
        """Scroll to it, and wait until it has stayed there, filled, for so many looks in a row.

        Outputs above it grow as they come into view and push it out again, and JupyterLab empties what is out of view.

        Raises:
            AssertionError: it stays empty, or does not come to rest.
        """
        seen: list[float] = []

        def rests() -> bool:
            self.to_the_top()
            seen.append(self.box.evaluate("box => box.getBoundingClientRect().top"))
            if not (self._shown_words and self.picture):
                seen.clear()
            return len(seen) >= looks and len(set(seen[-looks:])) == 1

        self.notebook.wait_until(rests, "the explorer has words and a picture, and stays in sight")

    def to_the_top(self) -> None:
        """Scroll the explorer's title to the top of the notebook."""
        self.box.evaluate("box => box.scrollIntoView()")

    @property
    def heights(self) -> tuple[float, float, float]:
        """In pixels: from its title to the end of the first line of its words; the whole; the visible page."""
        first, whole, page = self.box.evaluate(_HEIGHTS)
        return first, whole, page

    @property
    def words(self) -> str:
        """The text below the picture."""
        if not self._shown_words:
            self.bring_into_sight()
        return self._shown_words

    @property
    def _shown_words(self) -> str:
        """The same; empty while the page does not lay it out."""
        return self.box.locator(".dk-words").inner_text()

    @property
    def picture(self) -> bytes:
        """The bytes of the picture's file, as the browser has it; empty while the next picture replaces it."""
        encoded: str = self.box.locator("img.dk-image").evaluate(_FETCH)
        return base64.b64decode(encoded)

    @property
    def state(self) -> dict[str, Any]:
        """The traits that the picture was drawn for, from the picture's metadata; empty when ``picture`` is."""
        file = self.picture
        if not file:
            return {}
        with Image.open(io.BytesIO(file)) as image:
            state: dict[str, Any] = json.loads(image.text["Settings"])  # type: ignore[attr-defined]
        return state

    def control(self, name: str) -> Locator:
        return self.box.locator(f".dk-control-{name}")

    def button(self, name: str) -> Locator:
        return self.box.locator(f".dk-button-{name}")

    def press(self, place: Locator, key: str, **state: Any) -> None:
        """Go to a control, press a key, and wait for a new picture, drawn for the given state.

        Raises:
            AssertionError: the picture does not change, or it was drawn for another state.
        """
        self.bring_into_sight(looks=2)
        before = self.picture
        place.focus()
        self.notebook.page.keyboard.press(key)
        self.notebook.wait_until(
            lambda: self.picture not in (before, b"") and state.items() <= self.state.items(),
            f"after {key} there is another picture, with {state}",
            limit=20,
        )

    def slide(self, name: str, value: float, key: str = "ArrowRight") -> None:
        """Move a slider one step, to ``value``."""
        self.press(self.control(name).locator(".noUi-handle"), key, **{name: value})

    def says(self, text: str, limit: float = 20) -> None:
        """Wait until ``text`` is among the words.

        Raises:
            AssertionError: it does not appear; the message gives the words that are there instead.
        """
        self.notebook.wait_until(
            lambda: text in self.words, f"the words hold {text!r}", limit, instead=lambda: self.words
        )


_HEIGHTS = """box => {
    const [whole, words] = [box, box.querySelector(".dk-words")].map(it => it.getBoundingClientRect());
    const page = box.closest(".jp-NotebookPanel-notebook").getBoundingClientRect();
    return [words.top + 24 - whole.top, whole.height, page.height];
}"""
_FETCH = """async image => {
    try {
        const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
        return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
    } catch {
        return "";
    }
}"""
