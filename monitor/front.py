"""The HTTP front put together: one server, its guard, its certificates, and the pages of all families."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from monitor.config import Config
from monitor.config.listening import HttpKeys
from monitor.console.access import Guard
from monitor.console.bounds import RequestBounds
from monitor.console.bulk import BulkPages
from monitor.console.certificates import LOOK_S, Certificates, TlsFiles
from monitor.console.changes import ChangesPage
from monitor.console.clients import Limits
from monitor.console.cluster import ClusterPages
from monitor.console.crowdsec.allowlists import AllowlistPages
from monitor.console.crowdsec.bouncers import BouncerPages
from monitor.console.crowdsec.login import LoginPages
from monitor.console.crowdsec.places import KEEP_S, Places
from monitor.console.doors import Door
from monitor.console.events import EventsPage
from monitor.console.health import Bounds, Health, HealthPages
from monitor.console.http import HttpServer
from monitor.console.otlp import OtlpPage
from monitor.console.pages import Page
from monitor.console.repeats import Repeats
from monitor.console.waiting import Watch
from monitor.schedule import Schedule
from monitor.spool.given import Given, Taken
from monitor.stores.record import Record
from monitor.telemetry import Telemetry

AUDIT_S: Final = 2.0
"""How soon a refused request is in the audit."""


@dataclass(frozen=True, slots=True)
class Front:
    """The server with what has to be done beside it. It listens from `start` to `stop`."""

    server: HttpServer
    guard: Guard
    certificates: Certificates | None
    store: Record
    clock: Callable[[], int]
    watch: Watch
    places: Places

    def start(self) -> None:
        """Listen. Raises `OSError` when the address is taken or not ours."""
        self.server.start()

    def stop(self) -> None:
        """Finish the answers under way, and write down what was refused."""
        self.watch.close()
        self.server.stop()
        self._write(leaving=True)
        self.places.keep()

    def enter(self, schedule: Schedule) -> None:
        """Have done by the clock what the front needs."""
        schedule.every("audit refused requests", AUDIT_S, self._write)
        schedule.every("keep the places of bouncers", KEEP_S, self.places.keep)
        if self.certificates is not None:
            schedule.every("look for renewed certificates", LOOK_S, self.certificates.look)

    def _write(self, *, leaving: bool = False) -> None:
        for entry in self.guard.refusals.entries(self.clock(), leaving=leaving):
            self.store.audit(entry)


def front_of(
    config: Config,
    store: Record,
    telemetry: Telemetry,
    clock: Callable[[], int],
    health: Callable[[], Health],
    pages: Sequence[Page] = (),
    take: Callable[[Given], Future[Taken]] | None = None,
    unsure: Iterable[bytes] = (),
    listener: socket.socket | None = None,
) -> Front:
    """The front of a configuration; `pages` are those of other families, `take` gives events to the spool where there is one.
    `unsure` are requests in it that a daemon that was killed may not have answered. `listener` listens at `http.listen` already.

    Raises `OSError` for a certificate that cannot be used.
    """
    bounds = bounds_of(config.http)
    doors: list[Page] = []
    if take is not None:
        doors = _doors(Door(take, bounds, telemetry, Repeats(clock, unsure)), config.decode.line_bytes_max)
    watch = Watch(store.last_decision_change)
    store.on_commit(watch.committed)
    all_pages = [*doors, *pages]
    return _front(config, store, telemetry, clock, health, watch, Places(store), all_pages, listener, enforcers=True)


def _front(
    config: Config,
    store: Record,
    telemetry: Telemetry,
    clock: Callable[[], int],
    health: Callable[[], Health],
    watch: Watch,
    places: Places,
    pages: Sequence[Page],
    listener: socket.socket | None,
    *,
    enforcers: bool = False,
) -> Front:
    """The server with its guard. With `enforcers`, the pages by which they are told are among its own."""
    keys, bounds = config.http, bounds_of(config.http)
    limits = Limits(
        requests_per_s_max=keys.requests_per_s_max, failures_max=keys.failures_max, lockout_s=keys.lockout_s
    )
    guard = Guard(store.tokens, limits, telemetry, clock)
    certificates = None
    if keys.tls_certificate:
        files = TlsFiles(certificate=keys.tls_certificate, key=keys.tls_key, client_ca=keys.tls_client_ca)
        certificates = Certificates(files, telemetry)
    own = HealthPages(
        telemetry,
        health,
        health_bounds(keys),
        is_private=keys.is_private,
    )
    theirs = [
        *ChangesPage(store, clock, watch, guard).pages(),
        *BouncerPages(store, clock, places).pages(),
        *LoginPages(guard, bounds, clock).pages(),
        *AllowlistPages(store, bounds, clock).pages(),
    ]
    server = HttpServer(
        keys.listen,
        [*own.pages(), *(theirs if enforcers else ()), *pages],
        guard,
        telemetry,
        bounds=bounds,
        certificates=certificates,
        listener=listener,
    )
    return Front(server, guard, certificates, store, clock, watch, places)


def health_front(
    config: Config,
    store: Record,
    telemetry: Telemetry,
    clock: Callable[[], int],
    health: Callable[[], Health],
    listener: socket.socket | None = None,
) -> Front:
    """The front of a process that only detects: how it is, and its metrics. Raises `OSError` as `front_of` does."""
    watch = Watch(store.last_decision_change)
    return _front(config, store, telemetry, clock, health, watch, Places(store), [], listener)


def health_bounds(keys: HttpKeys) -> Bounds:
    """From where on a daemon counts as dead, or as not ready, by configuration."""
    return Bounds(alive_s_max=keys.alive_s_max, lag_bytes_max=keys.ready_lag_bytes_max)


def bounds_of(keys: HttpKeys) -> RequestBounds:
    """What a request may cost by configuration."""
    return RequestBounds(
        body_bytes_max=keys.body_bytes_max,
        unpacked_bytes_max=keys.unpacked_bytes_max,
        in_flight_max=keys.in_flight_max,
    )


def _doors(door: Door, line_bytes_max: int) -> list[Page]:
    """Every page that takes events, and what shippers ask before they send them."""
    otlp = OtlpPage(door, line_bytes_max)
    return [
        *EventsPage(door).pages(),
        *otlp.pages(),
        *BulkPages(door, line_bytes_max).pages(),
        *ClusterPages(door.bounds).pages(),
    ]
