"""Reading JSON: strings or objects, one on each line or all in one list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distillcse_kit.data.reading import kind_of, numbered_lines
from distillcse_kit.errors import KitError


def json_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Records of a .jsonl file, or of a .json file: a list, ``{"data": that list}``, or lines as in .jsonl.

    Yields:
        Where the record is (``line 3`` or ``item 3``, counted from 1), and the record.

    Raises:
        KitError: the file is unreadable, or is not JSON of one of these forms.
    """
    first = next((text for _, text in numbered_lines(path) if text.strip()), None)
    if first is None:
        return
    if kind_of(path) == ".jsonl" or _is_record(first):
        yield from _records_of_lines(path)
        return
    content = _parsed("\n".join(text for _, text in numbered_lines(path)), path, 1)
    if isinstance(content, dict):
        content = content.get("data")
    if not isinstance(content, list):
        raise KitError(
            f'{path}: the file must hold a list of strings or of objects, or {{"data": that list}}; '
            f"the kit reads no other form of JSON, so write such a list, or a .jsonl file with one object per line."
        )
    for number, record in enumerate(content, start=1):
        yield f"item {number}", record


def _records_of_lines(path: Path) -> Iterator[tuple[str, Any]]:
    for number, text in numbered_lines(path):
        if text.strip():
            yield f"line {number}", _parsed(text, path, number)


def _is_record(text: str) -> bool:
    """Whether a file's first line is a complete record: then each line is one, otherwise the file is one document."""
    try:
        record = json.loads(text)
    except ValueError:
        return False
    return isinstance(record, str) or (isinstance(record, dict) and not isinstance(record.get("data"), list))


def _parsed(text: str, path: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise KitError(
            f"{path}, line {first_line + error.lineno - 1}: not valid JSON ({error.msg}, character {error.colno}); "
            f"fix the line."
        ) from error
