"""Follows the archive: events of committed turns are written to the search, some turns at a time, each event once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import polars as pl
from msgspec import structs

from detectors.event import LINE
from monitor.stores import Fence, Segment
from monitor.stores.archive import Archive
from monitor.stores.elasticsearch import EVENTS, SearchError
from monitor.stores.elasticsearch.bulk import Sending
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.documents import Bodies, Documents
from monitor.stores.elasticsearch.streams import delete_doubles, indices_of
from monitor.stores.indexed import Indexed, SetAside
from monitor.stores.segment import TURN, SegmentBroken

WINDOW_ROWS: Final = 50_000
"""Events made into documents at a time, and sent before it is noted how far that is. Two such windows are in memory: one is made
while the other is sent.
"""

WINDOW_BYTES: Final = 64 << 20
"""Bytes of their lines, likewise; a turn's may be more, as far as `batch.bytes_max` allows."""

AHEAD_TURNS: Final = 1_000
"""Turns that are noted beforehand as perhaps sent, so that it is not noted for every one."""

SETTLE_S: Final = 60.0
"""How long after a request without an answer it may still be carried out; doubles are looked for after that."""


class Followed(Protocol):
    """The part of the record that is followed, and told how far that has come."""

    def segments_after(self, turn: int, stream: str, folder: str) -> Sequence[Segment]: ...
    def indexed(self) -> Sequence[Indexed]: ...
    def put_indexed(self, indexed: Indexed, set_aside: Sequence[SetAside] = (), fence: Fence | None = None) -> None: ...


