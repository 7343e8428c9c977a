"""Answers of this protocol: streamed ones that tell when they have left, and refusals as its programs expect them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from monitor.console.access import Refused
from monitor.console.pages import HEADERS, json_answer

FORBIDDEN: Final = "access forbidden"

PIECE_BYTES: Final = 64 << 10
"""Pieces of a body are put together up to so much before they are written."""


class Connection(Protocol):
    """What an answer can know of the connection that it is written to."""

    @property
    def is_lost(self) -> bool: ...
    async def has_sent(self) -> bool: ...


class Streamed(Response):
    """A JSON body that is written as it is made; `left` is called once all of it has left this process, and only then."""

    def __init__(
        self, first: bytes | None, rest: Iterator[bytes], connection: Connection, left: Callable[[], None]
    ) -> None:
        super().__init__(headers=HEADERS, media_type="application/json")
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._connection = connection
        self._left = left

    @staticmethod
    async def of(request: Request, pieces: Iterator[bytes], left: Callable[[], None]) -> Streamed:
        """An answer whose first part is made: what goes wrong by then can still be told."""
        rest = _gathered(pieces)
        first = await run_in_threadpool(next, rest, None)
        return Streamed(first, rest, request.state.connection, left)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write all of it, as long as somebody is there. What goes wrong on the way ends the connection, so that it is seen."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece = self._first
        while piece is not None and not self._connection.is_lost:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await run_in_threadpool(next, self._rest, None)
        if piece is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if await self._connection.has_sent():
                self._left()


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def forbidden(refused: Refused) -> Response:
    """A refusal for bouncers: who may not, is told no more."""
    if refused.status in {401, 403}:
        return json_answer({"message": FORBIDDEN}, 403)
    return json_answer({"message": refused.message}, refused.status, retry_after_s=refused.retry_after_s)


def unauthorized(refused: Refused) -> Response:
    """A refusal for machines: its code is in it, and after 401 they log in again."""
    told = {"code": refused.status, "message": refused.message}
    return json_answer(told, refused.status, retry_after_s=refused.retry_after_s)
