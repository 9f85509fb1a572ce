"""``distillcse evaluate``"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    from distillcse_kit.data.sentence_pairs import SentencePairs

from distillcse_kit.command.shared import _add_json, _check_json, _number, _write_json

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
    from distillcse_kit.encoder.sentence_encoder import SentenceEncoder
    from distillcse_kit.evaluation.scoring import PAPER_TASKS, score_pairs

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
