"""Reads the partitions of a stream: whose turn it is, what is left alone for a while, and what cannot be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

from monitor.containment import TooManyFaults
from monitor.intake import Intake, Piece, merge_ready
from monitor.settings import Settings
from monitor.sources import RawBatch, SourceError
from monitor.stream.resting import Rests
from monitor.telemetry import Telemetry, happenings


class Reader:
    """Gives pieces for one turn after the other. `now` is the present, or None on the stream's own clock; `timed` counts what a stage takes."""

    def __init__(
        self,
        intakes: Sequence[Intake],
        settings: Settings,
        telemetry: Telemetry,
        now: Callable[[], int | None],
        timed: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self.intakes = intakes
        self.settings = settings
        self.telemetry = telemetry
        self.failures: dict[str, str] = {}
        self._now = now
        self._timed = timed
        self._next = 0
        self._rests = Rests()

    def read(self, fields: frozenset[str], wait_s: float | None = None) -> Sequence[Piece]:
        """Pieces for one turn: of all partitions in the order of their clocks, or of one."""
        if self.settings.until_end:
            return self._read_merged(fields, self.settings.wait_s if wait_s is None else wait_s)
        for offset in range(len(self.intakes)):
            intake = self.intakes[(self._next + offset) % len(self.intakes)]
            if intake.lot is None:
                self.fill(intake, fields, 0.0 if len(self.intakes) > 1 else self.settings.wait_s)
            if intake.lot is not None:
                self._next = (self._next + offset + 1) % len(self.intakes)
                return [intake.take(self.settings.rows_max)]
        if len(self.intakes) > 1:
            self._pause(min(self.settings.wait_s, 0.05))
        return ()

    def _read_merged(self, fields: frozenset[str], wait_s: float) -> Sequence[Piece]:
        going = [intake for intake in self.intakes if not (intake.exhausted or intake.is_at_barrier)]
        for intake in going:
            if intake.lot is None:
                self.fill(intake, fields, wait_s)
        if any(intake.lot is None and not intake.exhausted for intake in going):
            return ()
        with_lot = [intake for intake in going if intake.lot is not None]
        ready = merge_ready(with_lot, max(self.settings.rows_max // max(len(with_lot), 1), 1))
        return [
            intake.take(ready[intake.partition]) for intake in with_lot if ready[intake.partition] or not intake.free(1)
        ]

    def fetch(self, intake: Intake) -> tuple[int, int]:
        """Take what the next turn is of and leave it to be decoded: streams that have their turns together so take what is there at one
        moment. How many lines and bytes that is.
        """
        if intake.lot is not None:
            return intake.free(self.settings.rows_max), 0
        if intake.waiting is None and self._rests.left_s(intake.partition) <= 0:
            with suppress(SourceError):  # `fill` asks again, and tells
                intake.waiting = self._raw(intake, 0.0)
        raw = intake.waiting
        return (0, 0) if raw is None else (raw.data.count(b"\n"), len(raw.data))

    def fill(self, intake: Intake, fields: frozenset[str], wait_s: float) -> None:
        """Have the next lines of a partition decoded, if any come in time; a failure is told, and tried again later."""
        if (left_s := self._rests.left_s(intake.partition)) > 0:
            self._pause(min(wait_s, left_s))
            return
        try:
            raw = intake.waiting or self._raw(intake, wait_s)
            if raw is not None or (intake.source.ended and intake.held is not None):
                with self._timed("decode"):
                    intake.fill(raw, fields, self._now())
        except TooManyFaults as error:
            if self.settings.until_end:
                raise SourceError(f"{intake.partition}: {error}", retryable=False) from error
            self._rests.begin(intake.partition)
            self._fails(intake.partition, str(error))
            return
        except SourceError as error:
            if not error.retryable:
                raise
            self._fails(intake.partition, str(error))
            self._pause(min(wait_s, 1.0))
            return
        if raw is None and (missing := intake.source.missing):
            self._fails(intake.partition, missing)
            return
        self.failures.pop(intake.partition, None)
        self._rests.end(intake.partition)

    def _raw(self, intake: Intake, wait_s: float) -> RawBatch | None:
        with self._timed("read"), self.telemetry.waiting() if wait_s else nullcontext():
            return intake.source.read(self._share(self.settings.bytes_max), wait_s, self._share(self.settings.rows_max))

    def _pause(self, wait_s: float) -> None:
        with self.telemetry.waiting():
            time.sleep(wait_s)

    def _share(self, bound: int) -> int:
        """What one source may give of what a turn may hold: sources that are merged share it."""
        going = sum(not intake.exhausted for intake in self.intakes) if self.settings.until_end else 1
        return max(bound // max(going, 1), 1)

    def _fails(self, partition: str, error: str) -> None:
        """Told once, until it is another error or none."""
        if self.failures.get(partition) != error:
            self.telemetry.emit(happenings.SourceFailed(source=partition, error=error, retryable=True))
        self.failures[partition] = error
