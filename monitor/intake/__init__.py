"""One partition on its way to columns, and several of them merged by their clocks into one stream.

A raw batch is decoded once and then taken in pieces (`Lot.take`): as many rows as a turn may have, or as the other
partitions' clocks allow. What a restart needs to cut the same pieces is stored with the position: the clock as it stood at
the beginning of the lot, and up to which row the lot was taken.

Of a stream that lives on its own clock, the last rows of a lot may have times of which only the next lot tells whether they
are believed (`ahead`). Their lines are held back and decoded again before those of the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np
import polars as pl

from detectors.event import FUTURE, HASH, LINE, PARTITION, POSITION, TIME
from monitor.containment import FaultWatch, contained
from monitor.decoders import DeadLetter, Decoded, Decoder, lines_of
from monitor.decoders.ndjson import DEAD_LETTER_BYTES_MAX
from monitor.door import Door
from monitor.intake.timeline import AHEAD, BEGINNING, CLOCK, OPEN, Bounds, ClockState, stamp
from monitor.native import NativeNdjson
from monitor.sources import Position, RawBatch, Source, is_timed
from monitor.sources.messages import UNKNOWN
from monitor.stores import Progress

_HASH_SEED: Final = 11


class Place(msgspec.Struct, frozen=True):
    """What is stored beside a partition's position: its clock where the position is, and how far the lot after it was taken."""

    clock: ClockState = msgspec.field(default_factory=ClockState)
    taken: int = -1  # lines that begin before this position are accounted for; -1: none after the position
    time_max: int = 0  # of the events since the clock is settled, without those that were ahead of it
    claimed: int = 0  # the latest time of an event that was ahead of the clock and kept its time

    @property
    def reached(self) -> int:
        """The latest time that is believed: how far the end of the input, or a silence, lets time come; 0 for none."""
        return max(self.time_max, self.clock.reached)


def accounted(stored: Progress | None) -> int:
    """Up to where the record accounts for a partition's lines: no line that is new may be given a position before it."""
    if stored is None:
        return 0
    return max(stored.end, _place_of(stored).taken)


def _place_of(stored: Progress) -> Place:
    return msgspec.json.decode(stored.clock, type=Place) if stored.clock else Place()


@dataclass(frozen=True, slots=True)
class Stand:
    """Where reading can begin again: a position that the source has given, and the clock there."""

    end: int
    cursor: bytes
    clock: ClockState


@dataclass(frozen=True, slots=True)
class Held:
    """Lines that were read and are not decided yet: a few rows, with the dead letters among them."""

    raw: RawBatch
    stands: tuple[Stand, ...]  # the first is at the first line or before it
    clock: ClockState  # before the first row


@dataclass(slots=True)
class Lot:
    """A decoded raw batch, taken row by row."""

    raw: RawBatch
    frame: pl.DataFrame
    letters: Sequence[DeadLetter]
    before: ClockState  # the clock before the first row
    stands: tuple[Stand, ...]  # the first is at the beginning of the raw batch or before it
    bound: int  # lines that begin before this position are of the lot
    now: int | None = None  # the present as it was when the lot was decoded; None on the stream's own clock
    row: int = 0
    letter: int = 0

    def last_clock(self, rows: int) -> int | None:
        """The clock at the end of so many rows; None for no row."""
        return int(self.frame[CLOCK][self.row + rows - 1]) if rows else None


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows and dead letters taken for one turn, and the partition's account with them."""

    frame: pl.DataFrame
    letters: Sequence[DeadLetter]
    progress: Progress
    bytes: int

    @property
    def lines(self) -> int:
        """How many lines came in."""
        return self.frame.height + lines_of(self.letters)


