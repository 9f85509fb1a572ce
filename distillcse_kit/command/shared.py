"""Arguments that several commands share, and what is made of them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from distillcse_kit.laboratory import Laboratory


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and that takes no abbreviated flags."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help.\n")


@dataclass(frozen=True)
class Command:
    """One command: a line of help, what its own help says, its arguments, and what it does (the exit status)."""

    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


# ------------------------------------------------------------------ arguments that several commands share


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results there as JSON, too")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="folder with STS sets, and perhaps a corpus (default: what is built in)",
    )
    parser.add_argument(
        "--corpus",
        metavar="SOURCE",
        help="training sentences: builtin, a file (.txt .csv .tsv .json .jsonl, also .gz .xz), or a hub name",
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        help="folder of everything computed (default: DISTILLCSE_STORE, or ~/.cache/distillcse_kit)",
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    from distillcse_kit.config import TrainingSettings

    parser.add_argument("--profile", metavar="NAME", default="laptop", help="smoke, laptop or paper (default: laptop)")
    parser.add_argument("--preset", metavar="NAME", help="settings of paper or authors-code instead of the profile's")
    _add_data(parser)
    parser.add_argument("--column", metavar="NAME", help="column or key of the corpus that holds the sentences")
    parser.add_argument(
        "--sentences", metavar="INT", type=int, help="how many sentences to take, from the corpus's beginning"
    )
    parser.add_argument(
        "--dev",
        metavar="FILE",
        type=Path,
        help="pairs that choose the checkpoint: sentence, sentence, score (.csv .tsv .txt)",
    )
    parser.add_argument(
        "--seeds",
        metavar="INT",
        type=int,
        nargs="+",
        help="one run each (default: 0, 1, ... as many as the profile has)",
    )
    add_settings_of(parser, TrainingSettings, "training (default: the profile's or preset's value)", {"seed"})
    _add_json(parser)


def add_settings_of(
    parser: argparse.ArgumentParser, settings: type, title: str, without: set[str] | None = None
) -> None:
    """Add a flag for each field of ``settings``."""
    from distillcse_kit.command.flags import add_settings

    add_settings(parser, settings, title, without or set())


def _laboratory(arguments: argparse.Namespace) -> Laboratory:
    """The bench that the shared arguments describe: profile, then preset, then single flags."""
    from distillcse_kit.command.flags import given
    from distillcse_kit.config import DistillationSettings, TrainingSettings, profile_named, with_changes
    from distillcse_kit.data.corpus import load_corpus
    from distillcse_kit.data.sts import load_sts
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.training.named_recipes import preset_named, recipe_named
    from distillcse_kit.training.training_text import Corpus

    profile = profile_named(arguments.profile)
    recipe = recipe_named("distillcse", profile)
    if arguments.preset:
        recipe = preset_named(arguments.preset)
    recipe = recipe.changed(**given(arguments, TrainingSettings), **given(arguments, DistillationSettings))
    changes = {} if arguments.sentences is None else {"sentences": arguments.sentences}
    profile = with_changes(profile, training=recipe.training, distillation=recipe.distillation, **changes)
    data_dir = arguments.data_dir
    if data_dir is not None and not data_dir.expanduser().is_dir():
        raise KitError(f"There is no data folder {data_dir}; give an existing one with --data-dir.")
    lab = Laboratory(profile, data_dir and data_dir.expanduser(), arguments.corpus, None, arguments.store)
    if arguments.column:
        if not arguments.corpus:
            raise KitError("--column names a column of a corpus; name the corpus, too, with --corpus.")
        dataset = load_corpus(arguments.corpus, limit=profile.sentences, column=arguments.column, store=lab.store)
        lab.corpus = Corpus.of(dataset)
    if arguments.dev:
        lab.dev = load_sts(arguments.dev)
    return lab


def _seeds(arguments: argparse.Namespace, default: int) -> list[int]:
    seeds = list(range(default)) if arguments.seeds is None else arguments.seeds
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise KitError(f"The seeds are {', '.join(map(str, seeds))}; give different ones of 0 or more.")
    return seeds


def _check_json(path: Path | None) -> None:
    """A file that cannot be written is an error before the work, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise KitError(f"{path} cannot be written; give --json a file in an existing folder.")


def _write_json(path: Path | None, content: Any) -> None:
    if path is not None:
        from distillcse_kit.store import write_json

        write_json(path, content)


def _number(score: float) -> float | None:
    """JSON has no nan: a score that is not defined (a constant encoder) is null."""
    return None if math.isnan(score) else round(score, 4)
