"""Answers what the streams of partitions have left: one process decides for all, in one order, and another stands by.

Whoever holds the lease decides; a turn of one who has lost it is refused. Decisions are made in the first stream, whose turns read nothing:
they take away what they have answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from detectors.finding import Entity, Finding
from monitor.intake.timeline import BEGINNING
from monitor.partitions.leaving import Left, left_in
from monitor.partitions.order import Order
from monitor.pipeline import Pipeline
from monitor.rules.lineup import History
from monitor.stores import Fence, Fenced, Mark, StoreError, StreamState, Turn
from monitor.stores.record import Record
from monitor.surroundings import Surroundings
from monitor.telemetry import happenings, upkeep
from playbooks.surroundings import Active, Behind

LEASE: Final = "respond"
LEASE_S: Final = 15.0
"""How long a process that answers is believed to be there after its last word; another takes over then."""

RENEW_S: Final = 5.0

ANSWERED_MAX: Final = 2_000
"""Findings answered in one turn."""

ROWS_MAX: Final = 200
"""Turns of each stream that are read at once."""


@dataclass(frozen=True, slots=True)
class Told(Surroundings):
    """Surroundings as the streams have told them with what they left: apps of all together, since each app is in one partition;
    of people, who may be in many, those of the stream that saw most.

    Behind an address every partition sees those who use its own apps. Only partitions that accuse it tell of them, so as many are taken to
    stand behind it in each of the others: rather too many than somebody harmed for what a neighbour did.
    """

    by_stream: dict[str, Active] = field(default_factory=dict)
    accused: dict[Entity, Behind] = field(default_factory=dict)

    def know(self, streams: Iterable[str]) -> None:
        """These are there, whether or not they have found anything."""
        for stream in streams:
            self.by_stream.setdefault(stream, Active())

    def hear(self, stream: str, left: Sequence[Left]) -> None:
        """Take note of what a turn has told."""
        for one in left:
            self.by_stream[stream] = one.active
            if one.behind is not None:
                before = self.accused.get(one.finding.entity, Behind())
                people, apps = max(before.people, one.behind.people), max(before.apps, one.behind.apps)
                self.accused[one.finding.entity] = Behind(people=people, apps=apps)

    def active(self, findings: Sequence[Finding]) -> dict[str, Active]:
        apps = sum(active.apps for active in self.by_stream.values())
        people = max((active.people for active in self.by_stream.values()), default=0)
        return {finding.id: Active(apps=apps, people=people) for finding in findings}

    def behind(self, findings: Sequence[Finding]) -> dict[Entity, Behind]:
        streams = max(len(self.by_stream), 1)
        told = {one.entity: self.accused.pop(one.entity) for one in findings if one.entity in self.accused}
        return {entity: Behind(people=one.people * streams, apps=one.apps * streams) for entity, one in told.items()}


@dataclass(slots=True)
class AnsweringPipeline(Pipeline):
    """A pipeline without intakes, whose turns answer what was left. `holder` is this process's name in the lease."""

    record: Record | None = None
    holder: str = ""
    wait_s_max: float = 30.0
    stands_by: bool = False  # for ever: it only shows what others decide
    fence: Fence | None = None
    woken: threading.Event = field(default_factory=threading.Event)
    _order: Order = field(init=False)
    _renewed_at: float = 0.0
    _letters: dict[str, tuple[int, int]] = field(default_factory=dict)

    def _opened(self) -> Record:
        assert self.record is not None  # noqa: S101 - who makes one gives it
        return self.record

    @property
    def leads(self) -> bool:
        """Whether this process is the one that decides."""
        return self.fence is not None

    def recover(self) -> None:
        """Stand by; what another has decided is in the record."""
        self._opened().on_commit(self.woken.set)
        self._order = Order(round(self.wait_s_max * 1_000_000))
        self.watermark = BEGINNING

    def turn(self) -> bool:
        """Answer what is ready, or wait for something to be."""
        self.stages = {}
        leads = self._holds()
        try:
            self._take_up()
            if not leads or not self._answer():
                self._pause()
        except Fenced:
            self._lose()
        return True

    def finish(self) -> None:
        """Let another take over at once."""
        if self.fence is not None:
            self._opened().give_up(self.fence)
            self.fence = None

    def _pause(self) -> None:
        self.woken.wait(self.settings.wait_s)
        self.woken.clear()

    # Who decides

    def _holds(self) -> bool:
        if self.stands_by:
            return False
        record, begun = self._opened(), time.monotonic()
        if self.fence is not None and begun - self._renewed_at < RENEW_S:
            return True
        try:
            if self.fence is not None:
                if not record.renew(self.fence, self.clock(), LEASE_S):
                    self._lose()
            else:
                self.fence = record.take(LEASE, self.holder, self.clock(), LEASE_S)
                if self.fence is not None:
                    self._begin()
        except StoreError as error:
            if not error.retryable:
                raise
            self.stalled = str(error)
            time.sleep(self.settings.wait_s)
            return False
        self.stalled = None
        self._renewed_at = begun
        return self.fence is not None

    def _begin(self) -> None:
        """Take over: what was left is read anew, and what is in force is as the record says."""
        self.turn_number = self.store.last_turn()
        self._order = Order(round(self.wait_s_max * 1_000_000))
        self._controls.begin(self.store, History(self.store, self.lineup, self._lost))
        self.telemetry.emit(upkeep.LeadTaken(holder=self.holder, turn=self.turn_number))

    def _lose(self) -> None:
        self.fence = None
        self.telemetry.emit(upkeep.LeadLost(holder=self.holder))

    # Answering

    def _answer(self) -> bool:
        """One turn, if anything is ready; whether it was."""
        record = self._opened()
        with self._timed("read"):
            streams = self.retried(record.streams)
            self._gather(streams)
        left, done = self._order.ready(streams, self.clock(), ANSWERED_MAX)
        if not left:
            return False
        self._commit_answers(left, done, min(one.reached for one in streams))
        return True

    def _gather(self, streams: Sequence[StreamState]) -> None:
        if self._order.is_full:
            return
        record, now = self._opened(), self.clock()
        self._told.know(one.name for one in streams)
        rows = self.retried(lambda: record.detected(self._order.loaded, ROWS_MAX))
        for row in rows:
            left = left_in(row.body)
            self._order.add(row, left, now)
            self._told.hear(row.stream, left)
        if rows:
            self._around.condition.arrived(np.array([one.reached for one in streams], np.int64))
            self._count_letters()

    @property
    def _told(self) -> Told:
        assert isinstance(self._around, Told)  # noqa: S101 - who makes one gives it
        return self._around

    def _count_letters(self) -> None:
        """How many lines came since, and how many of them could not be read."""
        progress: Mapping[str, tuple[int, int]] = {
            name: (one.received, one.dead_lettered) for name, one in self.retried(self.store.progress).items()
        }
        for name, (lines, letters) in progress.items():
            before = self._letters.get(name, (lines, letters))
            self._around.condition.read(lines - before[0], letters - before[1])
        self._letters = dict(progress)

    def _commit_answers(self, left: Sequence[Left], done: Sequence[tuple[str, int]], reached: int) -> None:
        first = {one.finding.id: one.finding for one in reversed(left)}
        answered = self.retried(lambda: self._opened().answered(first))
        fresh = list({one.finding.id: first[one.finding.id] for one in left if one.finding.id not in answered}.values())
        turn = Turn(
            number=self.turn_number + 1,
            time=self.clock(),
            fence=self.fence,
            mark=Mark(watermark=max(self.watermark, reached), inputs=""),
            controls=self._news(),
            answered=done,
            audit=tuple(self.suspensions.audit),
        )
        turn = self._committer.commit(turn, fresh, {})
        self._around.condition.committed()
        self.suspensions.audit.clear()
        self.turn_number, self.watermark = turn.number, max(self.watermark, reached)
        self._controls.noted(turn.controls)
        for finding in fresh:
            self._teller.tell_finding(finding)
        self._teller.tell_answers(turn)
        out_of_order, self._order.given_up = self._order.given_up, 0
        waiting = self._order.waiting
        told = happenings.FindingsAnswered(findings=len(fresh), waiting=waiting, out_of_order=out_of_order)
        self.telemetry.emit(told)
        self.noted(0, fresh)

    def _write_down(self) -> None:
        """Have the record say what is in force now."""
        if self.fence is None or not (controls := self._news()):
            return
        turn = Turn(number=self.turn_number + 1, time=self.clock(), fence=self.fence, controls=controls)
        self.retried(lambda: self.store.commit(turn))
        self.turn_number = turn.number
        self._controls.noted(controls)
