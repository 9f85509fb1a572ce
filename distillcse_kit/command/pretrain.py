"""``distillcse pretrain``: another micro encoder, from plain sentences."""

from __future__ import annotations

import argparse
from pathlib import Path

from distillcse_kit.command.flags import SENTENCE_SOURCES, add_column, add_device, add_settings, add_store, given
from distillcse_kit.command.parser import Command
from distillcse_kit.errors import KitError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pretrain``."""
    from distillcse_kit.training.pretraining_settings import PretrainingSettings

    parser.add_argument(
        "file",
        metavar="FILE",
        help=f"sentences to train on: {SENTENCE_SOURCES} (required)",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for the new encoder (required)")
    add_column(parser)
    parser.add_argument(
        "--sentences",
        metavar="INT",
        type=int,
        help="sentences to take from the beginning, 2 or more (default: all; of builtin, 40000)",
    )
    add_store(parser)
    add_device(parser)
    parser.add_argument(
        "--no-compile",
        action="store_true",
        help="do not use torch.compile: for short runs, or where there is no C++ compiler (default: off)",
    )
    add_settings(parser, PretrainingSettings, "pretraining settings")


def run(arguments: argparse.Namespace) -> int:
    """Train the encoder, say where it is, and return 0."""
    from distillcse_kit.data.corpus import corpus_fingerprint, load_corpus
    from distillcse_kit.encoder.devices import chosen_device
    from distillcse_kit.store import Store
    from distillcse_kit.training.pretraining import pretrain
    from distillcse_kit.training.pretraining_settings import PretrainingSettings

    settings = PretrainingSettings(**given(arguments, PretrainingSettings))
    device = chosen_device(arguments.device)
    if arguments.out.is_file():
        raise KitError(f"{arguments.out} is a file; give --out a folder.")
    store = Store(arguments.store)
    dataset = load_corpus(arguments.file, limit=arguments.sentences, column=arguments.column, store=store)
    sentences, fingerprint = dataset["sentence"], corpus_fingerprint(dataset)
    compiled = not arguments.no_compile
    folder = pretrain(sentences, fingerprint, arguments.out, settings, store, compiled, device=device)
    print(f"The encoder is in {folder}. Use it with: distillcse teach --base {folder}")
    return 0


COMMAND = Command(
    "train a micro encoder from a text file",
    "Learn a word-piece vocabulary, token vectors (PPMI + SVD) and a small BERT (masked language modelling) from plain "
    "sentences. To resume a run that was stopped, start it again with the same settings.",
    add_arguments,
    run,
    "FILE --out DIR",
)
