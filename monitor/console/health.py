"""The daemon's own pages: metrics for Prometheus, and whether it lives and is ready for whoever asks by machine.

- ``GET /metrics``: Prometheus text, or OpenMetrics where the asker prefers it.
- ``GET /healthz``: 200 ``{"status": "alive"}``; 503 ``"dead"`` when the pipeline has not moved for too long: restart it.
- ``GET /readyz``: 200 ``{"status": "ready"}``; 503 ``"not-ready"`` with ``reasons``, when restarting would not help. ``held`` says why acts do not
  begin (a pause, rules in shadow), ``degraded`` what else does not work (the search); neither is a reason to send no events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from monitor.console.pages import HEADERS, Page, json_answer
from monitor.telemetry import Telemetry
from monitor.telemetry.standing import HealthLooked
from monitor.tokens import Role, Token


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemon is: the pipeline's last sign of life, and what keeps it from its work."""

    heartbeat_age_s: float
    leads: bool = False  # whether this process decides
    store_stalled: str | None = None  # the store's error, while it cannot be written
    failing_sources: Mapping[str, str] = {}  # error by source
    lag_bytes: Mapping[str, int | None] = {}  # by source; None where that cannot be known
    others: tuple[str, ...] = ()  # further reasons, in words: "recovering: …", "stopping" …
    degraded: tuple[str, ...] = ()  # what does not work beside the stream, in words; the daemon is ready all the same
    held: Callable[[], tuple[str, ...]] = (
        tuple  # why acts do not begin, asked of the record; the daemon is ready for events all the same
    )


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """From where on the daemon counts as dead, or as not ready. A lag bound of 0 is none."""

    alive_s_max: float = 30.0
    lag_bytes_max: int = 1024**3


def is_alive(health: Health, bounds: Bounds) -> bool:
    """A stalled store is no death: reading has stopped on purpose, and goes on by itself."""
    return health.heartbeat_age_s <= bounds.alive_s_max


def why_not_ready(health: Health, bounds: Bounds) -> list[str]:
    """All reasons, in words; none when the daemon does its work and keeps up with it."""
    reasons = list(health.others)
    if not is_alive(health, bounds):
        reasons.append(f"the pipeline has not moved for {health.heartbeat_age_s:.0f} s")
    if health.store_stalled is not None:
        reasons.append(f"the store cannot be written: {health.store_stalled}")
    reasons += [f"source {name} fails: {error}" for name, error in sorted(health.failing_sources.items())]
    if bounds.lag_bytes_max:
        behind = [(name, lag) for name, lag in sorted(health.lag_bytes.items()) if lag and lag > bounds.lag_bytes_max]
        reasons += [f"source {name} is {lag} bytes behind" for name, lag in behind]
    return reasons


@dataclass(frozen=True, slots=True)
class HealthPages:
    """Answers for probes and for Prometheus.

    `is_private`: other machines reach them. Whoever asks without a viewer's token is then told whether, but not why, and no metrics.
    """

    telemetry: Telemetry
    health: Callable[[], Health]
    bounds: Bounds
    is_private: bool = False

    def pages(self) -> list[Page]:
        return [
            Page("/metrics", ("GET",), self._metrics, Role.VIEWER, is_open=not self.is_private),
            Page("/healthz", ("GET",), self._healthz, Role.VIEWER, is_open=True),
            Page("/readyz", ("GET",), self._readyz, Role.VIEWER, is_open=True),
        ]

    async def _metrics(self, request: Request, _token: Token | None) -> Response:
        self.telemetry.tick()
        await run_in_threadpool(self._look)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        page = await run_in_threadpool(encode, self.telemetry.registry)
        return Response(page, headers={**HEADERS, "Content-Type": content_type})

    def _look(self) -> None:
        """Say as metrics what probes would be told; nothing here asks the record, which may be what does not answer."""
        health = self.health()
        self.telemetry.emit(
            HealthLooked(
                leads=health.leads,
                stalled=health.store_stalled is not None,
                alive=is_alive(health, self.bounds),
                ready=not why_not_ready(health, self.bounds),
                degraded=bool(health.degraded),
                heartbeat_age_s=health.heartbeat_age_s,
                failing=frozenset(health.failing_sources),
                lag_bytes=health.lag_bytes,
            )
        )

    async def _healthz(self, _request: Request, _token: Token | None) -> Response:
        health = await run_in_threadpool(self.health)
        alive = is_alive(health, self.bounds)
        age_s = round(health.heartbeat_age_s, 3)
        return json_answer({"status": "alive" if alive else "dead", "heartbeat_age_s": age_s}, 200 if alive else 503)

    async def _readyz(self, _request: Request, token: Token | None) -> Response:
        health = await run_in_threadpool(self.health)
        reasons, held = why_not_ready(health, self.bounds), await run_in_threadpool(health.held)
        status = "not-ready" if reasons else "ready"
        told = {"reasons": reasons, **({"held": list(held)} if held else {})}
        told |= {"degraded": list(health.degraded)} if health.degraded else {}
        if self.is_private and token is None:
            told = {}
        return json_answer({"status": status, **told}, 503 if reasons else 200)
