"""``distillcse distill``"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.method.ensemble import TeacherEnsemble

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
    """{key: encoder}: a run folder goes by its key, as in the laboratory; others by a hash."""
    from distillcse_kit.encoder.sentence_encoder import SentenceEncoder

    found: dict[str, SentenceEncoder] = {}
    for source in sources:
        encoder = SentenceEncoder.load(source)
        key = Path(source).resolve().name if (Path(source) / "run.json").is_file() else encoder.fingerprint()
        if key in found:
            raise KitError(f"The teacher {source} is given twice; name each once, and use --weights to weigh it more.")
        found[key] = encoder
    return found


def _distill(arguments: argparse.Namespace) -> int:
    from distillcse_kit.config import with_changes
    from distillcse_kit.training.loop import train
    from distillcse_kit.training.objective import Distillation

    _check_json(arguments.json)
    lab = _laboratory(arguments)
    seeds = _seeds(arguments, lab.profile.seeds)
    if arguments.rounds < 1:
        raise KitError(f"--rounds is {arguments.rounds}; it must be 1 or more.")
    count = len(arguments.teachers) if arguments.teachers else lab.profile.teachers
    if arguments.weights and len(arguments.weights) != count:
        raise KitError(f"{len(arguments.weights)} weights for {count} teachers; give --weights one for each teacher.")
    lab.describe()
    if arguments.teachers:
        teachers = _named_teachers(arguments.teachers)
    else:
        trained = [lab.teacher(seed) for seed in range(count)]
        for run in trained:
            _report(run, f"teacher {run.seed}")
        teachers = {run.key: run.encoder() for run in trained}
    weights, rows = arguments.weights, []
    for number in range(1, arguments.rounds + 1):
        lesson = Distillation(lab.profile.distillation, _ensemble(lab, teachers, weights))
        students = []
        for seed in seeds:
            settings = with_changes(lab.profile.training, seed=seed)
            run = train(lab.store, settings, lab.corpus, lab.dev, lesson, label=f"student {seed}")
            students.append(run)
            rows.append({"round": number, **_report(run, f"student {seed}, round {number}")})
        teachers, weights = {run.key: run.encoder() for run in students}, None
    _write_json(arguments.json, {"settings": lab.describe(), "runs": rows})
    return 0
