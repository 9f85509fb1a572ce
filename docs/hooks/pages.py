"""Pages of the site that are not files of docs/: README and its like, figures, API pages, executed notebooks.

Links in Markdown are written for a reader of the repository. Here they are turned to the site's pages.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[2]
# Where the executed notebooks are; `make docs` runs the smoke course if there are none.
NOTEBOOKS = Path(os.environ.get("DISTILLCSE_NOTEBOOKS", ROOT / "runs" / "course-smoke" / "notebooks"))
API = (
    "config",
    "method",
    "fast",
    "encoder",
    "data",
    "training",
    "analysis",
    "evaluation",
    "laboratory",
    "experiments",
    "plots",
    "explorers",
)
# {page or file of the site: file of the repository}
ELSEWHERE = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "micro.md": "distillcse_kit/micro/README.md",
    "figures/index.md": "figures/README.md",
    "LICENSE": "LICENSE",
}
_NAME = re.compile(r"`([a-z]+)((?:\.\w+)+)`")
_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")


def site_links(text: str, page: str, source: str, pages: dict[str, str]) -> str:
    """The Markdown of one page with its links to files of the repository turned to those of the site.

    Args:
        text: the Markdown.
        page: its place in the site, such as "index.md".
        source: its place in the repository, such as "README.md".
        pages: {place in the repository: place in the site}.
    """

    def turned(match: re.Match[str]) -> str:
        there = pages.get(posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2])))
        if there is None:
            return match[0]
        return f"{match[1]}{posixpath.relpath(there, posixpath.dirname(page) or '.')}{match[3] or ''}{match[4]}"

    return _LINK.sub(turned, text)


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """An executed notebook as Markdown, and its pictures by name.

    Widgets are left out, since they need a kernel; the same cells show their figures as pictures. So is the cell that
    papermill adds: it holds folders of the machine that ran the notebook.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    widget = "application/vnd.jupyter.widget-view+json"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if widget not in output.get("data", {})]
    text, resources = MarkdownExporter().from_notebook_node(notebook, {"unique_key": path.stem})
    # Frames come with a style of their own; without it the theme draws them as its other tables.
    text = re.sub(r"<style scoped>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'<table border="1" class="dataframe">', "<table>", text)
    return text, resources["outputs"]


def with_api_links(text: str) -> str:
    """The Markdown of the map with its names linked to the API pages; a name that is not there fails a strict build.

    Constants and their entries stay as they are, for API pages show what has a docstring.
    """

    def linked(match: re.Match[str]) -> str:
        room, name = match.groups()
        constant = name.rpartition(".")[2].isupper()
        return match[0] if constant or room not in API else f"[{match[0]}][distillcse_kit.{room}{name}]"

    return _NAME.sub(linked, text)


def api_page(room: str) -> str:
    """A room's page: what it says of itself, then each of its modules."""
    folder = ROOT / "distillcse_kit" / room
    modules = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in modules]
    # What a package takes from its modules would stand here twice.
    packages = f"::: distillcse_kit.{room}\n" + "    options: {members: false, show_root_heading: false}\n" * bool(
        names
    )
    return f"# {room}\n\n{packages}\n" + "".join(f"::: {name}\n\n" for name in names)


def on_files(files: Any, config: Any) -> Any:
    """Add all pages and pictures."""
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for picture in sorted((ROOT / "figures").rglob("*.png")):
        files.append(File.generated(config, picture.relative_to(ROOT).as_posix(), abs_src_path=str(picture)))
    for room in API:
        files.append(File.generated(config, f"api/{room}.md", content=api_page(room)))
    notebooks = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not notebooks:
        raise PluginError(f"There are no executed notebooks in {NOTEBOOKS}; run `make docs`, or `make course` first.")
    for path in notebooks:
        text, pictures = notebook_page(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn the links."""
    here = page.file.src_uri
    pages = {source: there for there, source in ELSEWHERE.items()}
    for file in files:
        pages.setdefault(file.src_uri if file.generated_by else f"docs/{file.src_uri}", file.src_uri)
    if here == "map.md":
        markdown = with_api_links(markdown)
    return site_links(markdown, here, ELSEWHERE.get(here, f"docs/{here}"), pages)
