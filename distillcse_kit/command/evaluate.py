"""``distillcse evaluate``: scores on STS sets, by the paper's protocol."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillcse_kit.command.flags import add_device, add_json
from distillcse_kit.command.parser import Command
from distillcse_kit.command.shared import check_writable, data_folder, json_number, write_results
from distillcse_kit.config import POOLINGS, choose

if TYPE_CHECKING:
    from distillcse_kit.data.sentence_pairs import SentencePairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``evaluate``."""
    parser.add_argument(
        "model", metavar="MODEL", help="encoder to score: micro, a model folder, a run folder, or a hub name (required)"
    )
    parser.add_argument(
        "--tasks",
        metavar="NAME",
        nargs="+",
        help="sets to score on: sts12, sts13, sts14, sts15, sts16, stsb, sickr, builtin, kit, or files or folders "
        "of pairs (default: all sets in --data-dir; without it, builtin and kit)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="folder with STS sets; a checkout of SimCSE will do "
        "(default: none; sets that are not built in then come from the hub)",
    )
    parser.add_argument(
        "--split", metavar="NAME", default="test", help="part of each set: train, dev or test (default: test)"
    )
    parser.add_argument(
        "--pooling",
        metavar="|".join(POOLINGS),
        help="how token states become a sentence embedding; what the model's files ask for is then left out "
        "(default: as the model's files say)",
    )
    add_device(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the score of each set, and the average if all seven of the paper are among them; returns 0."""
    from distillcse_kit.encoder.devices import chosen_device
    from distillcse_kit.encoder.library_encoder import load_encoder
    from distillcse_kit.evaluation.scoring import PAPER_TASKS, score_pairs

    check_writable("--json", arguments.json)
    if arguments.pooling is not None:
        choose("pooling", arguments.pooling, POOLINGS)
    device = chosen_device(arguments.device)
    pairs = _evaluated_pairs(arguments)
    encoder = load_encoder(arguments.model, arguments.pooling, device)
    scores = {}
    print(f"{'Spearman x 100':<28}{'pairs':>7}{'score':>9}")
    for task, of_task in pairs.items():
        scores[task] = score_pairs(encoder, of_task)
        print(f"{task:<28}{len(of_task):>7}{scores[task]:>9.2f}", flush=True)
    result: dict[str, Any] = {
        "model": arguments.model,
        "pooling": encoder.pooling if getattr(encoder, "head", None) is None else f"{encoder.pooling}, then its head",
        "split": arguments.split,
        "spearman": {task: json_number(score) for task, score in scores.items()},
    }
    if set(PAPER_TASKS) <= set(scores):
        average = sum(scores[task] for task in PAPER_TASKS) / len(PAPER_TASKS)
        print(f"{'average of the seven':<28}{'':>7}{average:>9.2f}")
        result["average"] = json_number(average)
    write_results(arguments.json, result)
    return 0


def _evaluated_pairs(arguments: argparse.Namespace) -> dict[str, SentencePairs]:
    """{task: its pairs}, all read before the model, so that a missing set shows at once and not after an hour."""
    from distillcse_kit.data.sts import available_tasks, load_sts

    data_dir, tasks = data_folder(arguments), arguments.tasks
    if not tasks:
        tasks = ["builtin", "kit"] if data_dir is None else available_tasks(data_dir)
    return {task: load_sts(task, data_dir, arguments.split) for task in tasks}


COMMAND = Command(
    "score an encoder on sentence pairs",
    "Print Spearman's correlation x 100 between cosines and gold scores. As in the paper, it is one correlation over "
    "all pairs of a set.",
    add_arguments,
    run,
    "MODEL",
)
