"""What people name by the beginning of its id, and people that are named by their own."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from monitor.door import PeopleHash
    from monitor.stores.sql import SqlStore

CANDIDATES_MAX: Final = 5
"""Ids named when the beginning of one is the beginning of several."""

HASH_DIGITS: Final = 32
PEOPLE_SCOPES: Final = ("OpenId", "DeviceId")


class Source(Protocol):
    """Where lists come from: a record, and the keyed hash under which people are in it."""

    @property
    def store(self) -> SqlStore: ...
    def people(self) -> PeopleHash: ...


class BadFilter(ValueError):
    """What is given for a filter cannot be; `name` says for which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class NotOne(LookupError):
    """A text is the beginning of no id, or of several (`found`)."""

    def __init__(self, what: str, beginning: str, found: Sequence[str]) -> None:
        several = ", ".join(found[:CANDIDATES_MAX])
        super().__init__(
            f"{beginning} is the beginning of several {what} ids: {several} …; write more of it"
            if found
            else f"there is no {what} {beginning}"
        )
        self.what = what
        self.found = found


def whole_id(found: Sequence[str], what: str, beginning: str) -> str:
    """The one id that begins like that; raises `NotOne`."""
    if beginning in found:
        return beginning
    if len(found) != 1:
        raise NotOne(what, beginning, found)
    return found[0]


def id_of(source: Source, what: str, beginning: str) -> str:
    """The whole id of a finding, incident, decision, appeal or dead letter; raises `NotOne`."""
    return whole_id(source.store.ids_starting(f"{what}s".replace(" ", "_"), beginning), what, beginning)


def value_of(source: Source, scope: str | None, value: str | None) -> str | None:
    """An entity's name as it is kept: people given by their own id are looked up by its hash."""
    if value is None or scope not in PEOPLE_SCOPES or _is_hash(value):
        return value
    return source.people()(value)


def word(given: str, words: type[StrEnum], name: str) -> str:
    """One of a few words, whatever its capitals; raises `BadFilter`."""
    allowed = [each.value for each in words]
    by_lower = {each.lower(): each for each in allowed}
    if given.lower() not in by_lower:
        raise BadFilter(name, f"{given!r} is none of {', '.join(allowed)}")
    return by_lower[given.lower()]


def _is_hash(value: str) -> bool:
    return len(value) == HASH_DIGITS and all(digit in "0123456789abcdef" for digit in value)
