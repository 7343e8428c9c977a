"""From a partition that has been given to the pipeline that works on it, under a fence of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from monitor.config import Config
from monitor.intake.opening import intakes_of
from monitor.kept import Kept
from monitor.partitions.memory import StreamMemory
from monitor.partitions.pipeline import PartitionPipeline
from monitor.registry import Registry
from monitor.rules.lineup import Lineup
from monitor.settings import settings_of
from monitor.sources import Source
from monitor.surroundings import surroundings_of
from monitor.telemetry import Telemetry
from playbooks.policy import Policy

HELD_S: Final = 3600.0
"""Until when a partition's lease says that it is worked on, for people: what counts is the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """Makes the pipelines of partitions. `lineup` gives detectors without memory, `holder` is this process's name in leases."""

    config: Config
    kept: Kept
    lineup: Callable[[], Lineup]
    registry: Callable[[], Registry]
    telemetry: Telemetry
    clock: Callable[[], int]
    stopping: Callable[[], bool]
    holder: str
    hashed: bool = False

    def __call__(self, partition: str, source: Source) -> PartitionPipeline:
        """The pipeline of a partition; whoever had it commits nothing any more."""
        kept, config = self.kept, self.config
        fence = kept.store.seize(partition, self.holder, self.clock(), HELD_S)
        store = kept.store.of_stream(partition)
        archive = kept.archive.of_stream(partition, fence.epoch)
        own = [segment for segment in store.segments() if segment.stream == partition]
        archive.sweep(own, store.last_turn())
        (intake,) = intakes_of(config, kept.people(config), [(source, self.hashed)], self.telemetry)
        settings = replace(settings_of(config, until_end=False, deliver=False), wait_s=0.0)
        memory = StreamMemory(kept.places.snapshots, kept.store, partition, fence, lambda: intake.reached, self.clock)
        return PartitionPipeline(
            intakes=[intake],
            lineup=self.lineup(),
            registry=self.registry,
            policy=lambda: Policy(playbooks=()),
            store=store,
            archive=archive,
            snapshots=memory,
            telemetry=self.telemetry,
            clock=self.clock,
            settings=settings,
            stopping=self.stopping,
            around=surroundings_of(settings, self.clock, store.last_time()),
            stream=partition,
            fence=fence,
        )
