"""Equations as MathML, made when the site is built: browsers draw it themselves and fetch no script or font."""

from __future__ import annotations

import html
import logging
import re
from typing import Any

from latex2mathml.converter import convert

log = logging.getLogger("mkdocs.hooks.equations")
_MARKED = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
# Commands that the converter does not know.
_OTHERWISE = {r"\arg": r"\operatorname{arg}"}


def mathml(tex: str, block: bool) -> str:
    """An equation in LaTeX as MathML, on a line of its own if ``block``.

    Raises:
        ValueError: a command is not known.
    """
    for command, known in _OTHERWISE.items():
        tex = re.sub(re.escape(command) + r"(?![A-Za-z])", lambda _, known=known: known, tex)
    found = convert(tex, display="block" if block else "inline")
    if unknown := re.search(r"\\[A-Za-z]+", found):
        raise ValueError(f"{unknown[0]} in the equation {tex.strip()!r} has no MathML here")
    return found


def with_mathml(page: str) -> str:
    """The HTML of a page with each marked equation replaced."""

    def replaced(match: re.Match[str]) -> str:
        return mathml(html.unescape(match[3]), match[2] == "[")

    return _MARKED.sub(replaced, page)


def on_page_content(page_html: str, page: Any, **_: Any) -> str:
    """Replace the equations of a page; one that cannot be read is a warning, which fails a strict build."""
    try:
        return with_mathml(page_html)
    except Exception as error:
        log.warning("%s: %s", page.file.src_uri, error)
        return page_html
