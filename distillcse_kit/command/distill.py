"""``distillcse distill``"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    pass

from distillcse_kit.command.shared import _add_training, _check_json, _laboratory, _seeds, _write_json, add_settings_of
from distillcse_kit.command.teach import _report


def _distill_arguments(parser: argparse.ArgumentParser) -> None:
    from distillcse_kit.config import DistillationSettings

    parser.add_argument(
        "--teachers",
        metavar="MODEL",
        nargs="+",
        help="run folders of teach, or any encoders (folders, hub names), each read with its own tokenizer "
        "(default: the profile's SimCSE teachers)",
    )
    parser.add_argument(
        "--weights", metavar="FLOAT", type=float, nargs="+", help="one for each teacher (default: all alike)"
    )
    parser.add_argument(
        "--rounds",
        metavar="INT",
        type=int,
        default=1,
        help="of self-training: the students teach the next round (default: 1)",
    )
    add_settings_of(
        parser, DistillationSettings, "distillation (default: Group-P shuffling with the profile's or preset's values)"
    )
    _add_training(parser)


def _distill(arguments: argparse.Namespace) -> int:
    from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
    from distillcse_kit.training.recipe import First, Recipe, Teachers, These

    _check_json(arguments.json)
    lab = _laboratory(arguments)
    seeds = _seeds(arguments, lab.profile.seeds)
    if arguments.rounds < 1:
        raise KitError(f"--rounds is {arguments.rounds}; it must be 1 or more.")
    count = len(arguments.teachers) if arguments.teachers else lab.profile.teachers
    if arguments.weights and len(arguments.weights) != count:
        raise KitError(f"{len(arguments.weights)} weights for {count} teachers; give --weights one for each teacher.")
    lab.describe(), lab.base
    teachers: Teachers = First(count)
    if arguments.teachers:
        for source in arguments.teachers:  # a teacher that cannot be read shows before the first run
            SentenceEncoder.load(source)
        teachers = These(tuple(arguments.teachers), arguments.weights and tuple(arguments.weights))
    else:
        trained = lab.teachers(count)
        for run in trained:
            _report(run, f"teacher {run.seed}")
        if arguments.weights:
            teachers = These(tuple(str(run.folder) for run in trained), tuple(arguments.weights))
    rows = []
    for number in range(1, arguments.rounds + 1):
        recipes = [Recipe(lab.profile.training, lab.profile.distillation, teachers, seed) for seed in seeds]
        students = lab.run_all(recipes, f"students, round {number}")
        for run in students:
            rows.append({"round": number, **_report(run, f"student {run.seed}, round {number}")})
        teachers = These(tuple(str(run.folder) for run in students))
    _write_json(arguments.json, {"settings": lab.describe(), "runs": rows})
    return 0
