"""The ``distillcse`` command.

A user's mistake is one sentence on stderr and exit status 2. Heavy modules are imported by the command that needs
them, so that help comes at once.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from distillcse_kit.data.pairs import SentencePairs
    from distillcse_kit.encoder import SentenceEncoder
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.teachers import TeacherEnsemble
    from distillcse_kit.training import Run


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
    from distillcse_kit.flags import add_settings

    add_settings(parser, settings, title, without or set())


def _laboratory(arguments: argparse.Namespace) -> Laboratory:
    """The bench that the shared arguments describe: profile, then preset, then single flags."""
    from distillcse_kit.config import DistillationSettings, TrainingSettings, preset_named, profile_named, with_changes
    from distillcse_kit.data.corpus import load_corpus
    from distillcse_kit.data.sts import load_sts
    from distillcse_kit.flags import given
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.training import Corpus

    profile = profile_named(arguments.profile)
    training, distillation = profile.training, with_changes(profile.distillation, shuffle="group_p")
    if arguments.preset:
        preset = preset_named(arguments.preset)
        training, distillation = preset.training, preset.distillation
    training = with_changes(training, **given(arguments, TrainingSettings))
    distillation = with_changes(distillation, **given(arguments, DistillationSettings))
    changes = {} if arguments.sentences is None else {"sentences": arguments.sentences}
    profile = with_changes(profile, training=training, distillation=distillation, **changes)
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


# ------------------------------------------------------------------ doctor


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="DIR", type=Path, help="the store to look at")
    _add_json(parser)


def _doctor(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from distillcse_kit.doctor import examine

    _check_json(arguments.json)
    findings = examine(arguments.store)
    for finding in findings:
        print(f"{finding.status:<8}{finding.name:<18}{finding.detail}")
    missing = [finding.name for finding in findings if finding.status == "missing"]
    print(f"Missing: {', '.join(missing)}." if missing else "The kit can work here.")
    _write_json(arguments.json, {"findings": [asdict(finding) for finding in findings], "missing": missing})
    return 1 if missing else 0


# ------------------------------------------------------------------ course


def _course_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        metavar="NAME",
        default="smoke",
        help="smoke (minutes), laptop (40 minutes) or paper (a GPU); default: smoke",
    )
    _add_data(parser)
    parser.add_argument(
        "--base",
        metavar="MODEL",
        help="encoder to start from: micro, a model folder, or a hub name (default: the profile's)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder of the results (default: runs/course-PROFILE); the store is DIR/store unless --store is given",
    )
    parser.add_argument(
        "--notebooks",
        metavar="NAME",
        nargs="+",
        default=[],
        help="only these, by name or its beginning, such as 00 or 03",
    )
    parser.add_argument(
        "--parameters",
        metavar="NAME=VALUE",
        nargs="+",
        default=[],
        help="other parameters of the notebooks, such as seed=1",
    )
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        type=float,
        help="for each notebook (default: 300 for smoke, 4 hours for laptop, 7 days for paper)",
    )


def _course(arguments: argparse.Namespace) -> int:
    from distillcse_kit.course import Course, run_course

    parameters = {}
    for item in arguments.parameters:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise KitError(f"{item!r} is not a parameter; write NAME=VALUE, such as seed=1.")
        parameters[name] = value
    outcomes = run_course(
        Course(
            profile=arguments.profile,
            data_dir=arguments.data_dir,
            corpus=arguments.corpus,
            base=arguments.base,
            out=arguments.out,
            store=arguments.store,
            notebooks=arguments.notebooks,
            parameters=parameters,
            time_limit=arguments.time_limit,
        ),
        say=lambda line: print(line, flush=True),
    )
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0


# ------------------------------------------------------------------ pretrain


def _pretrain_arguments(parser: argparse.ArgumentParser) -> None:
    from distillcse_kit.pretraining import PretrainingSettings

    parser.add_argument("file", help="sentences: a file as for --corpus, or a hub name")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="the new model folder")
    parser.add_argument("--column", metavar="NAME", help="column or key of the file that holds the sentences")
    parser.add_argument(
        "--sentences", metavar="INT", type=int, help="how many to take, from the beginning (default: all)"
    )
    parser.add_argument(
        "--store", metavar="DIR", type=Path, help="folder of vocabulary, token ids, vectors and checkpoint"
    )
    parser.add_argument(
        "--no-compile", action="store_true", help="without torch.compile: for short runs, or where no C++ compiler is"
    )
    add_settings_of(parser, PretrainingSettings, "settings")


def _pretrain(arguments: argparse.Namespace) -> int:
    from distillcse_kit.data.corpus import corpus_fingerprint, load_corpus
    from distillcse_kit.flags import given
    from distillcse_kit.pretraining import PretrainingSettings, pretrain
    from distillcse_kit.store import Store

    settings = PretrainingSettings(**given(arguments, PretrainingSettings))
    if arguments.out.is_file():
        raise KitError(f"{arguments.out} is a file; give --out a folder.")
    store = Store(arguments.store)
    dataset = load_corpus(arguments.file, limit=arguments.sentences, column=arguments.column, store=store)
    sentences, fingerprint = dataset["sentence"], corpus_fingerprint(dataset)
    folder = pretrain(sentences, fingerprint, arguments.out, settings, store, compile_model=not arguments.no_compile)
    print(f"The encoder is in {folder}. Its use: distillcse teach --base {folder}")
    return 0


# ------------------------------------------------------------------ teach and distill


def _report(run: Run, what: str) -> dict[str, Any]:
    """Print the line of a finished run; the same as plain values."""
    dev = run.scores["dev"]
    print(f"{what:<24}dev {dev:6.2f}   {run.folder}", flush=True)
    return {
        "what": what,
        "seed": run.seed,
        "dev": _number(dev),
        "seconds": run.about.get("seconds"),
        "folder": str(run.folder),
    }


def _teach(arguments: argparse.Namespace) -> int:
    _check_json(arguments.json)
    lab = _laboratory(arguments)
    seeds = _seeds(arguments, lab.profile.teachers)
    lab.describe()  # reads all data first: a mistake in the last file shows before the first run
    runs = [_report(lab.teacher(seed), f"teacher {seed}") for seed in seeds]
    _write_json(arguments.json, {"settings": lab.describe(), "runs": runs})
    return 0


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
    from distillcse_kit.teachers import TeacherEnsemble, embed_corpus
    from distillcse_kit.training import tokenized

    embeddings = {}
    for key, encoder in teachers.items():
        text = tokenized(lab.store, encoder, lab.corpus)
        embeddings[key] = embed_corpus(
            lab.store, encoder, text, lab.corpus.fingerprint, f"embed {key[:6]}", lab.profile.training.max_tokens
        )
    return TeacherEnsemble(embeddings, None if weights is None else dict(zip(teachers, weights, strict=True)))


def _named_teachers(sources: Sequence[str]) -> dict[str, SentenceEncoder]:
    """{key: encoder}: a run folder goes by its key, as in the laboratory; others by a hash."""
    from distillcse_kit.encoder import SentenceEncoder

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
    from distillcse_kit.training import Distillation, train

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


# ------------------------------------------------------------------ evaluate


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="micro, a model or run folder, or a hub name")
    parser.add_argument(
        "--tasks",
        metavar="NAME",
        nargs="+",
        help="sts12 .. sts16, stsb, sickr, builtin, kit, or a file of pairs "
        "(default: all that are in --data-dir, else builtin and kit)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="folder with STS sets; without it, sets that are not built in come from the hub",
    )
    parser.add_argument("--split", metavar="NAME", default="test", help="test (default), dev or train")
    parser.add_argument(
        "--pooling",
        metavar="NAME",
        help="another pooler than the model's own: cls, cls_before_pooler, avg, avg_top2, avg_first_last",
    )
    _add_json(parser)


def _evaluate(arguments: argparse.Namespace) -> int:
    from distillcse_kit.config import POOLINGS, choose
    from distillcse_kit.encoder import SentenceEncoder
    from distillcse_kit.evaluation.sts import PAPER_TASKS, score_pairs

    _check_json(arguments.json)
    if arguments.pooling is not None:
        choose("pooling", arguments.pooling, POOLINGS)
    pairs = _evaluated_pairs(arguments)
    encoder = SentenceEncoder.load(arguments.model, arguments.pooling)
    scores = {}
    print(f"{'Spearman x 100':<28}{'pairs':>7}{'score':>9}")
    for task, of_task in pairs.items():
        scores[task] = score_pairs(encoder, of_task)
        print(f"{task:<28}{len(of_task):>7}{scores[task]:>9.2f}", flush=True)
    result: dict[str, Any] = {
        "model": arguments.model,
        "pooling": encoder.pooling,
        "split": arguments.split,
        "spearman": {task: _number(score) for task, score in scores.items()},
    }
    if set(PAPER_TASKS) <= set(scores):
        average = sum(scores[task] for task in PAPER_TASKS) / len(PAPER_TASKS)
        print(f"{'average of the seven':<28}{'':>7}{average:>9.2f}")
        result["average"] = _number(average)
    _write_json(arguments.json, result)
    return 0


def _evaluated_pairs(arguments: argparse.Namespace) -> dict[str, SentencePairs]:
    """All pairs, read before the model is: a missing set should not show after an hour of encoding."""
    from distillcse_kit.data.sts import available_tasks, load_sts

    data_dir, tasks = arguments.data_dir and arguments.data_dir.expanduser(), arguments.tasks
    if data_dir is not None and not data_dir.is_dir():
        raise KitError(f"There is no data folder {data_dir}; give an existing one with --data-dir.")
    if not tasks:
        tasks = ["builtin", "kit"] if data_dir is None else available_tasks(data_dir)
    if not tasks:
        raise KitError(f"{data_dir} holds none of the known sets; name a set with --tasks or another folder.")
    return {task: load_sts(task, data_dir, arguments.split) for task in tasks}


# ------------------------------------------------------------------ sweep


def _sweep_arguments(parser: argparse.ArgumentParser) -> None:
    from distillcse_kit.sweep import SWEEPS

    parser.add_argument("name", metavar="NAME", choices=list(SWEEPS), help=f"one of {', '.join(SWEEPS)}")
    parser.add_argument("--profile", metavar="NAME", default="laptop", help="smoke, laptop or paper (default: laptop)")
    _add_data(parser)
    parser.add_argument(
        "--csv", metavar="FILE", type=Path, help="the scores as one tidy table: setting, task, seed, value"
    )
    _add_json(parser)


def _sweep(arguments: argparse.Namespace) -> int:
    from distillcse_kit.laboratory import Laboratory
    from distillcse_kit.store import new_file
    from distillcse_kit.sweep import run_sweep, sweep_named

    for path in (arguments.json, arguments.csv):
        _check_json(path)
    sweep = sweep_named(arguments.name)
    print(f"{sweep.title}. {sweep.question}", flush=True)
    lab = Laboratory(arguments.profile, arguments.data_dir, arguments.corpus, None, arguments.store)
    result = run_sweep(lab, arguments.name)
    for column in result.columns:
        print(f"\n{column}: mean and 95% interval over seeds, each row against the first:")
        print("\n".join(result.lines(column)))
        print(result.conclusion(column))
    _write_json(arguments.json, result.as_json())
    if arguments.csv:
        with new_file(arguments.csv) as path:
            result.tidy().to_csv(path, index=False)
    return 0


# ------------------------------------------------------------------ bench


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument(
        "--corpus", metavar="SOURCE", default="builtin", help="sentences to measure on (default: the built-in ones)"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--growth",
        metavar="DIR",
        help="instead: time and memory against batch, teachers and sentences, drawn into DIR/bench_growth.png",
    )
    instead.add_argument(
        "--scores",
        metavar="DIR",
        help="instead: students of the laptop profile trained the fast and the plain way, scored on the sets in DIR",
    )
    instead.add_argument("--gpu", action="store_true", help="instead: BERT-base's shape on a GPU")
    instead.add_argument("--explorers", action="store_true", help="instead: how long explorers take to repaint")
    parser.add_argument("--store", metavar="DIR", help="for --scores: folder of everything computed")
    _add_json(parser)


def _bench(arguments: argparse.Namespace) -> int:
    def say(line: str) -> None:
        print(line, flush=True)

    _check_json(arguments.json)
    found: dict[str, Any]
    if arguments.growth:
        from distillcse_kit.bench import growth
        from distillcse_kit.plots import show

        say("Time and memory at growing sizes: about 5 minutes.")
        curves = growth.measure_growth(arguments.corpus, say)
        found = growth.as_json(curves)
        show(growth.figure(curves), "bench_growth", arguments.growth, {"corpus": arguments.corpus}, displayed=False)
    elif arguments.scores:
        from distillcse_kit.bench.scores import compare_students
        from distillcse_kit.laboratory import Laboratory

        say("One teacher, and a student a seed, the fast way and the plain way: about 10 minutes.")
        found = compare_students(Laboratory("laptop", arguments.scores, store=arguments.store), say)
    elif arguments.gpu:
        from distillcse_kit.bench.gpu import measure_gpu

        found = measure_gpu(say)
    elif arguments.explorers:
        from distillcse_kit.bench.explorers import measure_explorers

        say("Every move of every explorer, in this process: about a minute.")
        found = measure_explorers(arguments.quick, say)
    else:
        from distillcse_kit.bench.run import run_bench

        say("Ratios within this run: median [quartiles]. About 5 minutes, fewer with --quick.")
        found = run_bench(arguments.quick, arguments.corpus, say)
    _write_json(arguments.json, found)
    return 0


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
