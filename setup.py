"""What pyproject.toml cannot say: notebooks/src goes into the package, and the README's links become absolute."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
_LINK = re.compile(r"\]\((?!\w+:|#)([^)\s]+)\)")
_PICTURES = (".png", ".svg", ".jpg", ".gif")


def absolute_links(markdown: str, repository: str | None) -> str:
    """The README with each relative link turned to the repository, for readers elsewhere, such as on PyPI.

    Args:
        markdown: the README.
        repository: address of the repository, with pages as GitHub has them; None leaves all links as they are.
    """
    if not repository:
        return markdown
    base = repository.rstrip("/").removesuffix(".git")

    def turned(link: re.Match[str]) -> str:
        return f"]({base}/{'raw' if link[1].endswith(_PICTURES) else 'blob'}/HEAD/{link[1]})"

    return _LINK.sub(turned, markdown)


class BuildWithNotebooks(build_py):
    """Puts notebooks/src into the package, where an installed kit looks for it. A checkout has its own."""

    def run(self) -> None:
        """Build, then add the notebooks."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "distillcse_kit" / "notebooks" / "src"
            shutil.rmtree(target, ignore_errors=True)  # what an earlier build has left
            target.mkdir(parents=True)
            for source in sorted((ROOT / "notebooks" / "src").glob("*.py")):
                shutil.copyfile(source, target / source.name)


def readme() -> str:
    """The README as the package's page shows it."""
    urls: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return absolute_links((ROOT / "README.md").read_text(encoding="utf-8"), urls.get("Repository"))


if __name__ == "__main__":
    setup(
        cmdclass={"build_py": BuildWithNotebooks},
        long_description=readme(),
        long_description_content_type="text/markdown",
    )
