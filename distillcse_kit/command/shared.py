"""What several commands make of their arguments, and how they report results."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillcse_kit.command.flags import given
from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.training.run import Run


def laboratory_of(arguments: argparse.Namespace) -> Laboratory:
    """The laboratory that the flags describe: first the profile, then the preset, then single flags.

    Raises:
        KitError: an unknown name, a value out of range, or data that is missing or damaged.
    """
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
    lab = Laboratory(profile, data_folder(arguments), arguments.corpus, None, arguments.store, arguments.device)
    columns = {name: vars(arguments)[name] for name in ("column", "positive", "hard_negative") if vars(arguments)[name]}
    if columns:
        if not arguments.corpus:
            flag = next(iter(columns)).replace("_", "-")
            raise KitError(f"--{flag} names a column of a corpus; name the corpus as well, with --corpus.")
        lab.corpus = Corpus.of(load_corpus(arguments.corpus, limit=profile.sentences, store=lab.store, **columns))
    if arguments.dev:
        lab.dev = load_sts(arguments.dev, split="dev")
    return lab


def data_folder(arguments: argparse.Namespace) -> Path | None:
    """The folder of --data-dir, None if it is not given. KitError if it does not exist."""
    path: Path | None = arguments.data_dir
    if path is not None and not path.expanduser().is_dir():
        raise KitError(f"There is no data folder {path}; give an existing one with --data-dir.")
    return path and path.expanduser()


def seeds_of(arguments: argparse.Namespace, default: int) -> list[int]:
    """The seeds of --seeds, or 0 to ``default`` - 1. KitError if one is negative or given twice."""
    seeds = list(range(default)) if arguments.seeds is None else arguments.seeds
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise KitError(f"The seeds are {', '.join(map(str, seeds))}; give different ones of 0 or more.")
    return seeds


def report_run(run: Run, what: str) -> dict[str, Any]:
    """Print one line about a finished run, and return the same as plain values."""
    dev = run.scores["dev"]
    print(f"{what:<24}dev {dev:6.2f}   {run.folder}", flush=True)
    return {
        "what": what,
        "seed": run.seed,
        "dev": json_number(dev),
        "seconds": run.about.get("seconds"),
        "folder": str(run.folder),
    }


def check_writable(flag: str, path: Path | None) -> None:
    """Report a file that cannot be written before the work begins, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise KitError(f"{path} cannot be written; give {flag} a file in an existing folder.")


def write_results(path: Path | None, content: Any) -> None:
    """Write the results as JSON if --json names a file."""
    if path is not None:
        from distillcse_kit.store import write_json

        write_json(path, content)


def json_number(score: float) -> float | None:
    """The score to four decimals. JSON has no nan, so a score that is undefined (a constant encoder) is null."""
    return None if math.isnan(score) else round(score, 4)
