"""Works on the partitions that a group gives it, and gives up what is taken away."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from monitor.partitions.pipeline import LogSilent, PartitionPipeline
from monitor.partitions.together import Together
from monitor.sources import Source
from monitor.sources.kafka import Changes, NotOurs
from monitor.stores import Fenced, StoreError
from monitor.stores.record import Record
from monitor.stream.seen import Labelled, Made
from monitor.telemetry import Telemetry, upkeep

_Given = TypeVar("_Given")

READ_OUT_S: Final = 0.1
"""How often it is noted that a quiet partition has been read to its end: findings of others wait for no longer than this on it."""

COMMIT_S: Final = 5.0
"""How often the log's own service is told how far we are."""

AGAIN_S: Final = 5.0
"""How long a partition that failed is left alone before it is taken up again."""


class Partitions(Protocol):
    """Who gives partitions and takes them away (`monitor.sources.kafka.group.Group`)."""

    trouble: str | None

    def poll(self, wait_s: float = 0.0) -> Changes: ...
    def source(self, partition: str) -> Source: ...
    def release(self, partitions: Sequence[str]) -> None: ...
    def commit(self, positions: dict[str, int]) -> None: ...


class Worker:
    """The partitions of one group at work. `open_stream` makes the pipeline of a partition, under a fence of its own. Raises what cannot be retried."""

    def __init__(
        self,
        partitions: Partitions,
        open_stream: Callable[[str, Source], PartitionPipeline],
        store: Record,
        telemetry: Telemetry,
        stopping: Callable[[], bool],
    ) -> None:
        self._partitions = partitions
        self._open = open_stream
        self._store = store
        self._telemetry = telemetry
        self._stopping = stopping
        self.streams: dict[str, PartitionPipeline] = {}
        self.failing: dict[str, str] = {}
        self._again: dict[str, float] = {}
        self._read_out_at = self._committed_at = 0.0
        self._taken: set[str] = set()
        self._last = ""
        self._together = Together(store)

    @property
    def lags(self) -> dict[str, int | None]:
        """How much is there and not yet read, by partition."""
        return {name: stream.sources[0].lag_bytes for name, stream in list(self.streams.items())}

    def look(self) -> bool:
        """Take and give up what the group says, and a turn of each partition that has something; whether one had."""
        self.change()
        worked = self._work()
        self._note_read_out()
        self._tell_lag()
        return worked

    @property
    def sends(self) -> bool:
        """Whether the last look has sent hits to where they are counted."""
        return self._together.sends

    def change(self) -> None:
        """Take and give up what the group says."""
        self._change(self._partitions.poll(0.0))

    def wait(self, wait_s: float) -> None:
        """Nothing is there to do: until the group says something, or so long."""
        with self._telemetry.waiting():
            changes = self._partitions.poll(wait_s)
        self._change(changes)

    def close(self) -> None:
        """Give up all that is at work, in order."""
        for partition in list(self.streams):
            self._leave(partition, "it was asked to", keep=True)
        self._together.close()

    def _change(self, changes: Changes) -> None:
        for partition in changes.lost:
            self._forget(partition)
            self._leave(partition, "it was taken away", keep=False)
        for partition in changes.revoked:
            self._forget(partition)
            self._leave(partition, "it is another's", keep=True)
        if changes.revoked:
            self._partitions.release(changes.revoked)
        for partition in changes.assigned:
            self._taken.add(partition)
        now = time.monotonic()
        for partition in sorted(self._taken - self.streams.keys()):
            if self._again.get(partition, 0.0) <= now and not self._stopping():
                self._begin(partition)

    def _forget(self, partition: str) -> None:
        """It is not ours any more; that it could not be taken up is another's trouble now, if it is one."""
        self._taken.discard(partition)
        self.failing.pop(partition, None)

    def _begin(self, partition: str) -> None:
        try:
            stream = self._open(partition, self._partitions.source(partition))
            stream.recover()
        except NotOurs:
            return  # taken away before it was begun: the group says so when it is asked next
        except (LogSilent, StoreError) as error:
            if isinstance(error, StoreError) and not error.retryable and not isinstance(error, Fenced):
                raise
            self._fails(partition, str(error))
            return
        self.failing.pop(partition, None)
        self.streams[partition] = stream
        said = upkeep.StreamBegun(
            stream=partition, epoch=stream.fence.epoch, turn=stream.turn_number, streams=len(self.streams)
        )
        self._telemetry.emit(said)

    def _work(self) -> bool:
        """A turn of each partition that has something, as many as there is room for at once; whether there was one."""
        before = {partition: stream.turn_number for partition, stream in self.streams.items()}
        begun: dict[PartitionPipeline, Labelled | Made] = {}
        for partition, stream in self._fetched():
            what = self._unless_fenced(partition, stream.begin)
            if what is not None:
                begun[stream] = what
        for stream, error in self._together.turn(begun).items():
            self._lose(stream.stream, error)
        for partition, stream in list(self.streams.items()):
            self._unless_fenced(partition, stream.rest)
        return any(stream.turn_number > before[partition] for partition, stream in self.streams.items())

    def _fetched(self) -> Sequence[tuple[str, PartitionPipeline]]:
        """Those that have their turn now, as many as there is room for, and have taken what is there: all of one moment, so that what
        one has found is not waited for by others whose events of before are still to be taken.
        """
        found = []
        rows = size = 0
        for partition in self._in_turn():
            stream = self.streams[partition]
            if rows >= stream.settings.rows_max or size >= stream.settings.bytes_max or self._stopping():
                break
            self._last = partition
            lines, held = stream.fetch()
            rows, size = rows + lines, size + held
            found.append((partition, stream))
        return found

    def _in_turn(self) -> Sequence[str]:
        """All partitions, beginning after the one that was last to have its turn."""
        names = sorted(self.streams)
        after = bisect_right(names, self._last)
        return [*names[after:], *names[:after]]

    def _unless_fenced(self, partition: str, step: Callable[[], _Given]) -> _Given | None:
        try:
            return step()
        except Fenced as error:
            self._lose(partition, error)
            return None

    def _lose(self, partition: str, error: Fenced) -> None:
        self._leave(partition, str(error), keep=False)
        self._again[partition] = time.monotonic() + AGAIN_S  # unless the group takes it away, it is ours again

    def _leave(self, partition: str, reason: str, *, keep: bool) -> None:
        stream = self.streams.pop(partition, None)
        if stream is None:
            return
        if keep:
            with suppress(StoreError):  # whoever comes next reads a little more again
                stream.finish()
        for source in stream.sources:
            source.close()
        said = upkeep.StreamLeft(stream=partition, turn=stream.turn_number, reason=reason, streams=len(self.streams))
        self._telemetry.emit(said)

    def _fails(self, partition: str, error: str) -> None:
        self.failing[partition] = error
        self._again[partition] = time.monotonic() + AGAIN_S
        self._telemetry.emit(upkeep.StreamFailed(stream=partition, error=error))

    def _note_read_out(self) -> None:
        now = time.monotonic()
        if now - self._read_out_at < READ_OUT_S or not self.streams:
            return
        self._read_out_at = now
        quiet = {
            partition: stream.read_out
            for partition, stream in list(self.streams.items())
            if stream.is_read_out and self._tell_quiet(partition, stream)
        }
        known = {partition: at for partition, at in quiet.items() if at}
        if known:
            with suppress(StoreError):  # said again soon
                self._store.read_out(known)

    def _tell_quiet(self, partition: str, stream: PartitionPipeline) -> bool:
        """Have a stream tell what it has not told yet; whether it could."""
        try:
            stream.tell_quiet()
        except Fenced as error:
            self._lose(partition, error)
            return False
        return True

    def _tell_lag(self) -> None:
        now = time.monotonic()
        if now - self._committed_at < COMMIT_S:
            return
        self._committed_at = now
        self._partitions.commit({name: stream.position for name, stream in self.streams.items()})
