"""The ``distillcse`` command.

A user's mistake is one sentence on stderr and exit status 2. Heavy modules are imported by the command that needs
them, so that help comes at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    pass

from distillcse_kit.command.bench import _bench, _bench_arguments
from distillcse_kit.command.course import _course, _course_arguments
from distillcse_kit.command.distill import _distill, _distill_arguments
from distillcse_kit.command.doctor import _doctor, _doctor_arguments
from distillcse_kit.command.evaluate import _evaluate, _evaluate_arguments
from distillcse_kit.command.pretrain import _pretrain, _pretrain_arguments
from distillcse_kit.command.shared import Command, _add_training, _Parser
from distillcse_kit.command.sweep import _sweep, _sweep_arguments
from distillcse_kit.command.teach import _teach

COMMANDS: dict[str, Command] = {
    "doctor": Command(
        "look at this machine and installation",
        "Looks at Python, packages, processor, memory, disk, compiler, GPU, the micro encoder, the built-in data and "
        "the store. Exit status 1 if something needed is missing.",
        _doctor_arguments,
        _doctor,
    ),
    "course": Command(
        "run the notebooks, headless",
        "Executes the notebooks in order, each in a kernel of its own, all sharing one store. Writes DIR/course.json, "
        "DIR/notebooks and DIR/figures. A second start loads what the first one computed. Exit status 1 if any failed.",
        _course_arguments,
        _course,
    ),
    "pretrain": Command(
        "train a micro encoder from a text file",
        "Learns a word-piece vocabulary, token vectors (PPMI + SVD) and a small BERT (masked language modelling) from "
        "plain sentences. A run that was stopped goes on when started again with the same settings.",
        _pretrain_arguments,
        _pretrain,
    ),
    "teach": Command(
        "train SimCSE teachers",
        "Trains one SimCSE teacher a seed, chosen by its dev score, and prints each one's folder. Runs that the store "
        "has already are loaded.",
        _add_training,
        _teach,
    ),
    "distill": Command(
        "train students of one or several teachers",
        "Embeds the corpus once with each teacher, averages the teachers' cosines, and trains one student a seed. The "
        "default is the paper's DistillCSE: all teachers, Group-P shuffling. Plain distillation: --shuffle none.",
        _distill_arguments,
        _distill,
    ),
    "evaluate": Command(
        "score an encoder on sentence pairs",
        "Spearman correlation x 100 between cosines and gold scores, by the paper's protocol: one correlation over all "
        "pairs of a set.",
        _evaluate_arguments,
        _evaluate,
    ),
    "sweep": Command(
        "train and score one of the paper's ablations",
        "Trains every setting of an experiment with the same seeds, as far as the store lacks them, and compares each "
        "with the first one: mean difference with its 95% interval, and what Holm's correction leaves of it.",
        _sweep_arguments,
        _sweep,
    ),
    "bench": Command(
        "measure the speed of the kit against the plain way",
        "Measures shuffling, training steps, whole jobs, encoding, the embedding store and memory beside the plain way "
        "of the same work, in turns, and prints ratios with their quartiles: absolute times say little on a busy "
        "machine.",
        _bench_arguments,
        _bench,
    ),
}


def _parser(chosen: str | None) -> _Parser:
    """The parser; only the chosen command gets its arguments, which may need a heavy import."""
    parser = _Parser(prog="distillcse", description="A laboratory for DistillCSE: sentence embeddings, distilled.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.summary, description=command.description)
        if name == chosen:
            command.add_arguments(added)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 (ran, but something failed or is missing) or 2 (a mistake)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(words[0] if words else None)
    given, unknown = parser.parse_known_args(words)
    if unknown:  # not left to argparse, which would point to the help that has no command's flags
        who = f"distillcse {given.command}"
        parser.exit(2, f"{who}: unrecognized arguments: {' '.join(unknown)}; see {who} --help.\n")
    try:
        return COMMANDS[given.command].run(given)
    except KitError as error:
        message = str(error)
    except OSError as error:
        if not error.strerror:
            raise
        message = f"{error.filename or 'A file'}: {error.strerror}; check that it exists and may be used."
    except KeyboardInterrupt:
        print("\nStopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130
    print(f"distillcse {given.command}: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
