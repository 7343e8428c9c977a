"""A progress bar on standard error, where that is a terminal; nothing anywhere else."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Bar = Callable[..., None]
"""Told how much is done; of how much (`total`), where that changes; and a few words beside it (`words`)."""


@contextmanager
def bar(title: str, total: int | None = None, unit: Literal["bytes", "lines"] = "bytes") -> Iterator[Bar]:
    """Show how far something is."""
    if not sys.stderr.isatty():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    amount: ProgressColumn = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total, words="")

        def show(done: int, *, total: int | None = total, words: str | None = None) -> None:
            progress.update(task, completed=done, total=total, words=words or "")

        yield show


def _nothing(_done: int, *, total: int | None = None, words: str | None = None) -> None:  # noqa: ARG001 - nobody watches
    return
