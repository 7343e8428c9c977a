"""Filters as commands take them: what is wrong with one is told as wrong usage."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from monitor.cli.opening import Opened, refused_id
from monitor.clock import now_us

if TYPE_CHECKING:
    from detectors.finding import Finding
    from monitor.listing.lists import Listed

Row = TypeVar("Row")


def rows_of(opened: Opened, listed: Listed[Row], limit: int | None = None, **given: Any) -> Iterator[Row]:
    """The rows of a list that the options ask for."""
    from monitor.listing.asked import Part

    with filters_told():
        return listed.rows(opened, given, Part(limit=limit), now=now_us())


def findings_found(
    opened: Opened, listed: Listed[Finding], limit: int | None = None, **given: Any
) -> Iterator[Finding]:
    """The findings that the options ask for, from the search where lists are read there."""
    from monitor.listing.asked import Part, query_of

    if (reader := opened.search()) is None:
        return rows_of(opened, listed, limit, **given)
    with filters_told():
        return reader.findings(query_of(opened, listed.filters, given, Part(limit=limit)))


@contextmanager
def filters_told() -> Iterator[None]:
    """Tell a filter that cannot be as a wrong option."""
    from monitor.listing.named import BadFilter, NotOne

    try:
        yield
    except BadFilter as error:
        raise typer.BadParameter(str(error), param_hint=f"--{error.name}") from None
    except NotOne as error:
        raise refused_id(error) from None


def word(given: str, words: type[StrEnum], option: str) -> str:
    """One of a few words, whatever its capitals."""
    from monitor.listing.named import word as spelled

    with filters_told():
        return spelled(given, words, option.removeprefix("--"))
