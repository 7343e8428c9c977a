"""Looks now and then how things stand, for metrics that no single happening moves: storage, what waits, and how we are ourselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from monitor.kept import Kept
from monitor.moments import MICROSECONDS
from monitor.schedule import Schedule
from monitor.stores.places import record_bytes
from monitor.surroundings.condition import Condition
from monitor.telemetry import Telemetry
from monitor.telemetry.standing import ConditionLooked, StorageLooked, WaitingLooked

LOOK_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauging:
    """What is looked at, of one process."""

    kept: Kept
    telemetry: Telemetry
    clock: Callable[[], int]
    channels: tuple[str, ...] = ()  # by which messages leave this process: told also while none waits

    def enter(self, schedule: Schedule, condition: Condition, held: Callable[[], tuple[str, ...]]) -> None:
        """Have all of it looked at by the clock. `condition` and `held`, why acts do not begin, belong to who decides."""
        self.enter_storage(schedule)
        schedule.every("look at what waits", LOOK_S, self.waiting)
        schedule.every("look how we are", LOOK_S, lambda: self.condition(condition, held()))

    def enter_storage(self, schedule: Schedule) -> None:
        """Have storage looked at, now and by the clock: all that a process does that only detects."""
        self.storage()
        schedule.every("look at storage", LOOK_S, self.storage)

    def storage(self) -> None:
        """The disk of the data folder, and what we keep."""
        usage, (held, events) = shutil.disk_usage(self.kept.places.root), self.kept.store.archived()
        self.telemetry.emit(
            StorageLooked(
                free=usage.free,
                size=usage.total,
                archive=held,
                archive_events=events,
                record=record_bytes(self.kept.places.database),
            )
        )

    def waiting(self) -> None:
        """Decisions for people, and messages for whoever takes them."""
        now, store = self.clock(), self.kept.store
        found = {**dict.fromkeys(self.channels, (0, now)), **store.messages_waiting()}
        oldest_first = sorted(found.items(), key=lambda each: each[1][1])
        self.telemetry.emit(
            WaitingLooked(
                decisions=store.count_waiting(),
                messages={channel: count for channel, (count, _) in oldest_first},
                given_up={**dict.fromkeys(self.channels, 0), **store.messages_given_up()},
                oldest_s={channel: max(0.0, (now - made) / MICROSECONDS) for channel, (_, made) in oldest_first},
            )
        )

    def condition(self, condition: Condition, held: tuple[str, ...]) -> None:
        """How well we see, and whether acts begin."""
        health = condition.health()
        self.telemetry.emit(
            ConditionLooked(acts_held=bool(held), clock_off_s=health.clock_off_s, input_age_s=health.input_late_s)
        )
