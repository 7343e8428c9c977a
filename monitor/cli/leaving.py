"""How a command ends: its exit code, and what a person reads when it could not do what was asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import typer

from monitor.cli.terminal import visible_lines
from monitor.counting import counted

DONE: Final = 0
FOUND_PROBLEMS: Final = 1
USAGE: Final = 2
COULD_NOT_RUN: Final = 3
INTERRUPTED: Final = 130

EXIT_CODES: Final = {
    DONE: "done",
    FOUND_PROBLEMS: "found problems",
    USAGE: "wrong usage",
    COULD_NOT_RUN: "could not run",
    INTERRUPTED: "stopped before the end",
}
"""What each says, in the words of help."""

_ON_THE_COMMAND_LINE: Final = "command line"

_OURS: Final = {
    "monitor.stores.record.NotFound": USAGE,
    "monitor.stores.record.AlreadyEnded": FOUND_PROBLEMS,
    "monitor.responding.refusals.ActRefused": FOUND_PROBLEMS,
    "monitor.holding.AlreadySo": FOUND_PROBLEMS,
    "monitor.refusal.StoreError": COULD_NOT_RUN,
    "monitor.sources.SourceError": COULD_NOT_RUN,
    "monitor.sealing.SealError": COULD_NOT_RUN,
    "monitor.stores.held_folder.AlreadyRunning": COULD_NOT_RUN,
    "monitor.partitions.keying.KeyedOtherwise": COULD_NOT_RUN,
    "builtins.OSError": COULD_NOT_RUN,
}
"""Errors that are answers. By name, so that telling them loads nothing that the command has not loaded."""


class Refused(Exception):
    """A command cannot do what was asked; the text says why and what to do."""

    def __init__(self, message: str, code: int = COULD_NOT_RUN) -> None:
        super().__init__(message)
        self.code = code


def say(text: str) -> None:
    """Talk: to standard error, so that results can be piped."""
    try:
        sys.stderr.write(f"{visible_lines(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # nobody listens; the result counts


def leave(code: int) -> NoReturn:
    raise typer.Exit(code)


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn what a command raises into a message and an exit code; our own mistakes stay tracebacks."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _close_quietly()
        raise typer.Exit(DONE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Refused as refused:
        say(f"miniwatch: {refused}")
        raise typer.Exit(refused.code) from None
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        say(_told(error))
        raise typer.Exit(code) from None


def _code_of(error: Exception) -> int | None:
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
    if "monitor.config.problems.ConfigError" in names:
        problems = getattr(error, "problems", ())
        typed = bool(problems) and all(problem.place.startswith(_ON_THE_COMMAND_LINE) for problem in problems)
        return USAGE if typed else COULD_NOT_RUN
    return next((_OURS[name] for name in names if name in _OURS), None)


def _told(error: Exception) -> str:
    problems = getattr(error, "problems", ())
    if problems:
        count = counted(len(problems), "problem")
        return "\n".join((f"miniwatch: the configuration has {count}:", *(f"  {problem}" for problem in problems)))
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"miniwatch: {place}{error.strerror or error}"
    again = " It may work in a while." if getattr(error, "retryable", False) else ""
    return f"miniwatch: {error}.{again}" if again else f"miniwatch: {error}"


def _close_quietly() -> None:
    """The reader of our output has gone: what is still in the buffer goes nowhere, without a word at exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        return
