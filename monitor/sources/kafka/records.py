"""From the bytes of a fetched partition to its messages, in columns: the record batches of Kafka's log, format 2.

The fields of a record are varints, of which each begins where the one before ends. Only the lengths of whole records are
followed one by one; all else is read for all records of a fetch at once. What a batch says of itself is checked before it is
believed: a batch that lies, or that time has spoilt, costs itself and no other.

The format: kafka.apache.org/documentation/#recordbatch
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from crc32c import crc32c

from monitor.sources import Oversized, Unread, UnreadReason
from monitor.sources.kafka.decompression import BATCH_BYTES_MAX, BadCompression, decompressed
from monitor.sources.lines import HEAD_BYTES_MAX
from monitor.sources.messages import MESSAGE_BITS, MESSAGE_BYTES_MAX, UNKNOWN, Offsets

GROUP_BYTES_MAX: Final = 16 << 20
"""Records are read together until there are so many bytes of them, decompressed."""

MILLISECONDS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999: a later time, or one before 1970, is none."""

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_BEFORE_LENGTH: Final = 12  # the base offset and the length itself
_MAGIC_AT: Final = 16
_CRC_FROM: Final = 21
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_NEWLINE: Final = ord("\n")
_NONE: Final = np.empty(0, dtype=np.int64)


class Fetched(msgspec.Struct, frozen=True):
    """Messages of a partition that follow one another, as lines: every message ends in a newline, added where it lacks one.

    Empty messages and those without a value are not among them; `next_offset` is past them all.
    """

    data: bytes = b""
    begins: Offsets = msgspec.field(default_factory=lambda: _NONE)  # of the messages in `data`
    offsets: Offsets = msgspec.field(default_factory=lambda: _NONE)
    arrivals: Offsets = msgspec.field(default_factory=lambda: _NONE)  # microseconds, or `UNKNOWN`
    next_offset: int = 0
    leader_epoch: int = -1  # of the last batch; -1 where it is not told
    oversized: tuple[Oversized, ...] = ()
    unread: tuple[Unread, ...] = ()
    start: int = -1  # the offset from which on it is all that there was; -1 where it is not told


@dataclass(slots=True)
class Aborted:
    """The transactions of a fetch that were taken back: the broker names them by their producers and first offsets."""

    coming: list[tuple[int, int]]  # first offset, producer; sorted
    producers: set[int] = field(default_factory=set)

    def hides(self, batch: _Batch) -> bool:
        """Whether a batch is not to be seen: it marks an end, or was taken back."""
        while self.coming and self.coming[0][0] <= batch.last_offset:
            self.producers.add(self.coming.pop(0)[1])
        if batch.attributes & _CONTROL:
            if batch.is_abort_marker():
                self.producers.discard(batch.producer)
            return True
        return bool(batch.attributes & _TRANSACTIONAL) and batch.producer in self.producers


class _Corrupt(Exception):
    """A batch is not what it says."""


@dataclass(slots=True)
class _Batch:
    """A record batch with its header read."""

    base_offset: int
    attributes: int
    last_offset: int
    first_time: int
    max_time: int
    producer: int
    records: int
    leader_epoch: int
    size: int
    payload: bytes | memoryview

    def is_abort_marker(self) -> bool:
        """Whether this control batch says that a transaction was taken back: its record's key is a version, and 0 for that."""
        columns = _columns(self.payload, _record_starts(self.payload, 1))
        begin = int(columns.keys[0])
        return bytes(self.payload[begin + 2 : begin + 4]) == b"\0\0"


