"""Every list: its filters, how it is read, where a row has its place, and how it reads for programs."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from detectors.finding import Finding
from monitor.audit import ChainedEntry
from monitor.listing import filters
from monitor.listing.asked import WHOLE, Given, Part, query_of, words_of
from monitor.listing.filters import Filter, Order
from monitor.listing.named import BadFilter, Source
from monitor.listing.tended import TendedIncident, tended
from monitor.listing.wire import Told, app_told, entry_told, token_told, wire
from monitor.stores import AppRecord, Standing, StandingKind
from monitor.stores.appeals import Appeal
from monitor.stores.record import DeadLetterRow, TooSlow
from monitor.stores.undos import MarkInForce
from monitor.tokens import Token
from playbooks.decision import Decision
from playbooks.incident import Incident

Row = TypeVar("Row")
_ANY_TIME: Final = 0

QUEUE_ROWS: Final = 500
"""Rows of the queue in memory at a time."""


_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Place(Generic[Row]):
    """What rows are ordered by: never twice the same. `kind` is its type, to tell a place of another order from one of this."""

    of: Callable[[Row], tuple[Any, ...]]
    kind: Any = tuple[_Whole, str]


@dataclass(frozen=True, slots=True)
class Listed(Generic[Row]):
    """A list. `read` gives the rows that are asked for, in the order of their `place`; `sorts` has the places of other
    orders, by the word or the flag that asks for them.

    `told` is a row as programs read it, at a time.
    """

    name: str
    filters: tuple[Filter, ...]
    read: Callable[[Any, Given, Part, int], Iterator[Row]]
    place: Place[Row]
    told: Callable[[Row, int], Told]
    sorts: Mapping[str, Place[Row]] = field(default_factory=dict)

    def rows(self, source: Any, given: Given, part: Part = WHOLE, *, now: int) -> Iterator[Row]:
        """The rows that are asked for; raises `BadFilter` or `NotOne`, and `TooSlow` while they are read."""
        return self.read(source, words_of(self.filters, given), part, now)

    def place_in(self, given: Given) -> Place[Row]:
        """What rows are ordered by, as it is asked."""
        asked = words_of(self.filters, given)
        words = [str(asked.get("sort")), *(name for name, value in asked.items() if value is True)]
        return next((self.sorts[name] for name in words if name in self.sorts), self.place)


def _findings(source: Source, given: Given, part: Part, _now: int) -> Iterator[Finding]:
    return source.store.findings(query_of(source, FINDINGS.filters, given, part))


def _decisions(source: Source, given: Given, part: Part, _now: int) -> Iterator[Decision]:
    if given.get("waiting"):
        if any(value is not None for name, value in given.items() if name != "waiting"):
            raise BadFilter("waiting", "it lists the whole queue; leave other filters out")
        return islice(_queue(source, part), part.limit)
    return source.store.decisions(query_of(source, DECISIONS.filters, given, part))


def _queue(source: Source, part: Part) -> Iterator[Decision]:
    """The queue of live decisions that wait for a person, a page at a time."""
    after, size = part.after, min(part.limit or QUEUE_ROWS, QUEUE_ROWS)
    while page := source.store.waiting_decisions(size, after):
        yield from page
        after = _queue_place(page[-1])


def _queue_place(row: Decision) -> tuple[Any, ...]:
    return (row.answer_by, row.id)


def _appeals(source: Source, given: Given, part: Part, _now: int) -> Iterator[Appeal]:
    return source.store.appeals(query_of(source, APPEALS.filters, given, part))


def _dead_letters(source: Source, given: Given, part: Part, _now: int) -> Iterator[DeadLetterRow]:
    return source.store.dead_letters(query_of(source, DEAD_LETTERS.filters, given, part))


def _incidents(source: Source, given: Given, part: Part, now: int) -> Iterator[TendedIncident]:
    return tended(source.store, _found_incidents(source, given, part), now)


def _found_incidents(source: Source, given: Given, part: Part) -> Iterator[Incident]:
    is_by_risk = given.get("sort") == Order.RISK
    asked = {name: value for name, value in given.items() if name != "sort"}
    if not is_by_risk:
        return source.store.incidents(query_of(source, INCIDENTS.filters, asked, part))
    whole = source.store.incidents(query_of(source, INCIDENTS.filters, asked, Part(seconds_max=part.seconds_max)))
    behind = (row for row in _in_time(whole, part) if part.after is None or _risk_place(row) < tuple(part.after))
    if part.limit is not None:
        return iter(heapq.nlargest(part.limit, behind, key=_risk_place))
    return iter(sorted(behind, key=_risk_place, reverse=True))


def _risk_place(row: Incident) -> tuple[float, int, str]:
    """Where an incident stands among those that are listed by risk."""
    return (row.risk, row.opened, row.id)


def _apps(source: Source, given: Given, part: Part, _now: int) -> Iterator[AppRecord]:
    after = None if part.after is None else part.after[0]
    newest = _newest(_in_time(source.store.apps(after), part))
    return islice((row for row in newest if _is_wanted_app(row, given)), part.limit)


def _newest(records: Iterable[AppRecord]) -> Iterator[AppRecord]:
    """The newest line of each app; lines come by app and time."""
    last = None
    for record in records:
        if last is not None and last.app_id != record.app_id:
            yield last
        last = record
    if last is not None:
        yield last


def _is_wanted_app(record: AppRecord, given: Given) -> bool:
    row = app_told(record)
    developer, category = given.get("developer"), given.get("category")
    return (
        (developer is None or row.get("developer_id") == developer)
        and (category is None or row.get("category") == category)
        and (not given.get("protected") or bool(row.get("protected")))
    )


def _audit(source: Source, _given: Given, part: Part, _now: int) -> Iterator[ChainedEntry]:
    return islice(source.store.audit_entries(0 if part.after is None else part.after[0]), part.limit)


def _standings(kind: StandingKind) -> Callable[[Source, Given, Part, int], Iterator[Standing]]:
    def read(source: Source, given: Given, part: Part, now: int) -> Iterator[Standing]:
        found = source.store.standings(_ANY_TIME if given.get("expired") else now)
        return behind([row for row in found if row.kind is kind], ALLOWLISTS.place, part)

    return read


def _marks(source: Source, given: Given, part: Part, now: int) -> Iterator[MarkInForce]:
    return behind(source.store.marks_in_force(_ANY_TIME if given.get("expired") else now), MARKS.place, part)


def _maintenance(source: Any, _given: Given, part: Part, now: int) -> Iterator[Standing]:
    laid_down = [row for row in source.store.standings(now) if row.kind is StandingKind.MAINTENANCE]
    return behind(sorted([*source.windows(now), *laid_down], key=_standing_place), MAINTENANCE.place, part)


def _tokens(source: Source, given: Given, part: Part, now: int) -> Iterator[Token]:
    found = [row for row in source.store.tokens() if given.get("all") or row.state(now) == "valid"]
    return behind(found, TOKENS.place, part)


def _standing_place(row: Standing) -> tuple[Any, ...]:
    return (row.created, row.id)


def _token_place(row: Token) -> tuple[Any, ...]:
    return (row.created, row.id)


def behind(rows: Sequence[Row], place: Place[Row], part: Part) -> Iterator[Row]:
    """Those of some ordered rows that a part asks for."""
    return islice((row for row in rows if part.after is None or place.of(row) > tuple(part.after)), part.limit)


def _in_time(rows: Iterable[Row], part: Part) -> Iterator[Row]:
    """The same rows; raises `TooSlow` when they take longer than they may."""
    until = None if part.seconds_max is None else time.monotonic() + part.seconds_max
    for row in rows:
        if until is not None and time.monotonic() > until:
            raise TooSlow(part.seconds_max or 0.0)
        yield row


_ABOUT: Final = (filters.SINCE, filters.UNTIL, filters.APP, filters.SCOPE, filters.VALUE)

FINDINGS: Final = Listed(
    "findings",
    (*_ABOUT, filters.RULE, filters.SEVERITY, filters.INCIDENT),
    _findings,
    Place(lambda row: (row.time, row.id)),
    lambda row, _now: wire(row),
)
INCIDENTS: Final[Listed[TendedIncident]] = Listed(
    "incidents",
    (*_ABOUT, filters.SEVERITY, filters.INCIDENT_STATE, filters.SORT),
    _incidents,
    Place(lambda row: (row.opened, row.id)),
    lambda row, _now: wire(row),
    {Order.RISK.value: Place(_risk_place, tuple[float, _Whole, str])},
)
DECISIONS: Final = Listed(
    "decisions",
    (*_ABOUT, filters.RULE, filters.DECISION_STATE, filters.MODE, filters.INCIDENT, filters.WAITING),
    _decisions,
    Place(lambda row: (row.time, row.id)),
    lambda row, _now: wire(row),
    {filters.WAITING.name: Place(_queue_place)},
)
APPEALS: Final = Listed(
    "appeals",
    (*_ABOUT, filters.APPEAL_STATE, filters.DECISION),
    _appeals,
    Place(lambda row: (row.filed, row.id)),
    lambda row, _now: wire(row),
)
DEAD_LETTERS: Final = Listed(
    "deadletters",
    (filters.SINCE, filters.UNTIL, filters.LETTER_REASON, filters.LETTER_SOURCE),
    _dead_letters,
    Place(lambda row: (row.time, row.id)),
    lambda row, _now: wire(row),
)
APPS: Final = Listed(
    "apps",
    (filters.DEVELOPER, filters.CATEGORY, filters.PROTECTED),
    _apps,
    Place(lambda row: (row.app_id,), tuple[str]),
    lambda row, _now: app_told(row),
)
AUDIT: Final = Listed(
    "audit", (), _audit, Place(lambda row: (row.seq,), tuple[_Whole]), lambda row, _now: entry_told(row)
)
ALLOWLISTS: Final = Listed(
    "allowlists",
    (filters.EXPIRED,),
    _standings(StandingKind.EXEMPTION),
    Place(_standing_place),
    lambda row, _now: wire(row),
)
EXCEPTIONS: Final = Listed(
    "exceptions",
    (filters.EXPIRED,),
    _standings(StandingKind.EXCEPTION),
    Place(_standing_place),
    lambda row, _now: wire(row),
)
MARKS: Final = Listed(
    "marks", (filters.EXPIRED,), _marks, Place(lambda row: (row.time, row.finding)), lambda row, _now: wire(row)
)
MAINTENANCE: Final = Listed("maintenance", (), _maintenance, Place(_standing_place), lambda row, _now: wire(row))
TOKENS: Final = Listed(
    "tokens",
    (filters.ALL_TOKENS,),
    _tokens,
    Place(_token_place),
    lambda row, now: {**token_told(row), "state": row.state(now)},
)
