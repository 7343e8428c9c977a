"""From a partition that has been given to the pipeline that works on it, under a fence of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from detectors.sigma.parting import Part
from monitor.config import Config
from monitor.intake.opening import intakes_of
from monitor.kept import Kept
from monitor.partitions.memory import StreamMemory
from monitor.partitions.pipeline import PartitionPipeline
from monitor.partitions.record_clock import RecordClock
from monitor.partitions.sending import Sender, Writer
from monitor.partitions.windows import WindowPipeline
from monitor.registry import Registry
from monitor.rules.lineup import Lineup
from monitor.settings import settings_of
from monitor.sources import Source
from monitor.stores import Progress
from monitor.surroundings import surroundings_of
from monitor.surroundings.telling import telling
from monitor.telemetry import Telemetry
from playbooks.policy import Policy

HELD_S: Final = 3600.0
"""Until when a partition's lease says that it is worked on, for people: what counts is the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """Makes the pipelines of partitions. `lineup` gives detectors without memory, `holder` is this process's name in leases.

    `partitions` is how many the topic has by now: each remembers its part of the latest events, so that repeats are known,
    and tells those who wait for all of them.
    """

    config: Config
    kept: Kept
    lineup: Callable[[Part], Lineup]
    registry: Callable[[], Registry]
    telemetry: Telemetry
    clock: Callable[[], int]
    stopping: Callable[[], bool]
    holder: str
    partitions: Callable[[], int] = lambda: 1
    hashed: bool = False
    record_clock: RecordClock
    writer: Writer | None = None  # where hits go that are counted among all partitions; None: there is one partition

    def partition(self, name: str, source: Source) -> PartitionPipeline:
        """The pipeline of a partition of events; whoever had it commits nothing any more."""
        part = Part.WHOLE if self.writer is None else Part.LOCAL
        (intake,) = intakes_of(self.config, self.kept.people(self.config), [(source, self.hashed)], self.telemetry)
        pipeline = PartitionPipeline(
            **self._parts(name, part, self.partitions(), lambda: intake.reached), intakes=[intake]
        )
        if self.writer is not None:
            installation = self.kept.store.installation()
            pipeline.sender = Sender(self.writer, installation, name, self.partitions, pipeline.retried)
        return pipeline

    def windows(self, name: str, source: Source) -> PartitionPipeline:
        """The pipeline of a partition of hits; the same holds."""
        told: list[WindowPipeline] = []
        kept = self.kept.store
        parts = self._parts(name, Part.ABROAD, 1, lambda: told[0].position)
        told.append(
            WindowPipeline(
                **parts,
                intakes=(),
                source=source,
                installation=kept.installation(),
                progress=Progress(partition=name, end=0),
            )
        )
        return told[0]

    def _parts(self, name: str, part: Part, partitions: int, position: Callable[[], int]) -> dict[str, Any]:
        kept, config = self.kept, self.config
        fence = kept.store.seize(name, self.holder, self.clock(), HELD_S)
        store = kept.store.of_stream(name)
        archive = kept.archive.of_stream(name, fence.epoch)
        own = [segment for segment in store.segments() if segment.stream == name]
        archive.sweep(own, store.last_turn())
        settings = settings_of(config, until_end=False, deliver=False)
        window_events = -(-settings.window_events // max(partitions, 1))
        settings = replace(settings, wait_s=0.0, window_events=window_events)
        return {
            "lineup": self.lineup(part),
            "registry": self.registry,
            "policy": lambda: Policy(playbooks=()),
            "store": store,
            "archive": archive,
            "snapshots": StreamMemory(kept.places.snapshots, store, name, fence, position, self.clock),
            "telemetry": self.telemetry,
            "clock": self.clock,
            "settings": settings,
            "stopping": self.stopping,
            "around": telling(surroundings_of(settings, self.clock, store.last_time())),
            "stream": name,
            "fence": fence,
            "letter_bytes_max": config.dead_letters.bytes_max,
            "recorded": self.record_clock.at,
        }
