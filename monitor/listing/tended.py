"""Incidents with what people have done about them, and what is owed: who has one, which of its clocks runs out next, which have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from monitor.listing.wire import Told, wire
from monitor.moments import stamp
from monitor.responding.tending import assignee_of, overdue, tended_state
from monitor.stores.clocks import IncidentWord
from playbooks.clocks import SUPERSEDED, Clock
from playbooks.incident import Incident

if TYPE_CHECKING:
    from monitor.stores.sql import SqlStore

ROWS: Final = 200
"""Incidents whose clocks are read at a time."""


class TendedIncident(Incident, frozen=True, kw_only=True):
    """An incident and how it stands: ``open``, ``acknowledged`` or ``closed``, who has it, and what is owed next, until when.

    `overdue` are the clocks whose time is over and that nobody has stopped.
    """

    stands: str
    assignee: str | None
    owed: str | None
    owed_by: int | None
    overdue: tuple[str, ...]


def tended(store: SqlStore, incidents: Iterable[Incident], now: int) -> Iterator[TendedIncident]:
    """Incidents as they stand, in their order."""
    rest = iter(incidents)
    while rows := list(islice(rest, ROWS)):
        keys = [row.id for row in rows]
        clocks: dict[str, list[Clock]] = defaultdict(list)
        words: dict[str, list[IncidentWord]] = defaultdict(list)
        for clock in store.clocks_of(keys):
            clocks[clock.incident].append(clock)
        for word in store.words_about(keys):
            words[word.incident].append(word)
        for row in rows:
            yield _tended(row, clocks[row.id], words[row.id], now)


def shown(store: SqlStore, incident: Incident, now: int) -> Told:
    """One incident as programs read it, with all its clocks and all that people said."""
    clocks, words = store.clocks_of([incident.id]), store.words_about([incident.id])
    return {
        **wire(_tended(incident, clocks, words, now)),
        "clocks": [clock_told(clock, now) for clock in clocks],
        "words": [word_told(word) for word in words],
    }


def clock_told(clock: Clock, now: int) -> Told:
    """A clock as programs read it."""
    return {
        "clock": clock.kind.value,
        "severity": clock.episode.value,
        "state": clock_state(clock, now),
        "begun": stamp(clock.begun),
        "due": stamp(clock.due),
        "told_share": clock.told,
        "stopped": None if clock.stopped is None else stamp(clock.stopped),
        "stopped_by": clock.stopped_by or None,
        "breached": None if clock.breached is None else stamp(clock.breached),
    }


def clock_state(clock: Clock, now: int) -> str:
    """``running``, ``overdue``, ``met``, ``missed``, or ``superseded`` where the incident became more severe first."""
    if clock.stopped_by == SUPERSEDED:
        return "superseded"
    if clock.stopped is None:
        return "running" if clock.due > now else "overdue"
    return "met" if clock.is_met else "missed"


def word_told(word: IncidentWord) -> Told:
    """What somebody said, as programs read it."""
    return {**wire(word), "act": word.act.value, "assignee": word.assignee or None}


def _tended(incident: Incident, clocks: Sequence[Clock], words: Sequence[IncidentWord], now: int) -> TendedIncident:
    running = sorted((clock for clock in clocks if clock.stopped is None), key=lambda clock: clock.due)
    following = next((clock for clock in running if clock.due > now), running[0] if running else None)
    fields = {name: getattr(incident, name) for name in Incident.__struct_fields__}
    return TendedIncident(
        **fields,
        stands=tended_state(incident, clocks, words),
        assignee=assignee_of(words) or None,
        owed=None if following is None else following.kind.value,
        owed_by=None if following is None else following.due,
        overdue=tuple(clock.kind.value for clock in overdue(running, now)),
    )
