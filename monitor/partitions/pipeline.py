"""The stream of one partition: its turns leave what they find to be answered, and its memory can be learnt again from the partition's log.

Whoever is given the partition takes up the newest snapshot that is sound, reads the log again from there to the position that the
record accounts for, turn by turn as the record has them marked, and goes on. Nothing comes of what is read again: it was committed
then. Where arrival is told by the log, as Kafka's is, this gives the memory exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import polars as pl

from detectors.event import Batch
from detectors.sigma import SigmaDetector, TrialDetector
from detectors.sigma.found import Found
from detectors.sigma.parting import Part
from monitor.intake import Intake, Piece, accounted
from monitor.intake.timeline import BEGINNING
from monitor.partitions.leaving import TurnLeaver
from monitor.partitions.sending import QUIET_S as SENDING_S
from monitor.partitions.sending import Sender
from monitor.pipeline import Pipeline
from monitor.rules.lineup import History
from monitor.snapshots import Snapshot
from monitor.sources import Source, is_timed
from monitor.stores import Control, Fence, Mark, Marked, Progress, Segment
from monitor.stream.committing import Committer
from monitor.stream.seen import Labelled, Made, Seen
from monitor.surroundings.telling import Telling
from monitor.telemetry import upkeep

STAND: Final = "stand"
"""The frame of a snapshot that says where in the log it was made."""

QUIET_S: Final = 30.0
"""How long the log may give nothing before what was committed of it counts as gone."""


WAIT_S: Final = 0.1
"""How long the log is waited for at a time while the memory is learnt again."""


GONE_S: Final = 2.0
"""How long after its end a log is given to show more, before what was committed of it counts as gone."""


class LogGone(Exception):
    """The log ends before the position up to which it was read: what is remembered of it cannot be learnt again."""


class LogSilent(Exception):
    """The log does not give again what was committed of it; the partition is given up, and taken up again later."""


class Stand(msgspec.Struct, frozen=True):
    """Where in the log a memory was made, and how far event time had come."""

    progress: Progress
    watermark: int


@dataclass(slots=True, eq=False)
class PartitionPipeline(Pipeline):
    """A pipeline with one intake, that of the partition, and a fence without which it commits nothing."""

    stream: str = ""
    fence: Fence = field(default_factory=lambda: Fence("", 0))
    sender: Sender | None = None
    letter_bytes_max: int = 65_536
    recorded: Callable[[float], int] = lambda _moment: 0  # the record's clock at a moment of the monotonic one
    _quiet_at: float = 0.0

    def __post_init__(self) -> None:
        Pipeline.__post_init__(self)
        self._teller.leaves = True

    def _make_committer(self) -> Committer:
        return TurnLeaver(
            self.store,
            self.stream,
            self.fence,
            self.retried,
            self._telling,
            lambda: self.is_read_out,
            lambda: self.read_out,
        )

    # A turn in steps, for those of several streams to be taken together

    def fetch(self) -> tuple[int, int]:
        """Take what is there at this moment, for `begin` to be called soon; how many lines and bytes that is."""
        return self._reader.fetch(self.intakes[0])

    def begin(self) -> Labelled | Made | None:
        """Read what the next turn is of, if anything is there: events that are labelled, or the turn as it is to be committed."""
        self.stages = {}
        self._take_up()
        pieces = self._reader.read(self.fields)
        if not pieces:
            return None
        self._heard_at = time.monotonic()
        return self._taken(pieces, None)

    def archived(self, taken: Labelled) -> Sequence[Segment]:
        """Write down the events of a turn; from any thread."""
        return self._archived(taken.watched)

    def look(self, taken: Labelled, joined: pl.DataFrame, found: Mapping[str, Found]) -> Seen:
        """Have all look at the events of a turn; what is in `found` is known already, by detector."""
        with self._timed("detect"):
            sightings = self._observe(Batch(joined, taken.watermark), found)
        return self._as_seen(taken, joined, sightings)

    def hits(self, seen: Seen) -> Callable[[], bool] | None:
        """What puts the turn's hits on their way."""
        sent, sender = self._take_sent(), self.sender
        return None if sender is None else lambda: sender.write(sent, self.position, seen.watermark, self.read_out)

    def made(self, taken: Labelled, seen: Seen, segments: Sequence[Segment]) -> Made:
        """The turn that follows, as it is to be committed."""
        return self._whole(self._made(taken.pieces, seen, segments))

    def _whole(self, made: Made) -> Made:
        return replace(made, turn=self._leaver.whole(made.turn, made.fresh, made.seen.orders))

    def committed(self, made: Made) -> None:
        """It is in the record."""
        self._leaver.committed(made.turn)
        self._committed(made, made.turn)

    def rest(self) -> None:
        """Between turns: let time come where nothing else does, and keep the memory."""
        if time.monotonic() - self._heard_at > self.settings.idle_s and self._is_idle():
            self.tick()
        self._maybe_snapshot()

    @property
    def _leaver(self) -> TurnLeaver:
        assert isinstance(self._committer, TurnLeaver)  # noqa: S101 - it was made here
        return self._committer

    @property
    def _telling(self) -> Telling:
        assert isinstance(self._around, Telling)  # noqa: S101 - who makes one gives it
        return self._around

    @property
    def part(self) -> Part:
        """Which windows it counts."""
        return Part.WHOLE if self.sender is None else Part.LOCAL

    @property
    def sources(self) -> Sequence[Source]:
        """What it reads."""
        return [intake.source for intake in self.intakes]

    @property
    def position(self) -> int:
        """Lines that begin before it are accounted for."""
        return self.intakes[0].reached

    @property
    def is_read_out(self) -> bool:
        """Whether all that is in the log has been taken, as far as is known."""
        return not any(intake.has_more for intake in self.intakes) and all(
            source.lag_bytes == 0 and source.missing is None for source in self.sources
        )

    @property
    def read_out(self) -> int:
        """A moment of the record's clock such that all that was in the log then has been taken; 0 where none is known."""
        (source,) = self.sources
        as_of = source.taken_as_of(self.position) if is_timed(source) else None
        return 0 if as_of is None or source.missing is not None else self.recorded(as_of)

    def _mark(self, watermark: int) -> Mark:
        return Mark(watermark=watermark, inputs=self._inputs(), position=self.position)

    def _seen_by_all(self, seen: Seen) -> None:
        """Before a turn is committed its hits are on their way."""
        self._send(seen.watermark)

    def tell_quiet(self) -> None:
        """Nothing comes: tell who came by last, and say so to windows that count hits of this partition among others'."""
        if self._telling.has_news and self.is_read_out:
            self._commit((), self.watermark)
        if self.sender is not None and self.is_read_out and time.monotonic() - self._quiet_at >= SENDING_S:
            self._quiet_at = time.monotonic()
            self.sender.send({}, self.position, self.watermark, self.read_out)

    def _send(self, watermark: int) -> None:
        sent = self._take_sent()
        if self.sender is not None:
            self.sender.send(sent, self.position, watermark, self.read_out)

    def _take_sent(self) -> dict[str, pl.DataFrame]:
        return {
            one.name: one.take_sent() for one in self.lineup.detectors if isinstance(one, SigmaDetector | TrialDetector)
        }

    def _news(self) -> Sequence[Control]:
        return self._controls.news(self.lineup, None, self._begun)

    def _is_idle(self) -> bool:
        """Whether the log has nothing more, as far as is known: one that cannot be reached is not idle."""
        return self.is_read_out

    def remembered(self) -> dict[str, pl.DataFrame]:
        stand = msgspec.msgpack.encode(Stand(self.stand_at, self.watermark))
        return {**Pipeline.remembered(self), STAND: pl.DataFrame({"stand": [stand]})}

    @property
    def stand_at(self) -> Progress:
        """The account of what it reads."""
        return self.intakes[0].progress

    def recover(self) -> None:
        Pipeline.recover(self)
        self._is_ahead = self.stopping()  # then not all was learnt again: nothing is to be kept of it

    def _relearn(self, snapshot: Snapshot | None, history: History) -> int:
        (intake,) = self.intakes
        stored = self.store.progress().get(intake.partition)
        if stored is None:
            intake.open(None)
            return 0
        stand = stand_in(snapshot)
        if stand is None and self.turn_number:
            self.telemetry.emit(upkeep.MemoryRelearnt(stream=self.stream, turn=self.turn_number))
        intake.open(stand.progress if stand is not None else None)
        self.watermark = stand.watermark if stand is not None else BEGINNING
        try:
            events = self._relearn_from(intake, accounted(stored), history)
        except LogGone as error:
            self.telemetry.emit(upkeep.MemoryLost(stream=self.stream, turn=self.turn_number, reason=str(error)))
            intake.barrier = intake.lot = None
            intake.open(stored)
            return 0
        intake.barrier = None
        intake.progress = msgspec.structs.replace(
            stored, end=intake.progress.end, cursor=intake.progress.cursor, clock=intake.progress.clock
        )
        return events

    def _relearn_from(self, intake: Intake, end: int, history: History) -> int:
        events = 0
        for stretch in _stretches(self.store.marks(self.snapshot_turn), intake.reached):
            events += self._read_again(stretch.position)
            lineup = history.at(stretch.turn)
            if lineup is not self.lineup:
                self._change_to(lineup)
            if stretch.watermark > self.watermark:
                self._look_again((), stretch.watermark)
        return events + self._read_again(end)

    def _read_again(self, position: int) -> int:
        """Look at the log up to a position as it was looked at before; how many events that is."""
        (intake,) = self.intakes
        intake.barrier = position
        events, heard = 0, time.monotonic()
        while not intake.is_at_barrier and not self.stopping():
            if intake.lot is None:
                self._reader.fill(intake, self.fields, WAIT_S)
            if intake.lot is not None:
                piece = intake.take(intake.free(self.settings.rows_max))
                events += piece.frame.height
                self._look_again([piece], None)
                heard = time.monotonic()
            elif self.is_read_out and time.monotonic() - heard > GONE_S:
                raise LogGone(
                    f"the log ends before position {position}, up to which it was read: retention is too short"
                )
            elif time.monotonic() - heard > QUIET_S:
                raise LogSilent(f"{intake.partition} gives nothing between {intake.reached} and {position}")
        return events

    def _look_again(self, pieces: Sequence[Piece], watermark: int | None) -> None:
        seen = self._watch(pieces, watermark)
        self.watermark = seen.watermark
        self._committer.remember(seen.sightings)
        self._take_sent()  # they were sent then


def stand_in(snapshot: Snapshot | None) -> Stand | None:
    """Where a snapshot was made, if it says so."""
    if snapshot is None or STAND not in snapshot.extra:
        return None
    return msgspec.msgpack.decode(snapshot.extra[STAND]["stand"][0], type=Stand)


def _stretches(marks: Sequence[Marked], position: int) -> list[Marked]:
    """The marks of turns that read nothing: they let time come on, or were the first to be under others. The rest is one reading."""
    found: list[Marked] = []
    for mark in marks:
        if mark.position == position:
            found.append(mark)
        position = mark.position
    return found
