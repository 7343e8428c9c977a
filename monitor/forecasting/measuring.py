"""Measures now and then how full and how busy everything is that this process can see, and keeps it in the record."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.config import Config
from monitor.kept import Kept
from monitor.process import Role
from monitor.schedule import Schedule
from monitor.spool.spool import Spool
from monitor.stores.measured import SLOT_S, Gauge, Measurement
from monitor.telemetry import Telemetry
from monitor.telemetry.metrics import WAITED

PARTITIONS_MAX: Final = 200
"""Partitions of which one process measures the lag: those that are furthest behind."""


@dataclass(slots=True, kw_only=True)
class Measuring:
    """What one process measures. `lags` says how many bytes of each partition wait to be read; None where that cannot be known."""

    config: Config
    kept: Kept
    telemetry: Telemetry
    clock: Callable[[], int]
    role: Role
    lags: Callable[[], Mapping[str, int | None]]
    spool: Spool | None = None
    monotonic: Callable[[], float] = time.monotonic
    _before: tuple[float, float] | None = field(default=None, init=False)

    def enter(self, schedule: Schedule) -> None:
        """Have it done by the clock."""
        schedule.every("measure what fills", SLOT_S, self.look)

    def look(self) -> None:
        """Measure, and keep it."""
        store = self.kept.store
        now = store.agreed_time(self.clock())
        store.measure([*self._stored(now), *self._behind(now), *self._busy(now)])

    def _stored(self, now: int) -> Iterator[Measurement]:
        kept, host, folder = self.kept, socket.gethostname(), str(self.kept.places.root.absolute())
        usage = shutil.disk_usage(folder)
        taken = usage.total - usage.free
        yield Measurement(what=Gauge.DISK, host=host, place=folder, time=now, value=taken, bound=usage.total)
        if self.role is not Role.API:
            archived, _ = kept.store.archived_in(kept.archive.name)
            yield Measurement(what=Gauge.ARCHIVE, host=host, place=folder, time=now, value=archived)
        if self.role in {Role.ALL, Role.RESPOND}:
            at_host, at = ("", "") if self.config.store.url else (host, folder)
            yield Measurement(what=Gauge.RECORD, host=at_host, place=at, time=now, value=kept.store.record_bytes())
        if self.spool is not None:
            held, most = self.spool.disk_bytes, self.config.http.spool_bytes_max
            yield Measurement(what=Gauge.SPOOL, host=host, place=folder, time=now, value=held, bound=most)

    def _behind(self, now: int) -> Iterator[Measurement]:
        """Lags are of partitions, which go from one process to another; beyond the bound nobody is ready any more (`/readyz`)."""
        most = self.config.http.ready_lag_bytes_max or None
        known = [(lag, name) for name, lag in self.lags().items() if lag is not None]
        for lag, name in sorted(known, reverse=True)[:PARTITIONS_MAX]:
            yield Measurement(what=Gauge.LAG, place=name, time=now, value=lag, bound=most)

    def _busy(self, now: int) -> Iterator[Measurement]:
        """The share of the time since the last look in which the pipeline did not wait; the first look has none before it."""
        if self.role is Role.API:
            return
        at, waited = self.monotonic(), self.telemetry.meter.value(WAITED)
        before, self._before = self._before, (at, waited)
        if before is None or at <= before[0]:
            return
        share = 1 - (waited - before[1]) / (at - before[0])
        host = socket.gethostname()
        yield Measurement(
            what=Gauge.BUSY, host=host, place=self._name(), time=now, value=min(max(share, 0.0), 1.0), bound=1.0
        )

    def _name(self) -> str:
        """What this process is called among those of its machine, the same after it was started anew."""
        folder, listen = self.kept.places.root.absolute(), self.config.http.listen
        if self.role is Role.ALL:
            return str(folder)
        if self.role is Role.RESPOND:
            return f"{folder} (responder)"
        return f"{folder} (worker at {listen})" if listen else f"{folder} (workers)"