def read_records(
    buffer: bytes | memoryview, fetch_offset: int, aborted: Aborted, *, message_bytes_max: int = MESSAGE_BYTES_MAX
) -> Iterator[Fetched]:
    """The messages of the record batches in a fetched buffer, from an offset on.

    After what is corrupt nothing more is given: who the rest belongs to may hang on it, and it is fetched again from
    `next_offset`. A last batch that is there only in part is left for the next fetch.
    """
    view = memoryview(buffer)
    group = _Group(fetch_offset, message_bytes_max)
    at = 0
    while at + _HEADER.size <= len(view):
        length = struct.unpack_from(">i", view, at + 8)[0]
        end = at + _BEFORE_LENGTH + length
        if at and end > len(view):
            break
        try:
            batch = _batch(view[at:], length)
            if not aborted.hides(batch):
                batch.payload = _payload(batch)
                group.add(batch)
            else:
                group.skip(batch)
        except (_Corrupt, BadCompression, IndexError) as error:
            yield from group.taken()
            # Where it is the length that is wrong, the rest of its header is believed no less.
            end = end if at + _HEADER.size <= end <= len(view) else len(view)
            yield _unreadable(view[at:end], group.next_offset, str(error))
            return
        at = end
        if group.bytes >= GROUP_BYTES_MAX:
            yield from group.taken()
    yield from group.taken()
    if 0 < len(view) < _HEADER.size:  # a broker gives the first batch whole
        yield _unreadable(view, fetch_offset, f"{len(view)} bytes are no batch")


def _batch(view: memoryview, length: int) -> _Batch:
    size = _BEFORE_LENGTH + length
    if not _HEADER.size <= size <= len(view):
        raise _Corrupt(f"it says that it has {length} bytes")
    view = view[:size]
    (base, _, epoch, magic, crc, attributes, last, first_time, max_time, producer, _, _, records) = _HEADER.unpack_from(
        view
    )
    if magic != 2:
        raise _Corrupt(f"its format is {magic}, where 2 is known")
    if crc32c(view[_CRC_FROM:]) != crc:
        raise _Corrupt("its checksum is wrong")
    if last < 0 or records < 0 or records > last + 1 or records > BATCH_BYTES_MAX:
        raise _Corrupt(f"it says that it has {records} records up to the {last + 1}th")
    return _Batch(
        base, attributes, base + last, first_time, max_time, producer, records, epoch, size, view[_HEADER.size :]
    )


def _payload(batch: _Batch) -> bytes | memoryview:
    codec = batch.attributes & _CODEC
    return decompressed(codec, batch.payload) if codec else batch.payload


def _unreadable(view: memoryview, next_offset: int, why: str) -> Fetched:
    """What is told of a batch that cannot be read. Its header may be wrong too: it is gone past by one offset at least."""
    messages, base = 1, next_offset
    if len(view) >= _HEADER.size:
        base, last = struct.unpack_from(">q", view)[0], struct.unpack_from(">i", view, 23)[0]
        # A record has some bytes; of a batch that says it has more than that, only the first is passed.
        if (base <= next_offset <= base + last and last < max(len(view), 1) << 10) or (
            next_offset < base < next_offset + (1 << 31) and 0 <= last < len(view) << 10
        ):
            messages = base + last + 1 - next_offset
    after = next_offset + messages
    detail = f"a record batch with the offsets {next_offset} to {after - 1} cannot be read: {why}"
    unread = Unread(next_offset << MESSAGE_BITS, messages, UnreadReason.CORRUPT, detail, len(view))
    return Fetched(next_offset=after, unread=(unread,))


