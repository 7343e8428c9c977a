"""The daemon's own pages: metrics for Prometheus, and whether it lives and is ready for whoever asks by machine.

- ``GET /metrics``: Prometheus text, or OpenMetrics where the asker prefers it.
- ``GET /healthz``: 200 ``{"status": "alive"}``; 503 ``"dead"`` when the pipeline has not moved for too long: restart it.
- ``GET /readyz``: 200 ``{"status": "ready"}``; 503 ``"not-ready"`` with ``reasons``, when restarting would not help.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import uvicorn
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.config_keys import split_listen
from monitor.telemetry import Telemetry

CONNECTIONS_MAX: Final = 64
HEADER_BYTES_MAX: Final = 16 * 1024
IDLE_S_MAX: Final = 5
STOP_S_MAX: Final = 1.0

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemon is: the pipeline's last sign of life, and what keeps it from its work."""

    heartbeat_age_s: float
    store_stalled: str | None = None  # the store's error, while it cannot be written
    failing_sources: Mapping[str, str] = {}  # error by source
    lag_bytes: Mapping[str, int | None] = {}  # by source; None where that cannot be known
    others: tuple[str, ...] = ()  # further reasons, in words: "recovering", "stopping" …


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


class HttpServer:
    """A small server in a thread of its own. It answers GET and HEAD of three pages, and takes no bodies."""

    def __init__(
        self, listen: str, telemetry: Telemetry, health: Callable[[], Health], bounds: Bounds | None = None
    ) -> None:
        self._listen = listen
        self._telemetry = telemetry
        self._health = health
        self._bounds = bounds or Bounds()
        self._socket: socket.socket | None = None
        self._server = uvicorn.Server(_settings(SmallRequests(self._app())))
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on; the one that was found where port 0 was asked for."""
        assert self._socket is not None, "the server has not been started"  # noqa: S101 - our own mistake
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Listen. Raises `OSError` when the address is taken or not ours."""
        host, port = split_listen(self._listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=CONNECTIONS_MAX)
        except OSError as error:
            why = str(error.strerror or error).partition(" (")[0]  # what is in parentheses names the address again
            what = f'http.listen = "{self._listen}": {why}; choose another port, or "" for no server'
            raise OSError(error.errno, what) from error
        self._thread.start()

    def stop(self) -> None:
        """Finish the answers under way, within a second."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_S_MAX)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(STOP_S_MAX)
        if self._socket is not None:
            self._socket.close()

    def _serve(self) -> None:
        assert self._socket is not None  # noqa: S101 - `start` has made it
        self._server.run(sockets=[self._socket])

    def _app(self) -> Starlette:
        pages = {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}
        return Starlette(routes=[Route(path, page, methods=["GET"]) for path, page in pages.items()])

    async def _metrics(self, request: Request) -> Response:
        self._telemetry.tick()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        page = await run_in_threadpool(encode, self._telemetry.registry)
        return Response(page, headers={**_HEADERS, "Content-Type": content_type})

    async def _healthz(self, _request: Request) -> Response:
        health = await run_in_threadpool(self._health)
        alive = is_alive(health, self._bounds)
        age_s = round(health.heartbeat_age_s, 3)
        return _json(alive, {"status": "alive" if alive else "dead", "heartbeat_age_s": age_s})

    async def _readyz(self, _request: Request) -> Response:
        reasons = why_not_ready(await run_in_threadpool(self._health), self._bounds)
        return _json(not reasons, {"status": "not-ready" if reasons else "ready", "reasons": reasons})


class SmallRequests:
    """Refuses requests that bring a body, before a byte of it is read, and those with more headers than anyone needs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers") or ())
        status = 0
        if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
            status = 413
        elif sum(len(name) + len(value) for name, value in headers.items()) > HEADER_BYTES_MAX:
            status = 431
        if status:
            refusal = Response("too large\n", status, {**_HEADERS, "Connection": "close"}, "text/plain")
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _json(well: bool, content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content) + b"\n", 200 if well else 503, _HEADERS, "application/json")


def _settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
        timeout_keep_alive=IDLE_S_MAX,
        timeout_graceful_shutdown=1,
    )
