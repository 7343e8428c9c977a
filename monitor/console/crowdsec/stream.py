"""What a bouncer is given: all at its start, later what has changed since its place, written piece by piece.

Nothing is held back for long: a page of decisions is read, written and let go. What changes while an answer is being written has a
place behind the one that the client gets for it, and so comes again with the next: twice it may come, left out it is never.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

import msgspec

from detectors.finding import Entity
from monitor.console.crowdsec.decisions import is_for_enforcers, key_of, told
from monitor.console.crowdsec.wanted import Wanted
from monitor.stores.record import NumberedDecision, Record

PAGE: Final = 500
"""Decisions in memory at a time, for one answer."""

ENDED_S: Final = 7 * 86_400
"""For how long after its end a decision is among the deleted ones that a client is given at its start, though it has been told of it."""

_encoder: Final = msgspec.json.Encoder()

Page = list[NumberedDecision]
Key = tuple[str, str, str]


class Stream:
    """The answers to one request; all of them see the time as it was then.

    Unless `is_whole`, of several decisions with the same scope, value and type only the one that lasts longest is told, and none as
    deleted as long as another is in force: by these three CrowdSec's programs know a decision.
    """

    def __init__(self, record: Record, now: int, wanted: Wanted, *, is_whole: bool) -> None:
        self._record = record
        self._now = now
        self._wanted = wanted
        self._is_whole = is_whole

    def at_start(self, known_place: int) -> Iterator[bytes]:
        """All in force; as deleted, what ended within `ENDED_S` or after the place that the client is known to have reached.

        One that is not known (0) may have acted on anything: it is given all that ended.
        """
        since = (self._now - ENDED_S * 1_000_000 if known_place else 0), known_place
        new = (self._longest(page) for page in self._pages(self._in_force))
        deleted = (self._over(page) for page in self._pages(lambda number: self._ended(number, since)))
        return body(self._written(new), self._written(deleted))

    def since(self, place: int, until: int) -> Iterator[bytes]:
        """What changed after a place, up to another."""
        new = (self._news(page) for page in self._changes(place, until))
        deleted = (self._over(page) for page in self._changes(place, until))
        return body(self._written(new), self._written(deleted))

    def matching(self) -> Iterator[bytes]:
        """All in force that are wanted, as one list."""
        return array(self._written(page for page in self._pages(self._in_force)))

    def about(self, entities: Collection[Entity]) -> Iterator[bytes]:
        """All in force about some entities that are wanted, as one list."""
        found = self._meant(self._record.in_force_of(entities, self._now))
        return array(self._written([sorted(found, key=lambda one: one.number)]))

    def _in_force(self, number: int) -> Page:
        return [*self._record.in_force_after(number, PAGE, self._now, self._wanted.scopes)]

    def _ended(self, number: int, since: tuple[int, int]) -> Page:
        return [*self._record.ended_after(number, PAGE, self._now, since, self._wanted.scopes)]

    def _pages(self, read: Callable[[int], Page]) -> Iterator[Page]:
        """The wanted ones of all pages, by number."""
        number = 0
        while page := read(number):
            number = page[-1].number
            yield self._meant(page)

    def _changes(self, place: int, until: int) -> Iterator[Page]:
        """The wanted ones among the changes, by place."""
        while place < until and (page := [*self._record.decision_changes(place, PAGE)]):
            place = page[-1].changed
            yield self._meant(one for one in page if one.changed <= until)

    def _meant(self, page: Iterable[NumberedDecision]) -> Page:
        return [one for one in page if is_for_enforcers(one.decision) and self._wanted.takes(one.decision)]

    def _longest(self, page: Page) -> Page:
        """Those in force that no other of the same key outlasts. One that has ended since it was read is told; its end comes next."""
        if self._is_whole or not page:
            return page
        several = self._record.crowded(_entities(page), self._now)
        longest = self._by_key(several)
        return [one for one in page if longest.get(key_of(one.decision), one).number == one.number]

    def _news(self, page: Page) -> Page:
        """What is in force now of all that changed: where only one of a key has ended, the one that is left takes its place."""
        if self._is_whole:
            return [one for one in page if one.decision.is_in_force(self._now)]
        longest = self._by_key(_entities(page))
        return [*{key: longest[key] for one in page if (key := key_of(one.decision)) in longest}.values()]

    def _over(self, page: Page) -> Page:
        """What has ended, once for each key, and not where another is in force."""
        ended = [one for one in page if not one.decision.is_in_force(self._now)]
        if self._is_whole:
            return ended
        longest = self._by_key(_entities(ended))
        latest = {key_of(one.decision): one for one in ended}
        return [one for key, one in latest.items() if key not in longest]

    def _by_key(self, entities: Collection[Entity]) -> dict[Key, NumberedDecision]:
        """Of all that are in force about some entities, the one that lasts longest for each key."""
        if not entities:
            return {}
        rivals = self._meant(self._record.in_force_of(entities, self._now))
        ordered = sorted(rivals, key=lambda one: (one.decision.expires, one.number))
        return {key_of(one.decision): one for one in ordered}

    def _written(self, pages: Iterable[Page]) -> Iterator[bytes]:
        """The pages as JSON objects with commas; empty ones are left out."""
        for page in pages:
            if page:
                yield b",".join(_encoder.encode(told(one, self._now)) for one in page)


def _entities(page: Page) -> set[Entity]:
    return {one.decision.entity for one in page}


def body(new: Iterator[bytes], deleted: Iterator[bytes]) -> Iterator[bytes]:
    """Both lists as one JSON object."""
    yield b'{"new":'
    yield from array(new)
    yield b',"deleted":'
    yield from array(deleted)
    yield b"}"


def array(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """One JSON array of pieces; ``null`` where there is none, as the model does."""
    begun = False
    for piece in pieces:
        yield b"," + piece if begun else b"[" + piece
        begun = True
    yield b"]" if begun else b"null"
