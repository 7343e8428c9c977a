"""How things stand, looked at now and then: one record each that is metrics, and a line at level debug."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from monitor.telemetry import metrics
from monitor.telemetry.happening import Happening, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.telemetry.meter import Meter


class NamesKnown(Happening, frozen=True, kw_only=True):
    """What this process reads from, and by which channels messages leave it: their counters are there from now on, so that the first
    failure is seen as one.
    """

    level: ClassVar[Level] = "debug"
    sources: tuple[str, ...]
    channels: tuple[str, ...]

    def count(self, meter: Meter) -> None:
        for source in self.sources:
            meter.begin("source", source)
        for channel in self.channels:
            meter.begin("channel", channel)


class HealthLooked(Happening, frozen=True, kw_only=True):
    """What probes would be told at this moment. `lag_bytes` is by source, None where it cannot be known; `failing` are sources. A process that
    does not decide tells nothing of what only who decides can know.
    """

    level: ClassVar[Level] = "debug"
    leads: bool
    stalled: bool
    alive: bool
    ready: bool
    degraded: bool
    heartbeat_age_s: float
    failing: frozenset[str]
    lag_bytes: Mapping[str, int | None]

    def count(self, meter: Meter) -> None:
        meter.set(metrics.LEADS, self.leads)
        meter.set(metrics.STORE_STALLED, self.stalled)
        meter.set(metrics.ALIVE, self.alive)
        meter.set(metrics.READY, self.ready)
        meter.set(metrics.DEGRADED, self.degraded)
        meter.set(metrics.HEARTBEAT_AGE, self.heartbeat_age_s)
        sources = sorted(self.failing | self.lag_bytes.keys(), key=lambda name: (name not in self.failing, name))
        meter.say(metrics.SOURCE_FAILING, {(name,): name in self.failing for name in sources})
        known = {name: lag for name, lag in self.lag_bytes.items() if lag is not None}
        furthest = sorted(known.items(), key=lambda each: (-each[1], each[0]))
        meter.say(metrics.SOURCE_LAG, {(name,): lag for name, lag in furthest})
        if not self.leads:
            for metric in metrics.OF_WHO_LEADS:
                meter.forget(metric)
            meter.forget(metrics.RULES, state="refused")


class ConditionLooked(Happening, frozen=True, kw_only=True):
    """How our own telemetry is, and whether acts begin."""

    level: ClassVar[Level] = "debug"
    acts_held: bool
    clock_off_s: float
    input_age_s: float

    def count(self, meter: Meter) -> None:
        meter.set(metrics.ACTS_HELD, self.acts_held)
        meter.set(metrics.CLOCK_OFF, self.clock_off_s)
        meter.set(metrics.INPUT_AGE, self.input_age_s)


class StorageLooked(Happening, frozen=True, kw_only=True):
    """What is kept, and the room for more, in bytes and events."""

    level: ClassVar[Level] = "debug"
    free: int
    size: int
    archive: int
    archive_events: int
    record: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.DISK_FREE, self.free)
        meter.set(metrics.DISK_SIZE, self.size)
        meter.set(metrics.ARCHIVE_BYTES, self.archive)
        meter.set(metrics.ARCHIVE_EVENTS, self.archive_events)
        meter.set(metrics.RECORD_BYTES, self.record)


class WaitingLooked(Happening, frozen=True, kw_only=True):
    """What waits: decisions for people, and messages for those who are to take them, by channel and in the order of their age; and what was given up."""

    level: ClassVar[Level] = "debug"
    decisions: int
    messages: Mapping[str, int]
    given_up: Mapping[str, int]
    oldest_s: Mapping[str, float]

    def count(self, meter: Meter) -> None:
        meter.set(metrics.DECISIONS_WAITING, self.decisions)
        meter.say(metrics.OUTBOX_WAITING, {(channel,): count for channel, count in self.messages.items()})
        meter.say(metrics.OUTBOX_GIVEN_UP, {(channel,): count for channel, count in self.given_up.items()})
        meter.say(metrics.OUTBOX_OLDEST, {(channel,): age for channel, age in self.oldest_s.items()})


class SpoolLooked(Happening, frozen=True, kw_only=True):
    """The spool was cleared of what has been read; so much it takes now, of what it may take."""

    level: ClassVar[Level] = "debug"
    bytes: int
    bytes_max: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.SPOOL_BYTES, self.bytes)
        meter.set(metrics.SPOOL_MAX, self.bytes_max)
