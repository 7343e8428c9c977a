"""The one HTTP server of the daemon, in a thread of its own. What it answers are pages, each with the role that it needs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from monitor.config.listening import split_listen
from monitor.console.access import Asked, Guard, Refused
from monitor.console.bounds import HEADER_BYTES_MAX, Bounded, RequestBounds
from monitor.console.certificates import Certificates
from monitor.console.pages import Page, json_answer
from monitor.console.protocol import CONNECTIONS_MAX, PatientProtocol
from monitor.refusal import StoreError
from monitor.telemetry import Telemetry, happenings

IDLE_S_MAX: Final = 5
STORE_RETRY_S: Final = 5
FAILED: Final = "this could not be answered; the log of the daemon says why"
STOP_S_MAX: Final = 1.0
HANDSHAKE_S_MAX: Final = 5.0


class HttpServer:
    """Listens, and has pages answer those who may ask."""

    def __init__(
        self,
        listen: str,
        pages: Sequence[Page],
        guard: Guard,
        telemetry: Telemetry,
        *,
        bounds: RequestBounds | None = None,
        certificates: Certificates | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        """`listener` listens already, at `listen`: opened by whoever has started this process."""
        self._listen = listen
        self._listener = listener
        self._guard = guard
        self._telemetry = telemetry
        self._socket: socket.socket | None = None
        self.pages: Final = tuple(sorted(pages, key=lambda page: "{" in page.path))
        """All that is answered; a page of a name of its own before those that take any name there."""
        routes = [Route(page.path, self._endpoint(page), methods=list(page.methods)) for page in self.pages]
        takers = [(route, page) for route, page in zip(routes, self.pages, strict=True) if page.takes_body]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _told})
        self._server = _Server(_settings(Bounded(app, takers, bounds or RequestBounds()), certificates))
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
            self._socket = self._listener or socket.create_server((host, port), family=family, backlog=CONNECTIONS_MAX)
            self._socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )  # else a body waits 40 ms behind its head
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

    def _endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            asked = Asked.of(request, page.path)
            try:
                return await page.answer(request, self._guard.admit(asked, page.role, optional=page.is_open))
            except Refused as refused:
                if page.refused is not None:
                    return page.refused(refused)
                told = {"message": refused.message, **({"why": refused.why} if refused.why else {})}
                return json_answer(told, refused.status, retry_after_s=refused.retry_after_s)
            except ClientDisconnect:
                return Response(status_code=400)  # to nobody
            except StoreError as error:
                self._telemetry.emit(happenings.PageFailed(page=page.path, error=f"{type(error).__name__}: {error}"))
                if not error.retryable:
                    return json_answer({"message": FAILED}, 500)
                told = {"message": "the record does not answer now; the log of the daemon says why"}
                return json_answer(told, 503, retry_after_s=STORE_RETRY_S)
            except Exception as error:  # noqa: BLE001 - told to the log, and to nobody outside
                self._telemetry.emit(happenings.PageFailed(page=page.path, error=f"{type(error).__name__}: {error}"))
                return json_answer({"message": FAILED}, 500)

        return endpoint


async def _told(request: Request, error: Exception) -> Response:
    """No such page, or not with this method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these
    answer = json_answer({"message": error.detail.lower()}, error.status_code)
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return answer


def _methods_at(request: Request) -> set[str]:
    """What may be asked of a path, whichever of the pages there answers it."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    there = [route for route in routes if route.matches({**request.scope, "method": ""})[0] is not Match.NONE]
    return {method for route in there for method in route.methods or ()}


class _Server(uvicorn.Server):
    """Listens with a bound on the time that a TLS handshake may take, which the library has not."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        config, loop = self.config, asyncio.get_running_loop()
        await self.lifespan.startup()

        def protocol() -> asyncio.Protocol:
            return PatientProtocol(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        handshake_s = HANDSHAKE_S_MAX if config.ssl is not None else None
        self.servers = [
            await loop.create_server(
                protocol, sock=each, ssl=config.ssl, ssl_handshake_timeout=handshake_s, backlog=config.backlog
            )
            for each in sockets or ()
        ]
        self.started = True


def _settings(app: ASGIApp, certificates: Certificates | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
        timeout_keep_alive=IDLE_S_MAX,
        timeout_graceful_shutdown=1,
        backlog=CONNECTIONS_MAX,
        ssl_context_factory=None if certificates is None else lambda _config, _default: certificates.context,
    )
