"""``distillcse distill``: students of one or several teachers (Eq 2 to 7)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distillcse_kit.command.flags import add_profile_settings, add_training, by_profile
from distillcse_kit.command.parser import Command
from distillcse_kit.command.shared import check_writable, laboratory_of, report_run, seeds_of, write_results
from distillcse_kit.config import DistillationSettings
from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.method.ensemble import TeacherEnsemble


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``distill``."""
    parser.add_argument(
        "--teachers",
        metavar="MODEL",
        nargs="+",
        help="run folders that teach has made, or any encoders (folders, hub names); each uses its own tokenizer "
        f"(default: the profile's SimCSE teachers: {by_profile('teachers')})",
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


def _ensemble(
    lab: Laboratory, teachers: dict[str, SentenceEncoder], weights: Sequence[float] | None
) -> TeacherEnsemble:
    """Embed the corpus with each teacher, in its own token ids, and average the cosines."""
    from distillcse_kit.method.ensemble import TeacherEnsemble
    from distillcse_kit.training.corpus import tokenized
    from distillcse_kit.training.teacher_embeddings import embed_corpus

    embeddings = {}
    for key, encoder in teachers.items():
        text = tokenized(lab.store, encoder, lab.corpus)
        embeddings[key] = embed_corpus(
            lab.store, encoder, text, lab.corpus.fingerprint, f"embed {key[:6]}", lab.profile.training.max_tokens
        )
    return TeacherEnsemble(embeddings, None if weights is None else dict(zip(teachers, weights, strict=True)))


def _named_teachers(sources: Sequence[str]) -> dict[str, SentenceEncoder]:
    """{key: encoder}. The key of a run folder is the run's, as in the laboratory; that of others is a hash."""
    from distillcse_kit.encoder.sentence_encoder import SentenceEncoder

    found: dict[str, SentenceEncoder] = {}
    for source in sources:
        encoder = SentenceEncoder.load(source)
        key = Path(source).resolve().name if (Path(source) / "run.json").is_file() else encoder.fingerprint()
        if key in found:
            raise KitError(
                f"The teacher {source} is given twice; name it once, and use --weights to give it more weight."
            )
        found[key] = encoder
    return found


def run(arguments: argparse.Namespace) -> int:
    """Train the students of each round and report each; returns 0."""
    from distillcse_kit.config import with_changes
    from distillcse_kit.training.loop import train
    from distillcse_kit.training.objective import Distillation

    check_writable("--json", arguments.json)
    lab = laboratory_of(arguments)
    seeds = seeds_of(arguments, lab.profile.seeds)
    if arguments.rounds < 1:
        raise KitError(f"--rounds is {arguments.rounds}; it must be 1 or more.")
    count = len(arguments.teachers) if arguments.teachers else lab.profile.teachers
    if arguments.weights and len(arguments.weights) != count:
        raise KitError(
            f"The number of weights is {len(arguments.weights)} and the number of teachers is {count}; "
            "give --weights one number for each teacher."
        )
    lab.describe()
    if arguments.teachers:
        teachers = _named_teachers(arguments.teachers)
    else:
        trained = [lab.teacher(seed) for seed in range(count)]
        for teacher in trained:
            report_run(teacher, f"teacher {teacher.seed}")
        teachers = {teacher.key: teacher.encoder() for teacher in trained}
    weights, rows = arguments.weights, []
    for number in range(1, arguments.rounds + 1):
        lesson = Distillation(lab.profile.distillation, _ensemble(lab, teachers, weights))
        students = []
        for seed in seeds:
            settings = with_changes(lab.profile.training, seed=seed)
            student = train(lab.store, settings, lab.corpus, lab.dev, lesson, label=f"student {seed}")
            students.append(student)
            rows.append({"round": number, **report_run(student, f"student {seed}, round {number}")})
        teachers, weights = {student.key: student.encoder() for student in students}, None
    write_results(arguments.json, {"settings": lab.describe(), "runs": rows})
    return 0


COMMAND = Command(
    "train students of one or several teachers",
    "Embed the corpus once with each teacher, average the teachers' cosines, and train one student for each seed. The "
    "default is the paper's DistillCSE: all teachers and Group-P shuffling. Plain distillation is --shuffle none.",
    add_arguments,
    run,
)
