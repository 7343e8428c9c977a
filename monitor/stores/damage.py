"""A record's file that was found damaged is remembered as such, so that nothing more is taken on the strength of it.

SQLite notices damage when a turn meets it, which may be long after a start: all of the file is read by `miniwatch doctor --deep` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from monitor.durable import write_file
from monitor.moments import short
from monitor.one_line import one_line
from monitor.refusal import StoreError, refusals_told
from monitor.stores.places import Places

WHAT_CHARACTERS_MAX: Final = 200
"""Of what was found wrong with a database, so much is told: some of it is content of the file."""

WHEN_BYTES_MAX: Final = 64
"""So much of a mark is read, for the time that it begins with."""


class Damaged(StoreError):
    """The database's file is not what was written."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


def what_told(error: object) -> str:
    """What SQLite says, as one line; content of the file that it puts behind is left out."""
    return one_line(str(error).partition(" with text ")[0])[:WHAT_CHARACTERS_MAX]


@contextmanager
def marked_when_damaged(places: Places, clock: Callable[[], int]) -> Iterator[None]:
    """Work on a record that is not known to be damaged; raises `Damaged` where it is, and leaves the mark where it is met here."""
    told = damaged_at(places)
    if told is not None:
        raise Damaged(f"{places.database}: the database was {found_damaged(told)}: {remedy(places)}")
    try:
        yield
    except Damaged as error:
        with suppress(OSError):  # without it the next one meets the damage itself
            write_file(places.damage, f"{short(clock())} UTC\n{what_told(error)}\n".encode(), "damage")
        raise


def damaged_at(places: Places) -> str | None:
    """When somebody has met damage in this record; None where nobody has, or the mark was taken away since. Raises `StoreError`."""
    with (
        refusals_told(places.damage),
        suppress(FileNotFoundError, NotADirectoryError),
        places.damage.open("rb") as file,
    ):
        line, _, _ = file.read(WHEN_BYTES_MAX).decode(errors="replace").partition("\n")
        return one_line(line) or "an unknown time"
    return None


def found_damaged(told: str) -> str:
    return f"found damaged at {told}"


def remedy(places: Places) -> str:
    """What to do about a record that bears the mark."""
    return f"restore a backup (docs/recover.md), or, where the file was mended, delete {places.damage}"
