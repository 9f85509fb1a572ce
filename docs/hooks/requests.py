"""The built site fetches nothing from elsewhere: no script, style, font, picture or frame of another host."""

from __future__ import annotations

import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.requests")
_FETCHED = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src", "video": "src", "audio": "src",
    "link": "href", "object": "data",
}  # fmt: skip
_NOT_FETCHED = {"canonical", "alternate", "next", "prev", "license"}
_IN_STYLES = re.compile(
    r"url\(\s*['\"]?((?:https?:)?//[^)'\"\s]+)|@import\s+(?:url\()?['\"]?((?:https?:)?//[^)'\"\s]+)"
)


class _Fetches(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and set((given.get("rel") or "").split()) & _NOT_FETCHED:
            return
        target = given.get(_FETCHED.get(tag, "")) or ""
        if re.match(r"(https?:)?//", target):
            self.found.append(target)


def external_requests(page: str) -> list[str]:
    """Addresses on other hosts that a browser fetches by itself when it shows this HTML; links to click are none."""
    parser = _Fetches()
    parser.feed(page)
    return parser.found + external_in_styles(page)


def external_in_styles(text: str) -> list[str]:
    """Addresses on other hosts in the url() and @import of a style sheet."""
    return [first or second for first, second in _IN_STYLES.findall(text)]


def on_post_build(config: Any) -> None:
    """Look at every page and style sheet; a warning fails a strict build."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css"):
            look = external_requests if path.suffix == ".html" else external_in_styles
            for address in look(path.read_text(encoding="utf-8")):
                log.warning("%s fetches %s", path.relative_to(config.site_dir), address)