class _Group:
    """Batches that are read together."""

    def __init__(self, fetch_offset: int, message_bytes_max: int) -> None:
        self.next_offset = fetch_offset
        self.bytes = 0
        self._message_bytes_max = message_bytes_max
        self._from = fetch_offset
        self._batches: list[_Batch] = []
        self._starts: list[Offsets] = []
        self._epoch = -1

    def add(self, batch: _Batch) -> None:
        """Take a batch; raises `_Corrupt` where its records are not what they say."""
        self._starts.append(_record_starts(batch.payload, batch.records))
        self._batches.append(batch)
        self.bytes += len(batch.payload)
        self.skip(batch)

    def skip(self, batch: _Batch) -> None:
        """Go past a batch."""
        self.next_offset = max(self.next_offset, batch.last_offset + 1)
        self._epoch = batch.leader_epoch

    def taken(self) -> Iterator[Fetched]:
        """All that was taken; where a record is wrong, batch by batch up to it."""
        batches, starts, begun = self._batches, self._starts, self._from
        self._batches, self._starts, self.bytes, self._from = [], [], 0, self.next_offset
        if self.next_offset == begun:
            return
        try:
            yield self._fetched(batches, starts, begun)
        except (_Corrupt, IndexError, OverflowError) as error:
            if len(batches) == 1:
                size = batches[0].size
                messages = self.next_offset - begun
                detail = f"a record batch with the offsets {begun} to {self.next_offset - 1} cannot be read: {error}"
                unread = Unread(begun << MESSAGE_BITS, messages, UnreadReason.CORRUPT, detail, size)
                yield Fetched(next_offset=self.next_offset, unread=(unread,))
                return
            for batch, its in zip(batches, starts, strict=True):
                alone = _Group(begun, self._message_bytes_max)
                alone._batches, alone._starts = [batch], [its]
                alone.skip(batch)
                yield from alone.taken()
                begun = alone.next_offset
            if self.next_offset > begun:
                yield Fetched(next_offset=self.next_offset, leader_epoch=self._epoch)

    def _fetched(self, batches: Sequence[_Batch], starts: Sequence[Offsets], begun: int) -> Fetched:
        if not batches:
            return Fetched(next_offset=self.next_offset, leader_epoch=self._epoch)
        payload = batches[0].payload if len(batches) == 1 else b"".join([batch.payload for batch in batches])
        bases = np.cumsum([0, *(len(batch.payload) for batch in batches[:-1])])
        counts = [len(one) for one in starts]
        firsts = np.concatenate([one + base for one, base in zip(starts, bases.tolist(), strict=True)])
        columns = _columns(payload, firsts)

        def each(values: Sequence[int]) -> Offsets:
            return np.repeat(np.array(values, dtype=np.int64), counts)

        offsets = each([batch.base_offset for batch in batches]) + columns.offset_deltas
        if ((columns.offset_deltas < 0) | (offsets > each([batch.last_offset for batch in batches]))).any():
            raise _Corrupt("a record's offset is not within it")
        times = each([batch.first_time for batch in batches]) + columns.time_deltas
        append = each([batch.max_time if batch.attributes & _APPEND_TIME else UNKNOWN for batch in batches])
        times = np.where(append >= 0, append, times)
        arrivals = _microseconds(times)
        is_wanted = (offsets >= begun) & (columns.sizes > 0)
        is_large = is_wanted & (columns.sizes > self._message_bytes_max)
        oversized = tuple(
            Oversized(offset << MESSAGE_BITS, size, bytes(payload[begin : begin + HEAD_BYTES_MAX]))
            for offset, size, begin in zip(
                offsets[is_large].tolist(),
                columns.sizes[is_large].tolist(),
                columns.begins[is_large].tolist(),
                strict=True,
            )
        )
        rows = np.flatnonzero(is_wanted & ~is_large)
        data, begins = _lines(payload, columns.begins[rows], columns.sizes[rows])
        return Fetched(data, begins, offsets[rows], arrivals[rows], self.next_offset, self._epoch, oversized)


