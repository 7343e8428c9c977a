"""What a request may cost, seen to before its page is asked: its head, its body, its time, and how many there are at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.console.pages import Page, json_answer

HEADER_BYTES_MAX: Final = 16 * 1024

STRANGER_BYTES_MAX: Final = 16 * 1024
"""How large a body of a page may be that strangers are answered on. It takes no place of those that bring events: nobody
without a token keeps out those with one."""

REQUEST_S_MAX: Final = 60.0
"""Time for a body to come, and for the answer to be taken."""

BUSY_S: Final = 1
"""What a client is told to wait where as many requests as may be are under way."""


class RequestBounds(msgspec.Struct, frozen=True, kw_only=True):
    """How large a body may be as it comes and once it is unpacked, and how many of them may be under way."""

    body_bytes_max: int = 8 << 20
    unpacked_bytes_max: int = 32 << 20
    in_flight_max: int = 32

    def within(self, bytes_max: int) -> RequestBounds:
        """Those of a page whose bodies are of so many bytes at most, as they come and unpacked."""
        return msgspec.structs.replace(
            self,
            body_bytes_max=min(bytes_max, self.body_bytes_max),
            unpacked_bytes_max=min(bytes_max, self.unpacked_bytes_max),
        )


class Bounded:
    """Stands before the pages. Requests that bring a body are counted and bounded; those of other pages may bring none.

    What a page has taken until the answer has left, it gives back by a callback in the scope's ``held``.
    """

    def __init__(self, app: ASGIApp, takers: Sequence[tuple[BaseRoute, Page]], bounds: RequestBounds) -> None:
        """`takers` are the pages that take a body, with their routes."""
        self._app = app
        self._takers = takers
        self._bounds = bounds
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self._page(scope)
        counts = page is not None and not page.is_open
        refusal = _malformed(scope) or self._refusal(dict(scope["headers"]), self._most(page), counts=counts)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self.in_flight += counts
        try:
            with ExitStack() as held:
                await self._in_time({**scope, "held": held}, receive, send)
        finally:
            self.in_flight -= counts

    def _page(self, scope: Scope) -> Page | None:
        """The page that is asked, where it is one that takes a body."""
        return next((page for route, page in self._takers if route.matches(scope)[0] is Match.FULL), None)

    def _most(self, page: Page | None) -> int:
        if page is None:
            return 0
        most = STRANGER_BYTES_MAX if page.is_open else page.body_bytes_max
        return self._bounds.body_bytes_max if most is None else min(most, self._bounds.body_bytes_max)

    def _refusal(self, headers: dict[bytes, bytes], most: int, *, counts: bool) -> Response | None:
        length = headers.get(b"content-length", b"0")
        if (b"transfer-encoding" in headers and not most) or not length.isdigit() or int(length[:20]) > most:
            return _closing(
                413, f"a body of more than {most} bytes; send it in parts" if most else "this page takes no body"
            )
        if counts and self.in_flight >= self._bounds.in_flight_max:
            return json_answer({"message": "too many requests are under way"}, 429, retry_after_s=BUSY_S)
        return None

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(REQUEST_S_MAX):
                await self._app(scope, receive, sent)
        except TimeoutError:
            if begun:
                await _cut_off(scope)
                return
            await _closing(408, f"the request took more than {REQUEST_S_MAX:.0f} s")(scope, receive, send)


def _malformed(scope: Scope) -> Response | None:
    """Refuses a head that is too long, or that a proxy before us may have read otherwise: two requests could be one, or one two."""
    headers = scope["headers"]
    names = {name for name, _ in headers}
    if sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES_MAX:
        return _closing(431, f"more than {HEADER_BYTES_MAX} bytes of headers")
    if b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] == "1.0"):
        return _closing(400, "Transfer-Encoding goes neither with Content-Length nor with HTTP/1.0")
    return None


async def _cut_off(scope: Scope) -> None:
    """Close the connection of a client that does not take its answer."""
    scope["state"]["connection"].transport.abort()
    await asyncio.sleep(0)  # the server is told before we leave, and finds nothing wrong


def _closing(status: int, message: str) -> Response:
    answer = json_answer({"message": message}, status)
    answer.headers["Connection"] = "close"
    return answer