@dataclass(slots=True)
class Intake:
    """A source with its decoder, its door, its clock and its account."""

    source: Source
    decoder: Decoder
    door: Door
    bounds: Bounds
    progress: Progress
    place: Place = field(default_factory=Place)
    lot: Lot | None = None
    held: Held | None = None
    native: NativeNdjson | None = None  # decodes and admits in place of the two, where there is a kernel
    watch: FaultWatch = field(default_factory=FaultWatch)  # hears of every line that brings out a fault of ours
    waiting: RawBatch | None = None  # read, and not decoded: too many of its lines did
    dead_letter_bytes_max: int = DEAD_LETTER_BYTES_MAX
    barrier: int | None = None  # lines that begin here or further on are not taken for now

    def open(self, stored: Progress | None) -> None:
        """Go on from what was committed."""
        if stored is not None:
            self.progress = stored
            self.place = _place_of(stored)
            self.source.open(Position(stored.partition, stored.end, stored.cursor))
        else:
            self.source.open(None)

    @property
    def partition(self) -> str:
        return self.source.partition

    @property
    def has_more(self) -> bool:
        """Whether lines are there that were read and not yet taken."""
        return self.lot is not None or (self.waiting is None and self.source.ready)

    @property
    def is_behind(self) -> bool:
        """Whether its log has lines that were not read yet, where it is one that knows its end; until it does, or while it cannot be reached,
        it may have.
        """
        return is_timed(self.source) and (self.source.lag_bytes != 0 or self.source.missing is not None)

    @property
    def exhausted(self) -> bool:
        return self.source.ended and self.lot is None and self.waiting is None

    @property
    def reached(self) -> int:
        """Lines that begin before this position are accounted for."""
        return max(self.place.taken, self.progress.end)

    @property
    def is_at_barrier(self) -> bool:
        """Whether every line before the barrier has been taken."""
        return self.barrier is not None and self.reached >= self.barrier

    @property
    def _is_barred(self) -> bool:
        """Whether the barrier is within the lot, or where it ends."""
        lot = self.lot
        return lot is not None and self.barrier is not None and min(lot.bound, lot.raw.end) >= self.barrier

    def free(self, rows_max: int) -> int:
        """How many rows of the lot may be taken now, of so many at most."""
        lot = self.lot
        if lot is None:
            return 0
        end = lot.frame.height
        if self.barrier is not None:
            end = int(np.searchsorted(lot.frame[POSITION].to_numpy(), self.barrier))
        return max(min(rows_max, end - lot.row), 0)

    def gives_no_more(self, rows_max: int) -> bool:
        """Whether nothing comes after so many rows of the lot, or nothing that may be taken now."""
        lot = self.lot
        if lot is None:
            return False
        return self.free(rows_max + 1) <= rows_max and (self.source.ended or self._is_barred)

    def fill(self, raw: RawBatch | None, fields: frozenset[str], now: int | None = None) -> None:
        """Decode a raw batch into the lot; lines that an earlier run has accounted for are dropped. `now` as for `stamp`.

        Without a raw batch, what was held back becomes the lot. There may be no lot afterwards: all is held back. After an
        error the batch is `waiting`, to be given again.
        """
        self.waiting, held = raw, self.held
        lines = _joined(held.raw if held else None, raw)
        before = held.clock if held else self.place.clock
        stands = held.stands if held else (Stand(self.progress.end, self.progress.cursor, before),)
        frame, letters, after = self._decoded(lines, fields, before, now)
        if raw is not None:
            stands = (*stands, Stand(raw.end, raw.cursor, after))
        firm, bound, doubt = frame.height, lines.end + 1, None
        if raw is not None and not self.source.ended:
            firm = _firm(frame, lines.end - self.bounds.held_bytes_max)
        if firm < frame.height:
            bound = int(frame[POSITION][firm])
            clock = stamp(frame[:firm], before, self.bounds, now)[1]
            doubt = Held(_from(lines, bound), _since(stands, bound), clock)
        lot = self._left(Lot(lines, frame, letters, before, stands, bound, now))
        self.lot = lot if doubt is None or lot.frame.height or lot.letters else None
        self.held, self.waiting = doubt, None

    def decoded_anew(self, fields: frozenset[str]) -> Lot | None:
        """What is left of the lot, with other fields; None where there is no lot. Nothing is changed yet."""
        if self.lot is None:
            return None
        frame, letters, _ = self._decoded(self.lot.raw, fields, self.lot.before, self.lot.now)
        return self._left(replace(self.lot, frame=frame, letters=letters, row=0, letter=0))

    def _decoded(
        self, raw: RawBatch, fields: frozenset[str], clock: ClockState, now: int | None
    ) -> tuple[pl.DataFrame, Sequence[DeadLetter], ClockState]:
        admit = self.native.admit if self.native is not None else self._admit
        admitted = contained(lambda part: admit(part, fields), raw, self.watch, self.dead_letter_bytes_max)
        frame, after = stamp(_arrived(admitted.frame, raw), clock, self.bounds, now)
        told = {"partition": self.partition, "format": raw.format}
        letters = [msgspec.structs.replace(letter, **told) for letter in admitted.dead_letters]
        return frame, letters, after

    def _left(self, lot: Lot) -> Lot:
        """Of a lot that is all its lines, what is not held back and not accounted for."""
        begin = self.reached
        first, last = np.searchsorted(lot.frame[POSITION].to_numpy(), [begin, lot.bound])
        frame = lot.frame[int(first) : int(last)].drop(OPEN)
        letters = [letter for letter in lot.letters if begin <= letter.position < lot.bound]
        return replace(lot, frame=_named(frame, self.partition), letters=letters)

    def _admit(self, raw: RawBatch, fields: frozenset[str]) -> Decoded:
        return self.door.admit(self.decoder.decode(raw, fields), fields)

    def take(self, rows: int) -> Piece:
        """The next rows of the lot with the dead letters among them, and the partition's progress once they are committed."""
        lot = self.lot
        if lot is None:
            raise AssertionError("nothing was read")
        frame = lot.frame.slice(lot.row, rows)
        lot.row += frame.height
        is_last = lot.row >= lot.frame.height
        bound = lot.bound if is_last else int(lot.frame[POSITION][lot.row])
        if self.barrier is not None and self.barrier < bound and self._is_barred:
            bound = self.barrier
            is_last = bound >= min(lot.bound, lot.raw.end)
        first = lot.letter
        while lot.letter < len(lot.letters) and lot.letters[lot.letter].position < bound:
            lot.letter += 1
        letters = lot.letters[first : lot.letter]
        begun = min(max(lot.raw.start, self.place.taken), lot.raw.end)
        stand = _since(lot.stands, bound)[0]
        # A lot may be shorter than that of an earlier run with other bounds, and end before what was taken then.
        taken = max(self.place.taken, min(bound, lot.raw.end))
        self.place = Place(
            clock=stand.clock,
            taken=taken if taken > stand.end else -1,
            time_max=max(self.place.time_max, _time_max(frame)),
            claimed=max(self.place.claimed, _claimed(frame)),
        )
        self.progress = self._counted(frame, letters, stand)
        if is_last:
            self.lot = None
        return Piece(frame, letters, self.progress, lot.raw.bytes_between(begun, min(bound, lot.raw.end)))

    def _counted(self, frame: pl.DataFrame, letters: Sequence[DeadLetter], stand: Stand) -> Progress:
        earlier, dead = self.progress, lines_of(letters)
        return msgspec.structs.replace(
            earlier,
            end=stand.end,
            cursor=stand.cursor,
            clock=msgspec.json.encode(self.place),
            received=earlier.received + frame.height + dead,
            processed=earlier.processed + frame.height,
            dead_lettered=earlier.dead_lettered + dead,
            future=earlier.future + int(frame[FUTURE].sum()),
        )


