"""``distillcse completion``: a script that completes the command in a shell."""

from __future__ import annotations

import argparse

from distillcse_kit.command.parser import Command

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")  # those of shtab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of ``completion``."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=f"the shell: {', '.join(SHELLS)} (required)")


def run(arguments: argparse.Namespace) -> int:
    """Print the script; returns 0."""
    import shtab

    from distillcse_kit.command.main import overview

    print(shtab.complete(overview(whole=True), arguments.shell))
    return 0


COMMAND = Command(
    "print a script for completion in a shell",
    "Print a script with which a shell completes commands and flags when you press Tab. For bash, put this line into "
    '~/.bashrc: eval "$(distillcse completion bash)"',
    add_arguments,
    run,
    "SHELL",
)
