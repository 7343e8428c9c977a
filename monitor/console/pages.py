"""What the one HTTP server answers: pages, each with who may ask for it, whichever family they come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from monitor.tokens import Role, Token

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Answer = Callable[[Request, Token | None], Awaitable[Response]]
"""Answers a request of somebody with this token. It may raise `access.Refused`; what else it raises is told to nobody outside."""


@dataclass(frozen=True, slots=True)
class Page:
    """One path. `is_open`: strangers are answered too, and the answer is given None for their token.

    `refused` says a refusal as the programs expect it for which the page is; else it is a status and a message.

    Only where `takes_body` may a request bring one, of `body_bytes_max` where the page has a bound of its own; reading it within bounds
    is the page's affair (`bodies.read_body`).
    """

    path: str
    methods: tuple[str, ...]
    answer: Answer
    role: Role
    is_open: bool = False
    takes_body: bool = False
    body_bytes_max: int | None = None
    refused: Callable[[Any], Response] | None = None


class LongAnswer(Response):
    """An answer in parts: each is made when the client has taken those before it, for it may take its time."""

    def __init__(self, parts: Iterable[bytes], headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(b"", 200, headers, media_type)
        del self.headers["Content-Length"]
        self._parts = parts

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def json_answer(content: Any, status: int = 200, *, retry_after_s: int | None = None) -> Response:
    """An answer as JSON."""
    more = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status == 401:
        more["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(content) + b"\n", status, {**HEADERS, **more}, "application/json")