def _arrived(frame: pl.DataFrame, raw: RawBatch) -> pl.DataFrame:
    """Rows with the arrival that their source knows, where they bring none."""
    if raw.messages is not None and frame.height:
        arrived = pl.Series(raw.messages.arrived(frame[POSITION].to_numpy()))
        return frame.with_columns(pl.col("event.ingested").fill_null(arrived.set(arrived == UNKNOWN, None)))
    if not raw.arrivals:
        return frame
    begins, times = np.array(raw.arrivals, dtype=np.int64).T
    places = np.searchsorted(begins, frame[POSITION].to_numpy(), side="right") - 1
    told = pl.Series(times[np.maximum(places, 0)])
    return frame.with_columns(pl.col("event.ingested").fill_null(told))


def _time_max(frame: pl.DataFrame) -> int:
    is_reached = (frame[CLOCK].to_numpy() > BEGINNING) & ~frame[AHEAD].to_numpy()
    return int(frame[TIME].to_numpy().max(initial=0, where=is_reached))


def _claimed(frame: pl.DataFrame) -> int:
    return int(frame[TIME].to_numpy().max(initial=0, where=frame[AHEAD].to_numpy()))


def _firm(frame: pl.DataFrame, horizon: int) -> int:
    """How many rows are decided whatever follows; those before the position `horizon` have waited long enough."""
    waiting = frame[OPEN].to_numpy() & (frame[POSITION].to_numpy() > horizon)
    return int(waiting.argmax()) if waiting.any() else frame.height


