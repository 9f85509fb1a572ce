"""The ``distillcse`` command.

A user's mistake is one sentence on stderr and exit status 2. Only the chosen command's module is imported, and it
imports heavy libraries only when it runs, so help appears at once.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence

import distillcse_kit
from distillcse_kit.checkout import advice_on_missing, find_checkout
from distillcse_kit.command.parser import Command, Parser
from distillcse_kit.errors import KitError
from distillcse_kit.one_process import require_one_process

# Each is a module of this package with a COMMAND. The help lists them in this order.
NAMES = (
    "env",
    "doctor",
    "lab",
    "course",
    "pretrain",
    "teach",
    "distill",
    "evaluate",
    "sweep",
    "bench",
    "test",
    "notebooks",
    "completion",
)


def command_named(name: str) -> Command:
    """The command of that name, one of ``NAMES``."""
    command: Command = importlib.import_module(f"distillcse_kit.command.{name}").COMMAND
    return command


def parser_of(name: str) -> Parser:
    """The parser of one command."""
    command = command_named(name)
    usage = " ".join(filter(None, ("%(prog)s", command.required, "[flags]")))  # not argparse's: 40 flags in 25 lines
    parser = Parser(prog=f"distillcse {name}", usage=usage, description=command.description)
    command.add_arguments(parser)
    return parser


def overview(whole: bool = False) -> Parser:
    """The parser of ``distillcse`` itself, for its help and for a missing or unknown command.

    Args:
        whole: with the arguments of each command, as shell completion needs them.
    """
    parser = Parser(
        prog="distillcse",
        description="A laboratory for DistillCSE: sentence embeddings by distilled contrastive learning.",
        epilog="distillcse COMMAND --help explains one command and all its flags.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"distillcse {distillcse_kit.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name in NAMES:
        command = command_named(name)
        child = commands.add_parser(name, help=command.summary)
        if whole:
            command.add_arguments(child)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 1 (it ran, but something failed or is missing) or 2 (a mistake)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Windows pipes have an old character set, which lacks some letters. And a log shows each line when it is said.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in NAMES:
        parser = overview()
        parser.parse_args(words)  # prints the help or the mistake, and exits
        parser.error(f"give the command before {words[0]}")
    name, rest = words[0], words[1:]
    try:
        arguments_of_command = parser_of(name).parse_args(rest)
        if name != "doctor":
            require_one_process()
        return command_named(name).run(arguments_of_command)
    except KitError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "distillcse_kit", *sys.stdlib_module_names):
            raise
        message = advice_on_missing(missing, find_checkout(), sys.prefix)
    except OSError as error:
        if not error.strerror:
            raise
        message = f"{error.filename or 'A file'}: {error.strerror}; check that it exists and that you may use it."
    except KeyboardInterrupt:
        print("\nStopped. Finished work is kept; run the same command again to continue from there.", file=sys.stderr)
        return 130
    print(f"distillcse {name}: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
