"""A log of several partitions in memory, and a group that gives them to workers and takes them away as a test says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from monitor.sources import LINES_MAX, RawBatch, Source
from monitor.sources.kafka import Changes, NotOurs
from monitor.sources.messages import Messages
from monitor.testing.sources import MemorySource

Record = tuple[int, bytes]
"""When it arrived, in microseconds, and a line with its newline."""


class MemoryLog:
    """Partitions by name; what is in them stays. Once `is_over` nothing more comes, and whoever has taken all of it knows that.

    No more than `at_once` lines are given at a time. With `tells`, whoever reads knows when the next line arrived, in seconds since 1970 and not
    on the monotonic clock.
    """

    def __init__(self, partitions: Mapping[str, Iterable[Record]]) -> None:
        self.partitions = {name: list(records) for name, records in partitions.items()}
        self.is_over = False
        self.at_once = LINES_MAX
        self.tells = False

    def source(self, partition: str) -> LogSource:
        """A reader of its own."""
        return LogSource(partition, self)


class LogSource(MemorySource):
    """Reads a partition of a `MemoryLog`, which it follows."""

    def __init__(self, partition: str, log: MemoryLog) -> None:
        records = log.partitions[partition]
        super().__init__(b"".join(line for _, line in records), partition=partition, follow=True)
        self.format = "ndjson"
        self._log = log
        self._begins = np.cumsum([0, *(len(line) for _, line in records[:-1])], dtype=np.int64)
        self._arrivals = np.array([arrived for arrived, _ in records], dtype=np.int64)

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines, with their arrivals."""
        raw = super().read(bytes_max, wait_s, min(lines_max, self._log.at_once))
        if raw is None or not raw.data:
            return raw
        first, after = np.searchsorted(self._begins, [raw.start, raw.end])
        positions = self._begins[first:after]
        return msgspec.structs.replace(
            raw, messages=Messages(positions - raw.start, positions, self._arrivals[first:after])
        )

    def taken_as_of(self, position: int) -> float | None:
        """Now, where all that will ever come was given."""
        if self._log.tells and position < len(self.content):
            return float(self._arrivals[np.searchsorted(self._begins, position)]) / 1_000_000
        return time.monotonic() if self._log.is_over and position >= len(self.content) else None


class MemoryGroup:
    """What one worker is given. `assign`, `revoke` and `lose` are the test's."""

    def __init__(self, log: MemoryLog | MemoryHits) -> None:
        self.trouble: str | None = None
        self.released: set[str] = set()
        self.gone: set[str] = set()  # taken away, and the worker has not heard of it
        self.committed: dict[str, int] = {}
        self._log = log
        self._waiting = Changes()

    def assign(self, *partitions: str) -> None:
        """From the next look on they are this worker's."""
        self._waiting = self._waiting._replace(assigned=(*self._waiting.assigned, *partitions))

    def revoke(self, *partitions: str) -> None:
        """They are wanted back."""
        self._waiting = self._waiting._replace(revoked=(*self._waiting.revoked, *partitions))

    def lose(self, *partitions: str) -> None:
        """They are another's already."""
        self._waiting = self._waiting._replace(lost=(*self._waiting.lost, *partitions))

    def poll(self, wait_s: float = 0.0) -> Changes:  # noqa: ARG002 - nobody else is there to wait for
        """What has changed."""
        found, self._waiting = self._waiting, Changes()
        return found

    def source(self, partition: str) -> Source:
        """A partition's; raises `NotOurs` for one that is gone."""
        if partition in self.gone:
            raise NotOurs(partition)
        return self._log.source(partition)

    def release(self, partitions: Sequence[str]) -> None:
        """They may be given to others."""
        self.released.update(partitions)

    def commit(self, positions: dict[str, int]) -> None:
        """How far it says that it is."""
        self.committed |= positions


class MemoryHits:
    """A topic of hits in memory: written by partitions, read by whoever counts."""

    def __init__(self, topic: str, partitions: int) -> None:
        self.partitions = partitions
        self.topic = topic
        self._contents = [bytearray() for _ in range(partitions)]

    def write(self, partition: int, message: bytes) -> None:
        """Taken at once."""
        self._contents[partition] += message

    def flush(self) -> None:
        """All is taken."""

    def written(self, partition: int) -> bytes:
        """What is in one of its partitions."""
        return bytes(self._contents[partition])

    @property
    def names(self) -> list[str]:
        """Of its partitions."""
        return [f"kafka:{self.topic}/{number}" for number in range(self.partitions)]

    def source(self, partition: str) -> GrowingSource:
        """A reader of its own."""
        return GrowingSource(partition, self._contents[int(partition.rpartition("/")[2])])


class GrowingSource(MemorySource):
    """Reads what others go on writing."""

    def __init__(self, partition: str, written: bytearray) -> None:
        self._written = written
        super().__init__(b"", partition=partition, follow=True)
        self.format = "ndjson"

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines."""
        self.content = bytes(self._written)
        return super().read(bytes_max, wait_s, lines_max)
