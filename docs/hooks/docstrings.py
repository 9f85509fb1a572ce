"""Docstrings for the API pages: what is plain text in the code is made Markdown before the pages show it.

Tables with lines of = become Markdown tables, "Example:" the section that shows code, and ][ is no reference.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_BORDER = re.compile(r"( *)=+(?: +=+)+ *")


def with_tables(lines: list[str]) -> list[str]:
    """The lines with each table between three borders of = as a Markdown table; empty first cells go on a row."""
    found, left = [], list(lines)
    while left:
        line = left.pop(0)
        border = _BORDER.fullmatch(line)
        ends = [place for place, other in enumerate(left) if _BORDER.fullmatch(other)]
        if not border or len(ends) < 2:
            found.append(line)
            continue
        starts = [match.start() for match in re.finditer("=+", line)]
        rows: list[list[str]] = []
        for row in [*left[: ends[0]], *left[ends[0] + 1 : ends[1]]]:
            cells = [row[a:b].strip().replace("|", r"\|") for a, b in zip(starts, [*starts[1:], None], strict=True)]
            if rows and not cells[0]:
                rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)]
            else:
                rows.append(cells)
        rows.insert(1, ["---"] * len(starts))
        found += ["", *(f"{border[1]}| {' | '.join(row)} |" for row in rows), ""]
        left = left[ends[1] + 1 :]
    return found


def as_markdown(text: str) -> str:
    """A docstring as Markdown; code, between backticks or indented by four, stays as it is."""
    lines = with_tables(re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE).splitlines())
    for place, line in enumerate(lines):
        if not line.startswith("        ") and ">>>" not in line:
            parts = re.split(r"(`+[^`]*`+)", line)
            lines[place] = "".join(part if part.startswith("`") else part.replace("][", r"]\[") for part in parts)
    return "\n".join(lines)


class Docstrings(griffe.Extension):
    """Changes every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
