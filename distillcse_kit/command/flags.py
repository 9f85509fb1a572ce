"""Command line flags from settings: a dataclass's fields, types, defaults and docstring are written only once."""

from __future__ import annotations

import argparse
import dataclasses
import re
import types
import typing
from collections.abc import Iterable
from typing import Any


def field_help(settings: type) -> dict[str, str]:
    """{field: what the ``Attributes`` section of the dataclass's docstring says of it}."""
    section = (settings.__doc__ or "").partition("Attributes:")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        entry = re.fullmatch(r" {8}(\w+(?:, \w+)*): (.*)", line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def add_settings(parser: argparse.ArgumentParser, settings: type, title: str, without: Iterable[str] = ()) -> None:
    """Add one flag for each field of a settings dataclass; a flag that is not given stays out of the namespace."""
    group = parser.add_argument_group(title)
    kinds, helps = typing.get_type_hints(settings), field_help(settings)
    for field in dataclasses.fields(settings):
        if field.name in without:
            continue
        flag = "--" + field.name.replace("_", "-")
        # a percent sign would be argparse's own formatting
        text, kind = helps.get(field.name, "").rstrip(".").replace("``", "").replace("%", "%%"), kinds[field.name]
        if kind is bool:
            group.add_argument(flag, help=text, default=argparse.SUPPRESS, action=argparse.BooleanOptionalAction)
            continue
        if typing.get_origin(kind) is typing.Literal:
            # the dataclass itself complains of another choice, in the same sentence as everywhere
            group.add_argument(flag, help=text, default=argparse.SUPPRESS, metavar="|".join(typing.get_args(kind)))
            continue
        assert isinstance(kind, type) and not isinstance(kind, types.UnionType)
        group.add_argument(flag, help=text, default=argparse.SUPPRESS, type=kind, metavar=kind.__name__.upper())


def given(arguments: argparse.Namespace, settings: type) -> dict[str, Any]:
    """The fields of a settings dataclass that were given as flags."""
    names = {field.name for field in dataclasses.fields(settings)}
    return {name: value for name, value in vars(arguments).items() if name in names}