@dataclass(slots=True)
class Window:
    """Some events on their way: with them, all turns up to `whole` have been sent.

    `suspect`: some of it may have been sent before, by a process that is gone.
    """

    frame: pl.DataFrame
    ids: pl.Series
    sending: Sending
    whole: int
    suspect: bool
    plain: Sending | None = None  # what could not stand as it came, by its columns alone
    plain_rows: list[int] = field(default_factory=list)

    @property
    def last(self) -> int:
        return int(self.frame.item(-1, TURN))

    @property
    def is_sent(self) -> bool:
        return self.plain is not None and not (self.sending.pending.any() or self.plain.pending.any())

    @property
    def unanswered(self) -> bool:
        return self.sending.unanswered or (self.plain is not None and self.plain.unanswered)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step came to."""

    rows: int
    plain: int = 0
    set_aside: int = 0
    doubles: int = 0


@dataclass(slots=True)
class EventFollower:
    """Writes events of one stream in one archive folder behind what is indexed. Used by one thread; whatever is raised, the next step goes
    on from there. With a `fence`, nothing is noted once another does this.
    """

    store: Followed
    archive: Archive
    connection: Connection
    documents: Documents
    clock: Callable[[], int]
    going_on: Callable[[], bool]
    pause: Callable[[float], object]
    broken: Callable[[SegmentBroken], None]
    settle_s: float = SETTLE_S
    fence: Fence | None = None
    _at: Indexed | None = None
    _suspect_until: int = 0
    _window: Window | None = None
    _frames: Iterator[pl.DataFrame] | None = None
    _rest: pl.DataFrame | None = None  # of a turn that is too large for one window
    _aside: list[SetAside] = field(default_factory=list)  # not noted yet
    _read: int = 0  # the last turn that was read; what is noted lies behind it
    _coming: Future[Window | None] | None = None
    _maker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "search-window"))
    _left_out: set[str] = field(default_factory=set)
    _unanswered: float = field(
        default_factory=time.monotonic
    )  # when a request may last have been left without an answer

    @property
    def stream(self) -> str:
        return self.connection.settings.stream(EVENTS)

    def close(self) -> None:
        """Make no further windows."""
        self._maker.shutdown(wait=False, cancel_futures=True)

    def is_behind(self, turn: int) -> bool:
        """Whether there is anything to do, where the stream has come to this turn in the folder."""
        return self._window is not None or self._coming is not None or self.reached().place < turn

    def reached(self) -> Indexed:
        """How far it has come."""
        if self._at is None:
            known = {(one.what, one.stream, one.folder): one for one in self.store.indexed()}
            turns, folder = self.documents.turns, self.archive.name
            self._at = known.get((EVENTS, turns, folder), Indexed(what=EVENTS, stream=turns, folder=folder))
            self._suspect_until = self._at.sent_until
        return self._at

    def distrust(self, turn: int) -> None:
        """Events of turns up to this one may have been written already, nobody knows when."""
        at = self.reached()
        if turn > max(at.sent_until, at.place):
            self._note(structs.replace(at, since="", sent_until=turn))
            self._suspect_until = turn

    def step(self, pool: ThreadPoolExecutor) -> Step | None:
        """Write some turns; None when there are none left, or it is to stop. Raises `SearchError` and `StoreError`."""
        window = self._window = self._window or self._made()
        if window is None:
            return None
        if self._coming is None:
            self._coming = self._maker.submit(self._next_window)
        self._begin(window)
        try:
            window.sending.send(self.connection, self.stream, pool, self.going_on)
            self._send_plainly(window, pool)
        except SearchError:
            self._unanswered = time.monotonic()
            raise
        if not window.is_sent:
            return None
        doubles = self._made_one(window)
        if doubles is None:
            return None
        return self._end(window, doubles)

    def _made(self) -> Window | None:
        """The window that was made while the one before was on its way; where there was nothing then, one of what has come since."""
        coming, self._coming = self._coming, None
        return (coming.result() if coming is not None else None) or self._next_window()

    def _next_window(self) -> Window | None:
        try:
            return self._window_read()
        except BaseException:  # what was read for it is read again, from what is noted on: some of it may be sent twice
            self._suspect_until = max(self._suspect_until, self._read)
            self._frames, self._rest, self._read = None, None, 0
            raise

    def _window_read(self) -> Window | None:
        parts: list[pl.DataFrame] = []
        left, size = WINDOW_ROWS, 0
        while left > 0 and size < WINDOW_BYTES:
            if self._rest is None:
                self._rest = self._next_turn()
            if self._rest is None:
                break
            parts.append(self._rest.head(left))
            self._rest = self._rest.slice(left) if self._rest.height > left else None
            left -= parts[-1].height
            size += int(parts[-1][LINE].str.len_bytes().sum())
        if not parts:
            return None
        frame = pl.concat(parts) if len(parts) > 1 else parts[0]
        ids = self.documents.ids(frame)
        bodies = self.documents.bodies(frame, ids)
        whole = int(frame.item(-1, TURN)) - (self._rest is not None)
        suspect = int(frame.item(0, TURN)) <= self._suspect_until
        return Window(frame, ids, Sending(bodies, np.diff(bodies.offsets) > 0), whole, suspect)

    def _next_turn(self) -> pl.DataFrame | None:
        """The next turn of the files that are open, or of those that have come since; a broken file is told and left out."""
        while True:
            place = self._read = max(self._read, self.reached().place)
            if fresh := self._frames is None:
                segments = self._segments(place)
                self._frames = self.archive.replay(segments, place)
            try:
                found = next(self._frames, None)
            except SegmentBroken as error:
                self._frames = None
                if not fresh:  # joined to others meanwhile, perhaps
                    return None
                self._left_out.add(error.path.relative_to(self.archive.folder).as_posix())
                self.broken(error)
                continue
            if found is None:
                self._frames = None
            else:
                self._read = int(found.item(0, TURN))
            return found

    def _segments(self, place: int) -> list[Segment]:
        """Files to be read."""
        found = self.store.segments_after(place, self.documents.turns, self.archive.name)
        return [one for one in found if one.path not in self._left_out]

    def _begin(self, window: Window) -> None:
        """Note what may be sent from now on, before it is."""
        at = self.reached()
        if window.last <= at.sent_until:  # also what of a turn goes before its last part
            return
        since = at.since
        if self._suspect_until <= at.place:
            indices = indices_of(self.connection, self.stream)
            since = indices[-1] if indices else ""
        self._note(structs.replace(at, since=since, sent_until=window.last + AHEAD_TURNS))

    def _send_plainly(self, window: Window, pool: ThreadPoolExecutor) -> None:
        """Send what could not stand as it came by the archive's columns alone."""
        if window.sending.pending.any():
            return
        if window.plain is None:
            without = np.flatnonzero(np.diff(window.sending.bodies.offsets) == 0).tolist()
            window.plain_rows = sorted({*without, *(one.row for one in window.sending.refused)})
            rows = ((window.frame.row(row, named=True), window.ids[row]) for row in window.plain_rows)
            bodies = Bodies.of([self.documents.plainly(row, key) for row, key in rows])
            window.plain = Sending(bodies, np.ones(len(bodies), dtype=np.bool_))
        window.plain.send(self.connection, self.stream, pool, self.going_on)

    def _made_one(self, window: Window) -> int | None:
        """Doubles deleted, where there may be any: what was perhaps sent twice, into a stream that has rolled over since the first time.

        None when it is to stop before that is known.
        """
        if not (window.suspect or window.unanswered):
            return 0
        indices = indices_of(self.connection, self.stream)
        since = self.reached().since or next(iter(indices), "")
        if indices and indices[-1] == since:
            return 0
        while (left := self._unanswered + self.settle_s - time.monotonic()) > 0:
            if not self.going_on():
                return None
            self.pause(left)
        return delete_doubles(self.connection, self.stream, window.ids.to_list())

    def _end(self, window: Window, doubles: int) -> Step:
        at, now = self.reached(), self.clock()
        refused = window.plain.refused if window.plain is not None else []
        events = window.frame["event.id"]
        self._aside += [
            SetAside(what=EVENTS, id=events[window.plain_rows[one.row]], reason=one.reason, detail=one.detail, time=now)
            for one in refused
        ]
        self._window = None
        if window.whole > at.place:
            place = structs.replace(at, place=window.whole, set_aside=at.set_aside + len(self._aside), time=now)
            self._note(place, self._aside)
            self._aside = []
        return Step(window.frame.height, len(window.plain_rows), len(refused), doubles)

    def _note(self, noted: Indexed, aside: Sequence[SetAside] = ()) -> None:
        self.store.put_indexed(noted, aside, self.fence)
        self._at = noted
