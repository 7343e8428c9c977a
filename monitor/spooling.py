"""The spool of a daemon: opened where ``http:`` is among its sources, filled by the front, and cleared of what was committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from monitor.config import Config
from monitor.intake import accounted
from monitor.kept import Kept
from monitor.schedule import Schedule
from monitor.sources.spooled import PARTITION
from monitor.spool.spool import Spool, unread_bytes
from monitor.spool.taking import Taker
from monitor.stores import Store
from monitor.telemetry import Telemetry, happenings
from monitor.telemetry.standing import SpoolLooked

FORGET_S: Final = 1.0
"""How soon segments are deleted whose events are all committed."""


@dataclass(frozen=True, slots=True)
class Spooling:
    """The spool with its writer, and the job that clears it."""

    spool: Spool
    taker: Taker
    store: Store
    telemetry: Telemetry
    bytes_max: int

    def enter(self, schedule: Schedule) -> None:
        schedule.every("clear the spool", FORGET_S, self.forget)

    def forget(self) -> None:
        """Delete what has been read, and committed."""
        progress = self.store.progress().get(PARTITION)
        if progress is not None:
            self.spool.forget(progress.end)
        self.telemetry.emit(SpoolLooked(bytes=self.spool.disk_bytes, bytes_max=self.bytes_max))


def spooling_of(config: Config, kept: Kept, telemetry: Telemetry, clock: Callable[[], int]) -> Spooling | None:
    """Open the spool where one is needed; without one, tell what a former one holds. Raises `OSError`."""
    floor = accounted(kept.store.progress().get(PARTITION))
    if not any(source.uri == PARTITION for source in config.sources):
        if unread := unread_bytes(kept.places.spool, floor):
            telemetry.emit(happenings.SpoolUnread(bytes=unread))
        return None

    def damaged(position: int, what: str) -> None:
        telemetry.emit(happenings.SpoolDamaged(position=position, what=what))

    spool = Spool(
        kept.places.spool,
        kept.seal,
        bytes_max=config.http.spool_bytes_max,
        floor=floor,
        clock=clock,
        damaged=damaged,
    )
    return Spooling(spool, Taker(spool), kept.store, telemetry, config.http.spool_bytes_max)
