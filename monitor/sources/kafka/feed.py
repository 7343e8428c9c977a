"""One partition's fetched messages on their way to raw batches: lines with positions, as many as are asked for."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec
import numpy as np

from monitor.sources import LINES_MAX, Oversized, RawBatch, Unread, UnreadReason
from monitor.sources.kafka.records import Fetched
from monitor.sources.lines import HEAD_BYTES_MAX, LINE_BYTES_MAX
from monitor.sources.messages import MESSAGE_BITS, Messages, joined

_NEWLINE: Final = ord("\n")
_WITHIN: Final = (1 << MESSAGE_BITS) - 1


class Cursor(msgspec.Struct, frozen=True):
    """What is needed to go on beside a position."""

    topic: str = ""  # its id
    base: int = 0  # added to offsets in positions
    epoch: int = -1  # the leader's, of the last message read


class Feed:
    """Takes what is fetched of one partition, in order, and gives it as raw batches.

    `bytes` is what it holds. Lines over `line_bytes_max` are set apart. A batch may end within a message.
    """

    def __init__(self, partition: str, format: str, line_bytes_max: int = LINE_BYTES_MAX) -> None:  # noqa: A002 - the word of the configuration
        self.bytes = 0
        self.cursor = Cursor()
        self.end = 0  # the position after all that was taken
        self._partition, self._format = partition, format
        self._line_bytes_max = line_bytes_max
        self._given_until = (
            0  # lines before this position were given in an earlier run; 0: no message was given in part
        )
        self._batches: deque[tuple[RawBatch, int]] = deque()  # and how many lines each has

    def begin(self, position: int, cursor: Cursor) -> None:
        """Go on from a position."""
        self.clear()
        self.end, self.cursor = position, cursor
        self._given_until = position if position & _WITHIN else 0

    def clear(self) -> None:
        """Let go of all that was not given yet."""
        self._batches.clear()
        self.bytes = 0

    @property
    def ready(self) -> bool:
        return bool(self._batches)

    @property
    def next_offset(self) -> int:
        """What is to be fetched next."""
        return (self.end >> MESSAGE_BITS) - self.cursor.base

    def add(self, fetched: Fetched) -> None:
        """Take what was fetched next."""
        if fetched.leader_epoch >= 0:
            self.cursor = msgspec.structs.replace(self.cursor, epoch=fetched.leader_epoch)
        shift = self.cursor.base << MESSAGE_BITS
        end = max((fetched.next_offset + self.cursor.base) << MESSAGE_BITS, self.end)
        data, messages, oversized = _set_apart(fetched, shift, self._line_bytes_max)
        oversized += [msgspec.structs.replace(one, position=one.position + shift) for one in fetched.oversized]
        oversized.sort(key=lambda one: one.position)
        unread = tuple(
            msgspec.structs.replace(one, position=max(one.position + shift, self.end)) for one in fetched.unread
        )
        raw = RawBatch(self._partition, self._format, data, self.end, end, oversized=tuple(oversized))
        self._put(msgspec.structs.replace(raw, messages=messages, unread=unread))

    def skip(self, reason: UnreadReason, messages: int, detail: str, offset: int, topic: str | None = None) -> None:
        """Go on at another offset, and tell why. Positions go on too: where offsets went back, by another base."""
        position, self._given_until = self.end, 0
        beyond = (position >> MESSAGE_BITS) + 1
        base = self.cursor.base if reason is UnreadReason.GONE else beyond - offset
        self.cursor = Cursor(self.cursor.topic if topic is None else topic, base)
        end = (offset + base) << MESSAGE_BITS
        assert end > position  # noqa: S101 - who skips has compared the offsets
        unread = (Unread(position, messages, reason, detail),)
        self._put(RawBatch(self._partition, self._format, b"", position, end, messages=Messages(), unread=unread))

    def _put(self, raw: RawBatch) -> None:
        if self._given_until and raw.end > self._given_until:
            raw = msgspec.structs.replace(raw.cut(self._given_until)[1], start=raw.start)
            self._given_until = 0
        if raw.end <= raw.start:
            return
        self.end = raw.end
        lines = raw.data.count(b"\n") + len(raw.oversized) + len(raw.unread)
        self.bytes += len(raw.data)
        self._batches.append((msgspec.structs.replace(raw, cursor=msgspec.json.encode(self.cursor)), lines))

    def read(self, bytes_max: int, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines: as many whole messages as fit, or some lines of one; None when there are none."""
        taken: list[RawBatch] = []
        size = lines = 0
        while self._batches:
            raw, its_lines = self._batches[0]
            if size + len(raw.data) > bytes_max or lines + its_lines > lines_max:
                if not taken:
                    taken.append(self._part(bytes_max, lines_max))
                break
            self._batches.popleft()
            taken.append(raw)
            size, lines = size + len(raw.data), lines + its_lines
        if not taken:
            return None
        self.bytes -= sum(len(raw.data) for raw in taken)
        return _together(taken)

    def _part(self, bytes_max: int, lines_max: int) -> RawBatch:
        """As many lines of the first batch as fit, one at least; the rest stays."""
        raw, _ = self._batches.popleft()
        starts = np.flatnonzero(np.frombuffer(raw.data, np.uint8) == _NEWLINE) + 1
        starts = np.concatenate([[0], starts])[:-1].astype(np.int64) if len(starts) else starts.astype(np.int64)
        apart = np.array(raw.set_apart, dtype=np.int64)
        within = int(np.searchsorted(np.append(starts[1:], len(raw.data)), bytes_max, side="right"))
        held = starts[: max(within, 1)]
        places = np.sort(np.concatenate([raw.positions(held), apart])) if len(starts) else np.sort(apart)
        beyond = int(raw.positions(starts[len(held) : len(held) + 1])[0]) if len(held) < len(starts) else raw.end
        at = int(places[lines_max]) if len(places) > lines_max else beyond
        at = min(at, beyond)
        if at >= raw.end:
            return raw
        first, rest = raw.cut(at)
        left = rest.data.count(b"\n") + len(rest.oversized) + len(rest.unread)
        self._batches.appendleft((rest, left))
        return first


