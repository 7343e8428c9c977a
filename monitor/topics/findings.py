"""The topic of findings: each when it is made, and again as its evidence grows, at most once in so many seconds.

Which findings are still to be told stands in the record beside them, put there by the turn that writes them; what is told is the
finding as it stands then. So the pipeline writes a few bytes for a finding and waits for no broker, and nothing is lost while
brokers are gone: however long that lasts, and however much a finding grows meanwhile, it waits once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from detectors.finding import Finding, Severity
from monitor.listing.wire import wire
from monitor.outbox import ERROR_CHARACTERS_MAX
from monitor.stores import TOPIC
from monitor.telemetry import Telemetry
from monitor.telemetry.upkeep import DeliveryDead
from monitor.topics import Item, Published, Refused, Topic

MICROSECONDS: Final = 1_000_000


class FindingsStore(Protocol):
    """The part of the record that a topic of findings works on."""

    def untold(self, now: int, limit: int) -> Sequence[Finding]: ...
    def findings_told(self, counts: Mapping[str, int], now: int, again_us: int) -> None: ...


class FindingsFeed:
    """What stands in line, as records for the topic."""

    def __init__(
        self,
        store: FindingsStore,
        name: str,
        severity_min: Severity,
        again_s: float,
        clock: Callable[[], int],
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._name = name
        self._severity_min = severity_min
        self._again_us = int(again_s * MICROSECONDS)
        self._clock = clock
        self._telemetry = telemetry
        self._due: list[Finding] = []  # what was due last, in the order of its records

    @property
    def channel(self) -> str:
        return f"{TOPIC}:{self._name}"

    def reached(self, topic: Topic, known: bool, stopping: Callable[[], bool]) -> None:
        """There is nothing to compare: what is gone from a topic was told."""

    def due(self, limit: int) -> Sequence[Item]:
        """The next records; what is too slight to be told goes out of the line here."""
        while found := self._store.untold(self._clock(), limit):
            self._due = [each for each in found if each.severity.rank >= self._severity_min.rank]
            if self._due:
                return [item_of(each) for each in self._due]
            self._told(found)
        return ()

    def settle(self, items: Sequence[Item], published: Published) -> None:
        settled = []
        for finding, item, outcome in zip(self._due, items, published.outcomes, strict=True):
            if outcome is not None:
                settled.append(finding)
            if isinstance(outcome, Refused):
                why = outcome.why[:ERROR_CHARACTERS_MAX]
                self._telemetry.emit(DeliveryDead(channel=self.channel, message=item.id, attempt=1, error=why))
        self._told(settled)

    def troubled(self, why: str) -> None:
        """It is said in the log, by the metric and on ``/readyz``; the record has no place for it."""

    def _told(self, findings: Sequence[Finding]) -> None:
        counts = {each.id: each.evidence.count for each in findings}
        self._store.findings_told(counts, self._clock(), self._again_us)


def item_of(finding: Finding) -> Item:
    """A finding as the command line and the API give it to programs, under the key of its entity."""
    entity = finding.entity
    return Item(
        f"{finding.id}:{finding.evidence.count}",
        msgspec.json.encode([entity.scope, entity.value]).decode(),
        msgspec.json.encode(wire(finding)),
    )
