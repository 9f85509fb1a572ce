"""Flags that several commands share, and flags made from settings.

A setting's type, default and explanation are written once, in its dataclass. Each flag's help ends with its default.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distillcse_kit.config import PROFILES, TrainingSettings
from distillcse_kit.data.reading import COMPRESSED, DATA_KINDS

STORE = "the folder in DISTILLCSE_STORE, else ~/.cache/distillcse_kit"
SENTENCE_SOURCES = (
    f"builtin, a file ({' '.join(DATA_KINDS)}, also {' '.join(COMPRESSED)}), a folder of such files or of "
    f"save_to_disk, or a hub name"
)


# ---------------------------------------------------------------- flags from settings


def field_help(settings: type) -> dict[str, str]:
    """{field: what the ``Attributes`` section of the dataclass's docstring says about it}."""
    # Python 3.13 takes the indentation off docstrings as it compiles them; cleandoc does the same on older ones.
    section = inspect.cleandoc(settings.__doc__ or "").partition("Attributes:")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        entry = re.fullmatch(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def add_settings(
    parser: argparse.ArgumentParser,
    settings: type,
    title: str,
    description: str | None = None,
    defaults: Mapping[str, str] | None = None,
) -> None:
    """Add one flag for each field of a settings dataclass.

    A flag that is not given stays out of the namespace, so ``given`` returns only what the user chose.

    Args:
        parser: gets the flags.
        settings: the dataclass.
        title, description: the heading of the flags in the help, and a sentence below it.
        defaults: {field: text of its default}, and no flag for other fields; None takes the dataclass's own.
    """
    group = parser.add_argument_group(title, description)
    kinds, helps = typing.get_type_hints(settings), field_help(settings)
    for field in dataclasses.fields(settings):
        default = default_text(field.default) if defaults is None else defaults.get(field.name)
        if default is None:
            continue
        kind, text = _without_none(kinds[field.name]), helps.get(field.name, "").rstrip(".").replace("``", "")
        options: dict[str, Any] = {"help": f"{text} (default: {default})".replace("%", "%%")}  # % is argparse's own
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif typing.get_origin(kind) is typing.Literal:
            # Not argparse's choices: the dataclass rejects a wrong one, in the same words as everywhere in the kit.
            options["metavar"] = "|".join(typing.get_args(kind))
        else:
            options |= {"type": kind, "metavar": "TEXT" if kind is str else kind.__name__.upper()}
        group.add_argument("--" + field.name.replace("_", "-"), default=argparse.SUPPRESS, **options)


def _without_none(kind: Any) -> Any:
    """float for ``float | None``: a flag that is not given is None. Any other type as it is."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        [kind] = [part for part in typing.get_args(kind) if part is not types.NoneType]
    return kind


def given(arguments: argparse.Namespace, settings: type) -> dict[str, Any]:
    """The fields of a settings dataclass that the user gave as flags."""
    names = {field.name for field in dataclasses.fields(settings)}
    return {name: value for name, value in vars(arguments).items() if name in names}


def default_text(value: Any) -> str:
    """A default as the help shows it."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def by_profile(path: str) -> str:
    """The default that each profile has for an attribute, such as ``training.steps``; one value if they agree."""
    profiles: dict[str, list[str]] = {}
    for name, profile in PROFILES.items():
        value: Any = profile
        for part in path.split("."):
            value = getattr(value, part)
        profiles.setdefault(default_text(value), []).append(name)
    if len(profiles) == 1:
        return next(iter(profiles))
    return ", ".join(f"{text} in {' and '.join(names)}" for text, names in profiles.items())


# ---------------------------------------------------------------- flags that several commands share


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the results to FILE (default: off)")


def add_profile(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --profile."""
    parser.add_argument(
        "--profile",
        metavar="NAME",
        default=default,
        help=f"how much to compute: smoke (least), laptop, or paper (as in the paper, on a GPU) (default: {default})",
    )


def add_store(parser: argparse.ArgumentParser, default: str = STORE) -> None:
    """Add --store."""
    parser.add_argument(
        "--store", metavar="DIR", type=Path, help=f"folder that keeps everything computed (default: {default})"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir and --corpus."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="folder with STS sets and perhaps a corpus; a checkout of SimCSE will do "
        "(default: the built-in data, or the hub's with --profile paper)",
    )
    parser.add_argument(
        "--corpus",
        metavar="SOURCE",
        help=f"training sentences: {SENTENCE_SOURCES} "
        "(default: the corpus in --data-dir, else builtin, or Wikipedia from the hub with --profile paper)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="auto",
        help="where to compute: cpu, cuda (or cuda:1 and so on), mps (Apple's GPU), or auto: what DISTILLCSE_DEVICE "
        "names, else cuda, mps or cpu, the first that this machine has (default: auto)",
    )


def add_column(parser: argparse.ArgumentParser) -> None:
    """Add --column."""
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="column or JSON key that holds the sentences (default: sentence, text or another usual name)",
    )


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """Add --positive and --hard-negative."""
    parser.add_argument(
        "--positive",
        metavar="NAME",
        help="column or JSON key with a sentence of the same meaning for each row: SimCSE's supervised mode "
        "(default: off, each sentence is its own positive)",
    )
    parser.add_argument(
        "--hard-negative",
        metavar="NAME",
        help="column or JSON key with a similar sentence of another meaning for each row; needs --positive "
        "(default: off)",
    )


def add_training(parser: argparse.ArgumentParser, runs: str) -> None:
    """Add the flags of the commands that train; ``runs`` is the profile's number of seeds, an attribute of it."""
    add_profile(parser, "laptop")
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help="use these settings instead of the profile's: paper or authors-code, which take the paper's learning rate "
        "for the --base (BERT or RoBERTa, base or large) and refuse another base without --learning-rate; or "
        "strong-teacher, which is for one encoder much better than the base (default: off)",
    )
    add_data(parser)
    add_store(parser)
    add_column(parser)
    add_pairs(parser)
    parser.add_argument(
        "--sentences",
        metavar="INT",
        type=int,
        help=f"sentences to take from the beginning of the corpus, 2 or more (default: {by_profile('sentences')})",
    )
    parser.add_argument(
        "--dev",
        metavar="FILE",
        type=Path,
        help="pairs that choose the best checkpoint, each two sentences and a score: a file "
        f"({' '.join(DATA_KINDS)}, also {' '.join(COMPRESSED)}) or a folder of save_to_disk with a split dev "
        "(default: STS-B dev in --data-dir, or from the hub with --profile paper, else the built-in dev pairs)",
    )
    parser.add_argument(
        "--seeds",
        metavar="INT",
        type=int,
        nargs="+",
        help="one run for each of these seeds, 0 or more "
        f"(default: 0, 1, ..., as many as the profile has: {by_profile(runs)})",
    )
    add_profile_settings(parser, TrainingSettings, "training", without={"seed"}, dropout="the base's own")
    add_device(parser)
    add_json(parser)


def add_profile_settings(
    parser: argparse.ArgumentParser, settings: type, part: str, without: set[str] | None = None, **fixed: str
) -> None:
    """Add the flags of one part of a profile, "training" or "distillation"; ``fixed`` are defaults of the command."""
    names = [field.name for field in dataclasses.fields(settings) if field.name not in (without or ())]
    defaults = {name: fixed.get(name) or by_profile(f"{part}.{name}") for name in names}
    description = "Defaults are the profile's. --preset replaces them, and a flag given here overrides both."
    add_settings(parser, settings, f"{part} settings", description, defaults)
