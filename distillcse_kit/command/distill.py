"""``distillcse distill``: students of one or several teachers (Eq 2 to 7)."""

from __future__ import annotations

import argparse

from distillcse_kit.command.flags import add_profile_settings, add_training, by_profile
from distillcse_kit.command.parser import Command
from distillcse_kit.command.shared import check_writable, laboratory_of, report_run, seeds_of, write_results
from distillcse_kit.config import DistillationSettings
from distillcse_kit.errors import KitError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``distill``."""
    parser.add_argument(
        "--teachers",
        metavar="MODEL",
        nargs="+",
        help="run folders that teach has made, or any encoders (folders, hub names); each uses its own tokenizer "
        f"(default: the profile's SimCSE teachers: {by_profile('teachers')}; all-MiniLM-L6-v2 from the hub with "
        "--preset strong-teacher)",
    )
    parser.add_argument(
        "--weights",
        metavar="FLOAT",
        type=float,
        nargs="+",
        help="weight of each of --teachers in the average of their cosines, in the same order, 0 or more "
        "(default: equal)",
    )
    parser.add_argument(
        "--rounds",
        metavar="INT",
        type=int,
        default=1,
        help="rounds of self-training, 1 or more; the students of one round teach the next (default: 1)",
    )
    add_profile_settings(parser, DistillationSettings, "distillation", shuffle="group_p")
    add_training(parser, runs="seeds")


def run(arguments: argparse.Namespace) -> int:
    """Train the students of each round and report each; returns 0."""
    from distillcse_kit.encoder.library_encoder import load_encoder
    from distillcse_kit.training.named_recipes import preset_named
    from distillcse_kit.training.recipe import First, Recipe, Teachers, These

    check_writable("--json", arguments.json)
    lab = laboratory_of(arguments)
    seeds = seeds_of(arguments, lab.profile.seeds)
    if arguments.rounds < 1:
        raise KitError(f"--rounds is {arguments.rounds}; it must be 1 or more.")
    if arguments.preset and not arguments.teachers:
        named = preset_named(arguments.preset).teachers
        arguments.teachers = list(named.models) if isinstance(named, These) else None
    count = len(arguments.teachers) if arguments.teachers else lab.profile.teachers
    if arguments.weights and len(arguments.weights) != count:
        raise KitError(
            f"The number of weights is {len(arguments.weights)} and the number of teachers is {count}; "
            "give --weights one number for each teacher."
        )
    lab.read_all()
    teachers: Teachers = First(count)
    if arguments.teachers:
        for source in arguments.teachers:  # a teacher that cannot be read shows before the first run
            load_encoder(source, device="cpu")
        teachers = These(tuple(arguments.teachers), arguments.weights and tuple(arguments.weights))
    else:
        trained = lab.teachers(count)
        for teacher in trained:
            report_run(teacher, f"teacher {teacher.seed}")
        if arguments.weights:
            teachers = These(tuple(str(teacher.folder) for teacher in trained), tuple(arguments.weights))
    rows = []
    for number in range(1, arguments.rounds + 1):
        recipes = [Recipe(lab.profile.training, lab.profile.distillation, teachers, seed) for seed in seeds]
        students = lab.run_all(recipes, f"students, round {number}")
        for student in students:
            rows.append({"round": number, **report_run(student, f"student {student.seed}, round {number}")})
        teachers = These(tuple(str(student.folder) for student in students))
    write_results(arguments.json, {"settings": lab.describe(), "runs": rows})
    return 0


COMMAND = Command(
    "train students of one or several teachers",
    "Embed the corpus once with each teacher, average the teachers' cosines, and train one student for each seed. The "
    "default is the paper's DistillCSE: all teachers and Group-P shuffling. Plain distillation is --shuffle none.",
    add_arguments,
    run,
)
