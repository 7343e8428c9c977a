"""Answers what the streams of partitions have left: one process decides for all, in one order, and another stands by.

Whoever holds the lease decides; a turn of one who has lost it is refused. Decisions are made in the first stream, whose turns read nothing:
they take away what they have answered.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from detectors.event import END_OF_TIME
from monitor.content.reload import CaughtUp
from monitor.intake.timeline import BEGINNING
from monitor.partitions.around import Around
from monitor.partitions.leaving import Left, left_in
from monitor.partitions.order import WATCHED_S, Order, alive, arrivals_of, horizon_of
from monitor.pipeline import Pipeline
from monitor.rules.lineup import History, Lineup
from monitor.stores import Control, Fence, Fenced, Mark, StoreError, StreamState, Turn
from monitor.stores.record import Record
from monitor.surroundings.news import moment_of
from monitor.telemetry import happenings, upkeep

LEASE: Final = "respond"
LEASE_S: Final = 15.0
"""How long a process that answers is believed to be there after its last word; another takes over then."""

RENEW_S: Final = 5.0

BEGIN_S: Final = 30.0
"""How long who comes to lead may take to read what is in force: until then nobody else takes over."""

AGAIN_S: Final = 60.0
AGAIN_S_MAX: Final = 3_600.0
"""How soon what is in force is read once more where that failed: at first, and in the end, for decisions wait meanwhile."""

LOOK_S: Final = 0.02
"""How often it is asked how far streams are while findings wait for them: that alone wakes nobody."""

ANSWERED_MAX: Final = 2_000
"""Findings answered in one turn."""

ROWS_MAX: Final = 200
"""Turns of each stream that are read at once."""


@dataclass(slots=True, eq=False)
class AnsweringPipeline(Pipeline):
    """A pipeline without intakes, whose turns answer what was left. `holder` is this process's name in the lease."""

    record: Record | None = None
    holder: str = ""
    wait_s_max: float = 30.0
    stands_by: bool = False  # for ever: it only shows what others decide
    woken: threading.Event = field(default_factory=threading.Event)
    catch_up: Callable[[Callable[[Lineup], int]], CaughtUp] = lambda _take_up: CaughtUp.DONE  # `Reloader.catch_up`
    _again_s: float = AGAIN_S
    _behind_at: float | None = None  # when what is in force could not be read, while it has not been since
    _order: Order = field(init=False)
    _unread: dict[str, int] = field(
        default_factory=dict
    )  # streams of which the record has more, and how far they are without it
    _renewed_at: float = 0.0
    _begun_at: float = 0.0
    _looked: dict[str, int] = field(default_factory=dict)  # of each stream, the last that was looked at
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
            with suppress(StoreError):  # whoever comes next reads a little more again
                self._gathered.keep(self._opened(), self.fence, self.clock(), at_once=True)
            self._opened().give_up(self.fence)
            self.fence = None

    def _pause(self) -> None:
        has_waiting = self.leads and self._order.waiting > 0
        with self.telemetry.waiting():
            self.woken.wait(min(self.settings.wait_s, LOOK_S) if has_waiting else self.settings.wait_s)
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
                is_owed = self._behind_at is not None and begun - self._behind_at >= self._again_s
                if not record.renew(self.fence, self.clock(), BEGIN_S if is_owed else LEASE_S):
                    self._lose()
                elif is_owed and self._catch_up():
                    if record.renew(self.fence, self.clock(), LEASE_S, lapsed=True):
                        self._write_down()
                    else:
                        self._lose()
            elif (fence := record.take(LEASE, self.holder, self.clock(), BEGIN_S)) is not None:
                self._begin(fence)
        except Fenced:
            self._lose()
            return False
        except StoreError as error:
            if not error.retryable:
                raise
            self.stalled = str(error)
            time.sleep(self.settings.wait_s)
            return False
        self.stalled = None
        self._renewed_at = begun
        return self.fence is not None

    def _begin(self, fence: Fence) -> None:
        """Take over: what was left is read anew, and what is in force is what the record says now. Nobody is told before that this process
        leads, so that nothing else is changed meanwhile.
        """
        self.turn_number = self.store.last_turn()
        if not self._catch_up() or not self._opened().renew(fence, self.clock(), LEASE_S, lapsed=True):
            return  # to read may take longer than the lease lasts, and nobody else may have wanted it meanwhile
        self._begun_at = time.monotonic()
        self._order = Order(round(self.wait_s_max * 1_000_000))
        self._unread.clear()
        self._looked.clear()
        self._letters.clear()
        self._gathered.take_over(self._opened())
        self._controls.begin(self.store, History(self.store, self.lineup, self._models, self._lost))
        self.fence = fence
        self.telemetry.emit(upkeep.LeadTaken(holder=self.holder, turn=self.turn_number))
        self._write_down()

    def _catch_up(self) -> bool:
        """Read what is in force; whether nobody is changing it just now. Where it cannot be read, this process goes on with what it has."""
        found = self.catch_up(self._changed_to)
        if found is CaughtUp.NOT_NOW:
            return False
        is_behind = found is CaughtUp.FAILED
        self._again_s = min(2.0 * self._again_s, AGAIN_S_MAX) if is_behind and self._behind_at is not None else AGAIN_S
        self._behind_at = time.monotonic() if is_behind else None
        self.suspensions.forget()
        return True

    def _news(self) -> Sequence[Control]:
        """What is in force now. Where that could not be read, what the record says stays so for all who follow it."""
        if self._behind_at is not None and self._controls.is_begun:
            return ()
        return super(AnsweringPipeline, self)._news()  # a class with slots is made anew, and has another super

    def _changed_to(self, lineup: Lineup) -> int:
        if lineup.digest != self.lineup.digest:
            self._change_to(lineup)
        return self.turn_number + 1

    def _lose(self) -> None:
        self.fence = None
        self._around.condition.looks_away()
        self.telemetry.emit(upkeep.LeadLost(holder=self.holder))

    # Answering

    def _answer(self) -> bool:
        """One turn, if anything is ready; whether it was."""
        record = self._opened()
        with self._timed("read"):
            streams = self.retried(record.streams)
            self._gather(streams)
            streams = self._waited_for(streams)
        self._around.condition.arrived(np.array(arrivals_of(streams, self.clock()), np.int64))
        horizon = horizon_of(self._as_read(one) for one in streams)
        lateness = self.settings.bounds.lateness
        self._gathered.all_have_told(moment_of(horizon - lateness))
        left, done = self._order.ready(horizon, self.clock(), ANSWERED_MAX)
        if left:
            self._commit_answers(left, done, min(one.reached for one in streams))
        self._gathered.settle(moment_of(self._order.bound(horizon) - lateness))
        self.retried(lambda: self._gathered.keep(record, self.fence, self.clock()))
        return bool(left or self._unread)

    def _gather(self, streams: Sequence[StreamState]) -> None:
        """Read what was left and told since."""
        reached = {one.name: one.turn for one in streams}
        if self._order.is_full or (reached == self._looked and not self._unread):
            return
        record, now = self._opened(), self.clock()
        told = self.retried(lambda: self._gathered.gather(record, streams))
        rows = self.retried(lambda: record.detected(self._order.loaded, ROWS_MAX))
        turns = Counter(row.stream for row in rows)
        unread: dict[str, int] = {}
        for row in rows:
            left = left_in(row.body)
            self._order.add(row, left, now)
            if turns[row.stream] == ROWS_MAX:  # there may be more of it, none of which comes before this
                unread[row.stream] = max((one.order for one in left), default=BEGINNING)
        self._looked = reached
        self._unread = {name: min(each.get(name, END_OF_TIME) for each in (told, unread)) for name in {*told, *unread}}
        if rows:
            self._count_letters()

    def _waited_for(self, streams: Sequence[StreamState]) -> Sequence[StreamState]:
        """Those that may still say something; all, where none has for long."""
        if time.monotonic() - self._begun_at < WATCHED_S:
            return streams
        return alive(streams, self.clock()) or streams

    def _as_read(self, stream: StreamState) -> StreamState:
        """How far a stream is as far as it has been read: it may have left more by now than is read at once."""
        if stream.name not in self._unread:
            return stream
        return msgspec.structs.replace(stream, reached=min(stream.reached, self._unread[stream.name]), read_out=0)

    @property
    def _gathered(self) -> Around:
        assert isinstance(self._around, Around)  # noqa: S101 - who makes one gives it
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
        self._gathered.answering(left)
        turn = self._committer.commit(turn, fresh, {one.finding.id: one.order for one in reversed(left)})
        self._around.condition.committed()
        self.suspensions.audit.clear()
        self.turn_number, self.watermark = turn.number, max(self.watermark, reached)
        self._controls.noted(turn.controls)
        for finding in fresh:
            self._teller.tell_finding(finding)
        self._teller.tell_answers(turn)
        self.telemetry.emit(happenings.TurnCommitted(turn=turn.number, stages_s=self.stages))
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
