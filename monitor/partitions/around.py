"""Who is active and who is behind an address for whoever answers the findings of all streams: read from the record, and kept in it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from detectors.finding import Finding
from monitor.partitions.leaving import Left
from monitor.stores import Fence, StreamState
from monitor.stores.record import Record
from monitor.surroundings import Surroundings
from monitor.surroundings.gathered import Gathered
from playbooks.surroundings import Active, Behind

KEEP_S: Final = 60.0
"""How often what was put together is kept for whoever takes over; until then what streams have told stays in the record too."""

ROWS_MAX: Final = 20
"""Turns of each stream that are heard at once."""


@dataclass(frozen=True, slots=True)
class Around(Gathered):
    """Surroundings of all streams. Of one that an earlier version of the program works on, only what it left with its findings is known:
    as many as there are taken to stand behind an address in each such stream.
    """

    untelling: set[str] = field(default_factory=set)
    alone: dict[str, Left] = field(default_factory=dict)  # by the finding's id
    _kept_at: list[float] = field(default_factory=lambda: [0.0])
    _kept: dict[str, int] = field(default_factory=dict)

    def take_over(self, record: Record) -> None:
        """Begin with what was kept last."""
        self.begin(record.gathered())
        self.untelling.clear()
        self._kept.clear()
        self._kept.update(self.heard)
        self._kept_at[0] = time.monotonic()

    def gather(self, record: Record, streams: Sequence[StreamState]) -> dict[str, int]:
        """Hear what was told since; of streams that have told more, how far they are as far as was heard."""
        rows = record.told(self.heard, streams, ROWS_MAX)
        heard: dict[str, list[int]] = {}
        for row in rows:
            self.hear(row.stream, row.turn, row.body)
            heard.setdefault(row.stream, []).append(row.reached)
        behind = {name: reached[-1] for name, reached in heard.items() if len(reached) == ROWS_MAX}
        for one in streams:
            if one.name not in behind and one.name in self.streams:
                self.reach(one.name, one.turn)
        self.untelling.update(one.name for one in streams)
        self.untelling.difference_update(self.streams)
        return behind

    def answering(self, left: Iterable[Left]) -> None:
        """These are answered next."""
        self.alone.clear()
        self.alone.update({one.finding.id: one for one in left if not one.tells})

    def keep(self, record: Record, fence: Fence | None, now: int, *, at_once: bool = False) -> None:
        """Keep what was put together, from time to time; without a fence another does."""
        if fence is None or (not at_once and time.monotonic() - self._kept_at[0] < KEEP_S):
            return
        body, turns = self.kept()
        if turns != self._kept:
            record.keep_gathered(body, turns, now, fence)
            self._kept.update(turns)
        self._kept_at[0] = time.monotonic()

    def active(self, findings: Sequence[Finding]) -> dict[str, Active]:
        known = Surroundings.active(self, findings)
        for key in known.keys() & self.alone.keys():
            own, all_told = self.alone[key].active, known[key]
            known[key] = Active(apps=max(own.apps, all_told.apps), people=max(own.people, all_told.people))
        return known

    def behind(self, findings: Sequence[Finding], orders: Mapping[str, int]) -> dict[str, Behind]:
        known = Surroundings.behind(self, findings, orders)
        streams = max(len(self.untelling), 1)
        for key in known.keys() & self.alone.keys():
            own, all_told = self.alone[key].behind or Behind(), known[key]
            people, apps = max(own.people * streams, all_told.people), max(own.apps * streams, all_told.apps)
            known[key] = Behind(people=people, apps=apps)
        return known
