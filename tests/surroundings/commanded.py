"""What is written for people to type is read by the command line as it would be, and nothing is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import typer

from monitor.cli.tree import app

COMMAND: Final = typer.main.get_command(app)


def parsed(words: Sequence[str]) -> None:
    """Read the words after ``miniwatch``; raises what the command line says to such as are none: a command or option that is not there, a
    value that it does not take, or something required that is missing.
    """
    context, name, command, rest = None, "miniwatch", COMMAND, list(words)
    while hasattr(command, "commands"):
        context = command.make_context(name, rest, parent=context, resilient_parsing=not rest)
        left: list[Any] = [*getattr(context, "_protected_args", ()), *context.args]
        if not left:
            return
        name, command, rest = command.resolve_command(context, left)
    command.make_context(name, list(rest), parent=context)
