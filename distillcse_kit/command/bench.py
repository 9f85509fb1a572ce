"""``distillcse bench``"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

from distillcse_kit.command.shared import _add_json, _check_json, _write_json

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
        from distillcse_kit.plots.style import show

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
        from distillcse_kit.bench.repaints import measure_explorers

        say("Every move of every explorer, in this process: about a minute.")
        found = measure_explorers(arguments.quick, say)
    else:
        from distillcse_kit.bench.ratios import run_bench

        say("Ratios within this run: median [quartiles]. About 5 minutes, fewer with --quick.")
        found = run_bench(arguments.quick, arguments.corpus, say)
    _write_json(arguments.json, found)
    return 0
