"""``distillcse pretrain``"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from distillcse_kit.errors import KitError

if TYPE_CHECKING:
    pass

from distillcse_kit.command.shared import add_settings_of

# ------------------------------------------------------------------ pretrain


def _pretrain_arguments(parser: argparse.ArgumentParser) -> None:
    from distillcse_kit.training.masked_lm import PretrainingSettings

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
    from distillcse_kit.command.flags import given
    from distillcse_kit.data.corpus import corpus_fingerprint, load_corpus
    from distillcse_kit.store import Store
    from distillcse_kit.training.masked_lm import PretrainingSettings
    from distillcse_kit.training.pretraining import pretrain

    settings = PretrainingSettings(**given(arguments, PretrainingSettings))
    if arguments.out.is_file():
        raise KitError(f"{arguments.out} is a file; give --out a folder.")
    store = Store(arguments.store)
    dataset = load_corpus(arguments.file, limit=arguments.sentences, column=arguments.column, store=store)
    sentences, fingerprint = dataset["sentence"], corpus_fingerprint(dataset)
    folder = pretrain(sentences, fingerprint, arguments.out, settings, store, compile_model=not arguments.no_compile)
    print(f"The encoder is in {folder}. Its use: distillcse teach --base {folder}")
    return 0
