"""The stream of windows that no partition has alone: hits of all partitions come in, and findings go out as those of any stream do.

Event time has come as far as in the partition that is least far. One of which all has been taken is as far as the present was then: what
comes later arrives later. A partition of which nothing was ever heard holds all up, also where it has just been added; one that is no
longer there, since the topic was made again with fewer, does not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import polars as pl

from detectors.event import DUPLICATE, HASH
from detectors.finding import Finding, Sighting
from detectors.sigma import SigmaDetector, TrialDetector
from detectors.sigma.parting import SENT, Part
from monitor.decoders import DeadLetter, DeadLetterReason
from monitor.intake.timeline import BEGINNING
from monitor.partitions.leaving import CLOCKS_US
from monitor.partitions.pipeline import QUIET_S, LogSilent, PartitionPipeline, stand_in
from monitor.partitions.sending import decoded, number_of, rows_of
from monitor.rules.lineup import History
from monitor.snapshots import Snapshot
from monitor.sources import Position, RawBatch, Source
from monitor.stores import Mark, Progress, Turn
from monitor.stream.seen import Made, Seen
from monitor.telemetry import upkeep

ORIGINS: Final = "origins"


@dataclass(slots=True)
class Origins:
    """How far each partition has come, by what it has told."""

    lateness: int
    counts: dict[str, int] = field(default_factory=dict)  # how many there are, as each said last
    ends: dict[tuple[str, str], int] = field(default_factory=dict)  # by partition and detector
    watermarks: dict[str, int] = field(default_factory=dict)
    read_out: dict[str, int] = field(default_factory=dict)

    @property
    def watermark(self) -> int:
        """How far event time has come in all that there are."""
        numbered = {number_of(origin): origin for origin in self.counts}
        count = present = 1
        while present <= count:  # those of whom one that is there says that they are there
            if present - 1 not in numbered:
                return BEGINNING
            count = max(count, self.counts[numbered[present - 1]])
            present += 1
        return min(self._reached(numbered[number]) for number in range(count))

    def _reached(self, origin: str) -> int:
        return max(self.watermarks[origin], self.read_out[origin] - self.lateness - CLOCKS_US)

    def fresh(self, origin: str, detector: str, end: int, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of the hits that have not come before."""
        known = self.ends.get((origin, detector), 0)
        self.ends[origin, detector] = max(known, end)
        return rows.filter(pl.col("position") >= known) if known else rows

    def tell(self, origin: str, origins: int, watermark: int, as_of: int) -> None:
        """How far a partition says that it is, and of how many it is one."""
        self.counts[origin] = origins
        self.watermarks[origin] = max(self.watermarks.get(origin, BEGINNING), watermark)
        self.read_out[origin] = max(self.read_out.get(origin, 0), as_of)

    def snapshot(self) -> dict[str, pl.DataFrame]:
        kept = (self.counts, list(self.ends.items()), self.watermarks, self.read_out)
        return {ORIGINS: pl.DataFrame({"told": [msgspec.msgpack.encode(kept)]})}

    def restore(self, state: dict[str, pl.DataFrame]) -> None:
        """Take up a snapshot."""
        if ORIGINS in state:
            kind = tuple[dict[str, int], list[tuple[tuple[str, str], int]], dict[str, int], dict[str, int]]
            told = msgspec.msgpack.decode(state[ORIGINS]["told"][0], type=kind)
            self.counts, self.ends, self.watermarks, self.read_out = told[0], dict(told[1]), told[2], told[3]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a raw batch holds: hits by detector, and messages that are none."""

    hits: dict[str, pl.DataFrame]
    letters: Sequence[DeadLetter]
    lines: int


@dataclass(slots=True, eq=False)
class WindowPipeline(PartitionPipeline):
    """A partition of the topic of hits at work."""

    source: Source | None = None
    installation: str = ""
    progress: Progress = field(default_factory=lambda: Progress(partition="", end=0))
    _origins: Origins = field(init=False)

    def __post_init__(self) -> None:
        PartitionPipeline.__post_init__(self)
        self._origins = Origins(self.settings.bounds.lateness)

    @property
    def part(self) -> Part:
        return Part.ABROAD

    @property
    def sources(self) -> Sequence[Source]:
        return [self._opened]

    @property
    def position(self) -> int:
        return self.progress.end

    @property
    def is_read_out(self) -> bool:
        """Never: that nothing is in the topic does not say that nothing is on its way."""
        return False

    @property
    def read_out(self) -> int:
        """None, for the same reason."""
        return 0

    @property
    def stand_at(self) -> Progress:
        return self.progress

    @property
    def _opened(self) -> Source:
        assert self.source is not None  # noqa: S101 - who makes one gives it
        return self.source

    def fetch(self) -> tuple[int, int]:
        """Hits are few, and no other stream has to be read at the same moment."""
        return 0, 0

    def begin(self) -> Made | None:
        """Read and count, if hits are there."""
        self.stages = {}
        self._take_up()
        with self._timed("read"):
            raw = self._opened.read(self.settings.bytes_max, self.settings.wait_s, self.settings.rows_max)
        if raw is None:
            return None
        self._is_ahead = True
        return self._whole(self._of_hits(raw))

    def rest(self) -> None:
        """Between turns: keep the memory."""
        self._maybe_snapshot()

    def remembered(self) -> dict[str, pl.DataFrame]:
        return {**PartitionPipeline.remembered(self), **self._origins.snapshot()}

    def _mark(self, watermark: int) -> Mark:
        return Mark(watermark=watermark, inputs=self.stream, position=self.position)

    def _positions(self) -> dict[str, int]:
        return {self.stream: self.position}

    def _write_down(self) -> None:
        if controls := self._news():
            made = self._with_turn(Turn(number=self.turn_number + 1, time=self.clock(), controls=controls), [])
            self._committed(made, self._committer.commit(made.turn, made.fresh, made.seen.orders))

    def _of_hits(self, raw: RawBatch) -> Made:
        with self._timed("decode"):
            heard = self._heard(raw)
        with self._timed("detect"):
            sightings = self._counted_hits(heard)
        earlier = self.progress
        self.progress = msgspec.structs.replace(
            earlier,
            end=raw.end,
            cursor=raw.cursor,
            received=earlier.received + heard.lines,
            processed=earlier.processed + heard.lines - len(heard.letters),
            dead_lettered=earlier.dead_lettered + len(heard.letters),
        )
        findings, fresh = self._committer.told(sightings)
        turn = Turn(
            number=self.turn_number + 1,
            time=self.clock(),
            controls=self._news(),
            progress=[self.progress],
            dead_letters=heard.letters,
            findings=findings,
        )
        return self._with_turn(turn, sightings, fresh)

    def _with_turn(self, turn: Turn, sightings: Sequence[Sighting], fresh: Sequence[Finding] = ()) -> Made:
        lateness = self.settings.bounds.lateness
        seen = Seen(_NOTHING, _NOTHING, self.watermark, sightings, np.empty(0, np.int64), lateness)
        return Made(msgspec.structs.replace(turn, mark=self._mark(self.watermark), reached=seen.reached), fresh, seen)

    def _committed(self, made: Made, turn: Turn) -> None:
        self._is_ahead = False
        self.turn_number, self._begun = turn.number, self._positions()
        self._controls.noted(turn.controls)
        for finding in made.fresh:
            self._teller.tell_finding(finding)

    def _counted_hits(self, heard: Heard) -> list[Sighting]:
        """What windows show with these hits, each detector's."""
        self.watermark = max(self.watermark, self._origins.watermark)
        found: list[Sighting] = []
        for detector in self.lineup.detectors:
            if isinstance(detector, SigmaDetector | TrialDetector):
                hits = heard.hits.get(detector.name, SENT.to_frame())
                found += detector.count(self._without_repeats(hits), self.watermark)
        return sorted(found, key=lambda one: (one.finding.time, one.finding.id))

    def _without_repeats(self, hits: pl.DataFrame) -> pl.DataFrame:
        """Hits without those of events that came again, by their ids and contents: in another partition nobody else knows them."""
        if not hits.height:
            return hits
        one = pl.concat_str("rule", "stamp", "key", "value", pl.col("bases").cast(pl.String), separator="\x1f")
        marked = self._duplicates.mark(
            hits.select(one.alias("miniprogram.app_id"), pl.col("id").alias("event.id"), pl.col("hash").alias(HASH))
        )
        return hits.filter(~marked[DUPLICATE])

    def _heard(self, raw: RawBatch) -> Heard:
        parts: dict[str, list[pl.DataFrame]] = {}
        letters: list[DeadLetter] = []
        offset = lines = 0
        for line in raw.data.splitlines():
            lines += 1
            try:
                told = decoded(line)
                rows = rows_of(told)
            except (msgspec.MsgspecError, ValueError) as error:
                position = int(raw.positions(np.array([offset], dtype=np.int64))[0])
                letters.append(self._letter(line, position, f"no message of hits: {error}"))
            else:
                if told.installation != self.installation:
                    offset += len(line) + 1
                    continue
                if told.detector:
                    fresh = self._origins.fresh(told.origin, told.detector, told.end, rows)
                    parts.setdefault(told.detector, []).append(fresh)
                else:
                    self._origins.tell(told.origin, told.origins, told.watermark, told.as_of)
            offset += len(line) + 1
        return Heard({name: pl.concat(found) for name, found in parts.items()}, letters, lines)

    def _letter(self, line: bytes, position: int, detail: str) -> DeadLetter:
        kept = line[: self.letter_bytes_max]
        return DeadLetter(self.stream, position, DeadLetterReason.BROKEN_JSON, detail, kept, len(line))

    # Starting

    def _relearn(self, snapshot: Snapshot | None, history: History) -> int:
        stored = self.store.progress().get(self.stream)
        if stored is None:
            self.progress = Progress(partition=self.stream, end=0)
            self._opened.open(None)
            return 0
        stand = stand_in(snapshot)
        if stand is None and self.turn_number:
            self.telemetry.emit(upkeep.MemoryRelearnt(stream=self.stream, turn=self.turn_number))
        if stand is not None and snapshot is not None:
            self.watermark = stand.watermark
            self._origins.restore(dict(snapshot.extra))
        begun = stand.progress if stand is not None else None
        self._opened.open(None if begun is None else Position(self.stream, begun.end, begun.cursor))
        marks = {mark.position: mark.turn for mark in self.store.marks(self.snapshot_turn)}
        messages = self._count_again(0 if begun is None else begun.end, stored.end, marks, history)
        self.progress = stored
        return messages

    def _count_again(self, position: int, end: int, marks: dict[int, int], history: History) -> int:
        """Count what was committed: the hits up to a position, each turn's under the rules of then."""
        messages, heard_at = 0, time.monotonic()
        waiting: RawBatch | None = None
        for bound in [*sorted(at for at in marks if position < at < end), end]:
            while position < bound and not self.stopping():
                raw = waiting or self._opened.read(self.settings.bytes_max, 0.2, self.settings.rows_max)
                if raw is None:
                    if time.monotonic() - heard_at > QUIET_S:
                        raise LogSilent(f"{self.stream} gives nothing between {position} and {bound}")
                    continue
                heard_at = time.monotonic()
                now, waiting = _cut(raw, bound)
                heard = self._heard(now)
                messages += heard.lines
                self._committer.remember(self._counted_hits(heard))
                position = now.end
            lineup = history.at(marks.get(bound, self.turn_number))
            if lineup is not self.lineup:
                self._change_to(lineup)
        if waiting is not None:  # what was read and not committed is read again
            self._opened.open(Position(self.stream, end, self.store.progress()[self.stream].cursor))
        return messages


_NOTHING: Final = pl.DataFrame()


def _cut(raw: RawBatch, position: int) -> tuple[RawBatch, RawBatch | None]:
    """A raw batch up to a position, and what of it comes after."""
    if raw.end <= position:
        return raw, None
    offset = raw.offset(position)
    messages = raw.messages
    if messages is None:
        first = msgspec.structs.replace(raw, data=raw.data[:offset], end=position)
        return first, msgspec.structs.replace(raw, data=raw.data[offset:], start=position)
    first = msgspec.structs.replace(raw, data=raw.data[:offset], end=position, messages=messages.part(0, offset))
    rest = msgspec.structs.replace(
        raw, data=raw.data[offset:], start=position, messages=messages.part(offset, len(raw.data))
    )
    return first, rest
