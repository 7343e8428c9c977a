"""Follows findings: each is written anew whenever it has changed, in place of what the search has of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from msgspec import structs

from monitor.stores import Fence
from monitor.stores.elasticsearch import FINDINGS, SearchError
from monitor.stores.elasticsearch.bulk import FILTER, Fate, fates, verdict
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.documents import Documents, indexed_as
from monitor.stores.elasticsearch.events import Step
from monitor.stores.elasticsearch.streams import Hit, indices_of, lying_in, refresh
from monitor.stores.finding_changes import ChangedFinding
from monitor.stores.indexed import Indexed, SetAside

FINDINGS_MAX: Final = 500
"""Findings written in one request."""


class FindingsFollowed(Protocol):
    """The part of the record that is followed, and told how far that has come."""

    def finding_changes(self, after: int, limit: int) -> Sequence[ChangedFinding]: ...
    def last_finding_change(self) -> int: ...
    def indexed(self) -> Sequence[Indexed]: ...
    def put_indexed(self, indexed: Indexed, set_aside: Sequence[SetAside] = (), fence: Fence | None = None) -> None: ...


@dataclass(slots=True)
class FindingFollower:
    """Writes findings behind what is indexed. Used by one thread; whatever is raised, the next step goes on from there.

    A stream takes new documents only, so each is looked up first and written over where it lies. That holds across a roll over,
    and for what a request without an answer has left: it is looked up again.
    """

    store: FindingsFollowed
    connection: Connection
    documents: Documents
    clock: Callable[[], int]
    fence: Fence | None = None  # nothing is noted once another does this
    _at: Indexed | None = None

    @property
    def stream(self) -> str:
        return self.connection.settings.stream(FINDINGS)

    def reached(self) -> Indexed:
        """How far it has come."""
        if self._at is None:
            known = {one.what: one for one in self.store.indexed()}
            self._at = known.get(FINDINGS, Indexed(what=FINDINGS))
        return self._at

    def step(self) -> Step | None:
        """Write some findings; None when there are none left. Raises `SearchError` and `StoreError`."""
        at = self.reached()
        if at.place > (last := self.store.last_finding_change()):  # a record from before a restore
            at = structs.replace(at, place=0)
        changes = self.store.finding_changes(at.place, FINDINGS_MAX) if last else ()
        if not changes:
            return None
        aside = self._write(changes)
        now = self.clock()
        place = changes[-1].changed
        noted = structs.replace(at, place=place, sent_until=place, set_aside=at.set_aside + len(aside), time=now)
        self.store.put_indexed(noted, [structs.replace(one, time=now) for one in aside], self.fence)
        self._at = noted
        return Step(len(changes), set_aside=len(aside))

    def _write(self, changes: Sequence[ChangedFinding]) -> list[SetAside]:
        there = self._there([change.finding.id for change in changes])
        lines = []
        for change in changes:
            body = self.documents.finding(change.finding, change.changed)
            hit = there.get(change.finding.id)
            place = None if hit is None else (hit.index, hit.seq_no, hit.term)
            lines.append(indexed_as(body, change.finding.id, place))
        answer = self.connection.ask("POST", f"/{self.stream}/_bulk?{FILTER}", lines=b"".join(lines))
        found = fates(answer, len(lines))
        refused = [
            _aside(change, fate)
            for change, fate in zip(changes, found, strict=bool(found))
            if fate.status != 409 and verdict(fate) == "refused"
        ]
        if any(fate.status == 409 or verdict(fate) == "again" for fate in found):
            raise SearchError("busy", "some findings could not be written for now", retryable=True)
        return refused

    def _there(self, ids: Sequence[str]) -> dict[str, Hit]:
        """Where findings lie, of each the oldest place."""
        order = {name: place for place, name in enumerate(indices_of(self.connection, self.stream))}
        if not order:
            return {}
        refresh(self.connection, self.stream)
        hits = lying_in(self.connection, self.stream, ids)
        return {hit.id: hit for hit in sorted(hits, key=lambda hit: order.get(hit.index, 0), reverse=True)}


def _aside(change: ChangedFinding, fate: Fate) -> SetAside:
    reason = fate.error.type if fate.error else str(fate.status)
    detail = (fate.error.reason if fate.error else None) or ""
    return SetAside(what=FINDINGS, id=change.finding.id, reason=reason, detail=detail, time=0)
