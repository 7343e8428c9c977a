"""Detectors at work, and what a fault of ours may cost behind the door: an event is overlooked, not the stream.

A batch that brings one out is halved until the event is found. A part is all that a detector sees of it, or nothing: one that raises
has taken nothing (`detectors.detector.Detector`), and cutting a batch changes no finding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
import polars as pl

from detectors.detector import Detector
from detectors.event import DUPLICATE, PARTITION, POSITION, WATERMARK, Batch
from detectors.finding import Sighting
from detectors.sigma import SigmaDetector
from detectors.sigma.found import Found
from monitor.containment import FAULTS, place_of
from monitor.registry import Registry
from monitor.rules.lineup import USUAL
from monitor.stream.duplicates import CONFLICT, Duplicates
from monitor.telemetry import Telemetry, happenings

OVERLOOKED_MAX: Final = 64
"""Events of a batch that are found out one by one; where more bring out a fault, it is no matter of events."""

_Found = TypeVar("_Found")


class TooManyOverlooked(Exception):
    """So many events of a batch bring out a fault that the fault is no matter of events; `event` is one of them."""

    def __init__(self, fault: BaseException, event: pl.DataFrame) -> None:
        super().__init__(f"{type(fault).__name__} at {place_of(fault)}")
        self.fault = fault
        self.event = event


class Spoilt(Exception):
    """A detector has ended in the middle of something, and what it remembers is of no use any more."""

    def __init__(self, name: str, fault: BaseException) -> None:
        super().__init__(f"{type(fault).__name__} at {place_of(fault)}")
        self.name = name


class Watching:
    """Looks at events with whatever may have a fault, and tells of each event that was overlooked: where and why, but
    not what the fault says, which may be what the event says.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def seen(self, detector: Detector, batch: Batch, found: Found | None = None) -> list[Sighting]:
        """What a detector sees; `found` is known already. After `TooManyOverlooked` it remembers what it did before; what goes by what
        is usual raises `Spoilt` and does not.
        """
        try:
            if found is not None and isinstance(detector, SigmaDetector):
                return detector.look(batch, found)
            return detector.observe(batch)
        except MemoryError:
            raise
        except FAULTS as fault:  # seen again below, where it is told
            if isinstance(detector, USUAL):
                raise Spoilt(detector.name, fault) from fault
            before = detector.snapshot()
        try:
            return self._seen_in_parts(detector, batch)
        except TooManyOverlooked:
            detector.restore(before)
            raise

    def joined(self, registry: Registry, frame: pl.DataFrame, needed: frozenset[str]) -> pl.DataFrame:
        """Events with the registry's columns; one that brings out a fault is of an app that nobody knows."""
        nobody = Registry(())
        parts = self._in_parts(
            "registry",
            frame,
            lambda first, rows: registry.join(frame.slice(first, rows), needed),
            lambda first, rows: nobody.join(frame.slice(first, rows), needed),
        )
        return parts[0] if len(parts) == 1 else pl.concat(parts, how="vertical_relaxed")

    def marked(self, duplicates: Duplicates, frame: pl.DataFrame) -> pl.DataFrame:
        """Events with those marked that were seen before; one that brings out a fault was not."""
        never = (pl.lit(value=False).alias(DUPLICATE), pl.lit(value=False).alias(CONFLICT))
        parts = self._in_parts(
            "duplicates",
            frame,
            lambda first, rows: duplicates.mark(frame.slice(first, rows)),
            lambda first, rows: frame.slice(first, rows).with_columns(never),
        )
        return parts[0] if len(parts) == 1 else pl.concat(parts)

    def _seen_in_parts(self, detector: Detector, batch: Batch) -> list[Sighting]:
        frame, rows = batch.frame, batch.frame.height

        def part(first: int, count: int) -> list[Sighting]:
            is_last = first + count >= rows
            mark = batch.watermark if is_last else int(frame[WATERMARK][first + count - 1])
            seen = detector.observe(Batch(frame.slice(first, count), mark))
            return [msgspec.structs.replace(one, row=one.row + first) for one in seen] if first else seen

        def time_alone(first: int, count: int) -> list[Sighting]:
            return part(first + count, 0) if first + count >= rows else []

        return [one for seen in self._in_parts(detector.name, frame, part, time_alone) for one in seen]

    def _in_parts(
        self,
        by: str,
        frame: pl.DataFrame,
        act: Callable[[int, int], _Found],
        otherwise: Callable[[int, int], _Found],
    ) -> list[_Found]:
        """What `act` gives for the rows, whole or in parts, and `otherwise` for rows with which it raises.

        What it raises for no row at all is raised.
        """
        found: list[_Found] = []
        overlooked = 0
        parts = [(0, frame.height)]
        while parts:
            first, rows = parts.pop()
            try:
                found.append(act(first, rows))
            except MemoryError:  # no matter of events, and who raised it may have got half-way
                raise
            except FAULTS as fault:
                if rows == 0:
                    raise
                if rows > 1:
                    parts += [(first + rows // 2, rows - rows // 2), (first, rows // 2)]
                    continue
                overlooked += 1
                event = frame.slice(first, 1)
                if overlooked > OVERLOOKED_MAX:
                    raise TooManyOverlooked(fault, event) from fault
                self._tell(by, fault, event)
                found.append(otherwise(first, rows))
        return found

    def _tell(self, by: str, fault: BaseException, event: pl.DataFrame) -> None:
        partition, position = event.select(PARTITION, POSITION).row(0)
        self._telemetry.emit(
            happenings.EventOverlooked(
                by=by, error=type(fault).__name__, place=place_of(fault), source=partition, position=position
            )
        )
