"""The daemon's own pages: metrics for Prometheus, and whether it lives and is ready for whoever asks by machine.

- ``GET /metrics``: Prometheus text, or OpenMetrics where the asker prefers it.
- ``GET /healthz``: 200 ``{"status": "alive"}``; 503 ``"dead"`` when the pipeline has not moved for too long: restart it.
- ``GET /readyz``: 200 ``{"status": "ready"}``; 503 ``"not-ready"`` with ``reasons``, when restarting would not help. ``held`` says why acts do not
  begin (a pause, rules in shadow), ``degraded`` what else does not work (the search); neither is a reason to send no events.
  ``?exclude=CHECK``, as often as one likes, leaves a `Check` out, as Kubernetes' own servers do it: for who asks only whether to send requests here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from monitor.console.pages import HEADERS, Page, json_answer
from monitor.telemetry import Telemetry
from monitor.telemetry.standing import HealthLooked
from monitor.tokens import Role, Token


class Check(StrEnum):
    """What has to be well for a daemon to be ready, by the names that ``exclude`` takes."""

    START = "start"  # memory is that of the record
    STOP = "stop"  # nobody has asked it to leave
    LIFE = "life"  # the pipeline moves
    STORE = "store"  # the record can be written
    SOURCES = "sources"  # each can be read
    LAG = "lag"  # none is far behind
    RULES = "rules"  # none is suspended, and neither are statistics or models
    MODELS = "models"  # those in force can be opened


EXCLUDE: Final = "exclude"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemon is: the pipeline's last sign of life, and what keeps it from its work."""

    heartbeat_age_s: float
    leads: bool = False  # whether this process decides
    store_stalled: str | None = None  # the store's error, while it cannot be written
    failing_sources: Mapping[str, str] = {}  # error by source
    lag_bytes: Mapping[str, int | None] = {}  # by source; None where that cannot be known
    others: tuple[tuple[Check, str], ...] = ()  # further reasons, in words: "recovering: …", "stopping" …
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


def why_not_ready(health: Health, bounds: Bounds) -> list[tuple[Check, str]]:
    """All reasons, in words, each with the check that it is of; none when the daemon does its work and keeps up with it."""
    reasons = list(health.others)
    if not is_alive(health, bounds):
        reasons.append((Check.LIFE, f"the pipeline has not moved for {health.heartbeat_age_s:.0f} s"))
    if health.store_stalled is not None:
        reasons.append((Check.STORE, f"the store cannot be written: {health.store_stalled}"))
    failing = sorted(health.failing_sources.items())
    reasons += [(Check.SOURCES, f"source {name} fails: {error}") for name, error in failing]
    if bounds.lag_bytes_max:
        behind = [(name, lag) for name, lag in sorted(health.lag_bytes.items()) if lag and lag > bounds.lag_bytes_max]
        reasons += [(Check.LAG, f"source {name} is {lag} bytes behind") for name, lag in behind]
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

    async def _readyz(self, request: Request, token: Token | None) -> Response:
        left_out = request.query_params.getlist(EXCLUDE)
        if strange := [name for name in left_out if name not in {*Check}]:
            known = ", ".join(Check)
            return json_answer({"message": f"{EXCLUDE}={strange[0]}: there is no such check; there are {known}"}, 400)
        health = await run_in_threadpool(self.health)
        every, held = why_not_ready(health, self.bounds), await run_in_threadpool(health.held)
        reasons = [words for check, words in every if check not in left_out]
        excluded = [words for check, words in every if check in left_out]
        told = {
            "reasons": reasons,
            **({"excluded": excluded} if excluded else {}),
            **({"held": list(held)} if held else {}),
        }
        told |= {"degraded": list(health.degraded)} if health.degraded else {}
        if self.is_private and token is None:
            told = {}
        return json_answer({"status": "not-ready" if reasons else "ready", **told}, 503 if reasons else 200)
