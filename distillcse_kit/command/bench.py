"""``distillcse bench``: the kit against the plain way of the same work."""

from __future__ import annotations

import argparse
from typing import Any

from distillcse_kit.command.flags import STORE, add_device, add_json
from distillcse_kit.command.parser import Command
from distillcse_kit.command.shared import check_writable, write_results
from distillcse_kit.errors import KitError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``bench``."""
    parser.add_argument("--quick", action="store_true", help="repeat each measurement fewer times (default: off)")
    parser.add_argument(
        "--corpus",
        metavar="SOURCE",
        default="builtin",
        help="sentences to measure on: builtin, a file, a folder or a hub name (default: builtin)",
    )
    others = parser.add_argument_group("other measurements", "At most one of these, in place of the ratios.")
    instead = others.add_mutually_exclusive_group()
    instead.add_argument(
        "--growth",
        metavar="DIR",
        help="measure how time and memory grow with the batch, the teachers and the sentences, and draw the curves "
        "into DIR/bench_growth.png (default: off)",
    )
    instead.add_argument(
        "--scores",
        metavar="DIR",
        help="train students of the laptop profile the fast and the plain way, and score both on the STS sets in DIR "
        "(default: off)",
    )
    instead.add_argument(
        "--tricks", action="store_true", help="measure what each faster way is worth alone (default: off)"
    )
    instead.add_argument(
        "--load", action="store_true", help="measure what a busy program beside the kit costs (default: off)"
    )
    instead.add_argument(
        "--gpu", action="store_true", help="measure an encoder of BERT-base's size on a GPU (default: off)"
    )
    instead.add_argument(
        "--explorers", action="store_true", help="measure how long each explorer takes to repaint (default: off)"
    )
    parser.add_argument("--store", metavar="DIR", help=f"folder that keeps what --scores trains (default: {STORE})")
    add_device(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the lines as they come, and return 0."""

    def say(line: str) -> None:
        print(line, flush=True)

    check_writable("--json", arguments.json)
    if arguments.device not in ("auto", "cpu") and not (arguments.gpu or arguments.scores):
        raise KitError("This measures the processor; give --device together with --gpu or --scores.")
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

        say("One teacher, and one student for each seed, the fast way and the plain way: about 10 minutes.")
        lab = Laboratory("laptop", arguments.scores, store=arguments.store, device=arguments.device)
        found = compare_students(lab, say)
    elif arguments.tricks:
        from distillcse_kit.bench.tricks import measure_tricks
        from distillcse_kit.bench.workshop import FULL, QUICK

        say("Each faster way against the same work without it: median [quartiles]. About 2 minutes.")
        found = measure_tricks(QUICK if arguments.quick else FULL, say)
    elif arguments.load:
        from distillcse_kit.bench.load import measure_load
        from distillcse_kit.bench.workshop import FULL, QUICK

        say("Each work without and with a busy program beside it: median [quartiles]. About 2 minutes.")
        found = measure_load(QUICK if arguments.quick else FULL, say)
    elif arguments.gpu:
        from distillcse_kit.bench.gpu import measure_gpu

        found = measure_gpu(say, device=arguments.device)
    elif arguments.explorers:
        from distillcse_kit.bench.repaints import measure_explorers

        say("Moving every control of every explorer, in this process: about a minute.")
        found = measure_explorers(arguments.quick, say)
    else:
        from distillcse_kit.bench.ratios import run_bench

        say("Ratios within this run: median [quartiles]. About 5 minutes, less with --quick.")
        found = run_bench(arguments.quick, arguments.corpus, say)
    write_results(arguments.json, found)
    return 0


COMMAND = Command(
    "measure the kit's speed against the plain way",
    "Measure shuffling, training steps, whole runs, encoding, the embedding store and memory, taking turns with the "
    "plain way of doing the same work. Print ratios with their quartiles, since absolute times mean little on a busy "
    "machine.",
    add_arguments,
    run,
)
