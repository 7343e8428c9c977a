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
from monitor.stores.record import EnforcerState
from monitor.surroundings.condition import Condition
from monitor.telemetry import Telemetry
from monitor.telemetry.standing import ConditionLooked, StorageLooked, WaitingLooked

LOOK_S: Final = 15.0

DECISIONS_MAX: Final = 1_000
"""Decisions that wait are counted up to this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauging:
    """What is looked at, of one process."""

    kept: Kept
    telemetry: Telemetry
    clock: Callable[[], int]

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
        usage, segments = shutil.disk_usage(self.kept.places.root), self.kept.store.segments()
        self.telemetry.emit(
            StorageLooked(
                free=usage.free,
                size=usage.total,
                archive=sum(segment.bytes for segment in segments),
                archive_events=sum(segment.rows for segment in segments),
                record=record_bytes(self.kept.places.database),
            )
        )

    def waiting(self) -> None:
        """Decisions for people, and messages for whoever takes them."""
        now, store = self.clock(), self.kept.store
        states = sorted(store.enforcer_states(""), key=lambda state: -_age_s(state, now))
        self.telemetry.emit(
            WaitingLooked(
                decisions=len(store.waiting_decisions(DECISIONS_MAX)),
                messages={state.channel: state.pending for state in states},
                oldest_s={state.channel: _age_s(state, now) for state in states},
            )
        )

    def condition(self, condition: Condition, held: tuple[str, ...]) -> None:
        """How well we see, and whether acts begin."""
        health = condition.health()
        self.telemetry.emit(
            ConditionLooked(acts_held=bool(held), clock_off_s=health.clock_off_s, input_age_s=health.input_late_s)
        )


def _age_s(state: EnforcerState, now: int) -> float:
    return 0.0 if state.waiting_since is None else max(0.0, (now - state.waiting_since) / MICROSECONDS)