def of_values(
    values: Sequence[bytes | None],
    offsets: Offsets,
    milliseconds: Offsets,
    next_offset: int,
    *,
    leader_epoch: int = -1,
    message_bytes_max: int = MESSAGE_BYTES_MAX,
) -> Fetched:
    """Messages that a client has taken apart already, as lines."""
    sizes = np.array([len(value or b"") for value in values], dtype=np.int64)
    large = np.flatnonzero(sizes > message_bytes_max).tolist()
    oversized = tuple(
        Oversized(int(offsets[row]) << MESSAGE_BITS, int(sizes[row]), (values[row] or b"")[:HEAD_BYTES_MAX])
        for row in large
    )
    rows = np.flatnonzero((sizes > 0) & (sizes <= message_bytes_max))
    kept = [value for value in values if value] if not large else [values[row] or b"" for row in rows.tolist()]
    ends = np.fromiter((value[-1] == _NEWLINE for value in kept), bool, len(kept))
    if ends.any():
        kept = [value.removesuffix(b"\n") for value in kept]
    lengths = sizes[rows] - ends + 1
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(rows) else _NONE
    return Fetched(
        b"\n".join([*kept, b""]) if kept else b"",
        begins,
        offsets[rows],
        _microseconds(milliseconds[rows]),
        next_offset,
        leader_epoch,
        oversized,
    )


def _microseconds(milliseconds: Offsets) -> Offsets:
    found: Offsets = np.where((milliseconds < 0) | (milliseconds > MILLISECONDS_MAX), UNKNOWN, milliseconds * 1000)
    return found


def _lines(payload: bytes | memoryview, begins: Offsets, sizes: Offsets) -> tuple[bytes, Offsets]:
    """The values as lines, and where each begins in them."""
    if not len(begins):
        return b"", _NONE
    ends = begins + sizes
    ends -= np.frombuffer(payload, np.uint8)[ends - 1] == _NEWLINE
    parts = [payload[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    parts.append(b"")
    return b"\n".join(parts), np.concatenate([[0], np.cumsum(ends - begins + 1)[:-1]])


@dataclass(slots=True)
class _Columns:
    """Of every record: when and where in its batch, and where in the bytes its value is; without one, its size is -1."""

    time_deltas: Offsets
    offset_deltas: Offsets
    keys: Offsets
    begins: Offsets
    sizes: Offsets


def _record_starts(payload: bytes | memoryview, count: int) -> Offsets:
    """Where the records begin: each says how long it is. They fill the payload to its end."""
    starts = []
    at, end = 0, len(payload)
    try:
        for _ in range(count):
            starts.append(at)
            byte = payload[at]
            at += 1
            length = byte & 0x7F
            shift = 7
            while byte & 0x80:
                byte = payload[at]
                at += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if shift > 35:
                    raise _Corrupt("a record's length is no number")
            if length & 1 or not length:
                raise _Corrupt("a record's length is below 1")
            at += length >> 1
    except IndexError:
        at = -1
    if at != end:
        raise _Corrupt("its records do not end where it ends")
    return np.array(starts, dtype=np.int64)


def _columns(payload: bytes | memoryview, starts: Offsets) -> _Columns:
    at = np.frombuffer(payload, np.uint8)
    lengths, places = _varints(at, starts)
    ends = places + lengths
    time_deltas, places = _varints(at, places + 1)  # past the attributes, which mean nothing yet
    offset_deltas, places = _varints(at, places)
    key_sizes, keys = _varints(at, places)
    sizes, begins = _varints(at, keys + np.maximum(key_sizes, 0))
    if ((key_sizes < -1) | (sizes < -1) | (begins + np.maximum(sizes, 0) > ends)).any():
        raise _Corrupt("a record's value is not within it")
    return _Columns(time_deltas, offset_deltas, keys, begins, sizes)


def _varints(at: np.ndarray[Any, np.dtype[np.uint8]], places: Offsets) -> tuple[Offsets, Offsets]:
    """The zigzag numbers that stand at these places, and where each ends; raises `IndexError` past the end."""
    byte = at[places]
    values = (byte & 0x7F).astype(np.uint64)
    ends = places + 1
    going = np.flatnonzero(byte & 0x80)
    shift = 7
    while len(going):
        if shift > 63:
            raise _Corrupt("a number has no end")
        byte = at[ends[going]]
        values[going] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        ends[going] += 1
        going = going[(byte & 0x80) != 0]
        shift += 7
    halves: Offsets = (values >> np.uint64(1)).astype(np.int64) ^ -(values & np.uint64(1)).astype(np.int64)
    return halves, ends