def _together(batches: list[RawBatch]) -> RawBatch:
    """Batches that follow one another, as one."""
    if len(batches) == 1:
        return batches[0]
    maps = [one.messages for one in batches if one.messages is not None]
    return msgspec.structs.replace(
        batches[-1],
        data=b"".join([one.data for one in batches]),
        start=batches[0].start,
        oversized=tuple(line for one in batches for line in one.oversized),
        messages=joined(maps, [len(one.data) for one in batches]),
        unread=tuple(one for batch in batches for one in batch.unread),
    )


def _set_apart(fetched: Fetched, shift: int, line_bytes_max: int) -> tuple[bytes, Messages, list[Oversized]]:
    """The lines that are short enough with their map, and the others."""
    begins = fetched.begins
    messages = Messages(begins, (fetched.offsets << MESSAGE_BITS) + shift, fetched.arrivals)
    if len(fetched.data) <= line_bytes_max or not len(begins):
        return fetched.data, messages, []
    ends = np.append(begins[1:], len(fetched.data))
    if (ends - begins - 1 <= line_bytes_max).all():
        return fetched.data, messages, []
    return _without_long(fetched.data, messages, line_bytes_max)


def _without_long(data: bytes, messages: Messages, line_bytes_max: int) -> tuple[bytes, Messages, list[Oversized]]:
    newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
    starts = np.concatenate([[0], newlines[:-1] + 1]).astype(np.int64)
    is_long = newlines - starts > line_bytes_max
    if not is_long.any():
        return data, messages, []
    positions = messages.at(starts)
    head = min(HEAD_BYTES_MAX, line_bytes_max)
    oversized = [
        Oversized(position, end - begin, data[begin : begin + head])
        for position, begin, end in zip(
            positions[is_long].tolist(), starts[is_long].tolist(), newlines[is_long].tolist(), strict=True
        )
    ]
    # Between two long lines the data is as it was: a part of it, with the map of that part.
    edges = [0, *np.stack([starts[is_long], newlines[is_long] + 1], axis=1).ravel().tolist(), len(data)]
    spans = [(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if end > begin]
    kept = [messages.part(begin, end) for begin, end in spans]
    return (
        b"".join([data[begin:end] for begin, end in spans]),
        joined(kept, [end - begin for begin, end in spans]),
        oversized,
    )