def _from(raw: RawBatch, position: int) -> RawBatch:
    """The lines of a raw batch from a position on."""
    return raw.cut(position)[1]


def _joined(held: RawBatch | None, raw: RawBatch | None) -> RawBatch:
    """Two raw batches of which one goes on where the other ends; or the one that there is."""
    if held is None or raw is None:
        found = held or raw
        assert found is not None  # noqa: S101 - who fills has read something or held something back
        return found
    return held.joined(raw)


def _since(stands: tuple[Stand, ...], position: int) -> tuple[Stand, ...]:
    """From the last place at which reading what begins at a position can begin."""
    return stands[max(place for place, stand in enumerate(stands) if stand.end <= position) :]


def _named(frame: pl.DataFrame, partition: str) -> pl.DataFrame:
    """Rows with their partition, their content hash, and an event id where they brought none."""
    own = hashlib.sha256(partition.encode()).hexdigest()[:12] + "-"
    return frame.with_columns(
        pl.lit(partition).alias(PARTITION),
        pl.col(LINE).hash(_HASH_SEED).alias(HASH),
        pl.col("event.id").fill_null(pl.concat_str(pl.lit(own), pl.col(POSITION).cast(pl.String))),
    )


def merge_ready(intakes: Sequence[Intake], rows_max: int) -> Mapping[str, int]:
    """How many rows of each partition's lot may be taken now, so that the whole comes in the order of (clock, partition).

    A row may be taken when no partition that still gives can bring one before it. The partition whose window of rows ends first
    always gives all of it, so every turn makes progress. A lot of dead letters alone does not say how far its partition is: it
    is taken by itself, so that what comes after it is seen first. Every intake that is not exhausted must have a lot.
    """
    windows = [(intake, intake.lot.last_clock(intake.free(rows_max)) if intake.lot else None) for intake in intakes]
    if any(clock is None and intake.lot and not intake.source.ended for intake, clock in windows):
        return {intake.partition: 0 for intake, _ in windows}
    ends = sorted(
        (clock, intake.partition)
        for intake, clock in windows
        if clock is not None and not intake.gives_no_more(rows_max)
    )
    ready: dict[str, int] = {}
    for intake, clock in windows:
        lot = intake.lot
        if lot is None:
            continue
        if clock is None:
            ready[intake.partition] = 0
            continue
        others = [end for end in ends if end[1] != intake.partition]
        window = lot.frame[CLOCK].slice(lot.row, intake.free(rows_max)).to_numpy()
        if not others:
            ready[intake.partition] = len(window)
            continue
        limit, name = others[0]
        before = window <= limit if intake.partition < name else window < limit
        ready[intake.partition] = int(np.count_nonzero(before))
    return ready


def merged(pieces: Sequence[Piece]) -> pl.DataFrame:
    """Rows of several partitions in one order."""
    if len(pieces) == 1:
        return pieces[0].frame
    joined = pl.concat([piece.frame for piece in pieces])
    if len({piece.progress.partition for piece in pieces}) == 1:
        return joined  # a partition's own pieces come in order
    return joined.sort([CLOCK, PARTITION, POSITION], maintain_order=True)
