"""``POST /v1/events``: events as JSON, one a line. They are acknowledged once they are on disk.

- 200 ``{"taken": LINES}``: durable. 409: a request with this ``Idempotency-Key`` was taken within a day; nothing was taken twice.
- 422: a request with this ``Idempotency-Key`` and other lines was taken within a day; these were not.
- 429 with ``Retry-After``: the spool is full, or too many requests are under way. 503: the disk refuses. 413, 415, 400: not so.

Lines are not read here: what is wrong with one makes a dead letter, like those of every source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from monitor.console.access import Refused
from monitor.console.bodies import encoding_of, read_body, unpacked
from monitor.console.bounds import RequestBounds
from monitor.console.pages import Page, json_answer
from monitor.spool.frames import NO_KEY
from monitor.spool.spool import Given, Outcome
from monitor.spool.window import digest_of
from monitor.telemetry import Telemetry, happenings
from monitor.tokens import Role, Token

PATH: Final = "/v1/events"
KEY_CHARACTERS_MAX: Final = 255
FULL_S: Final = 5
"""What a client is told to wait while the spool is full or its disk refuses."""

LARGE_BYTES: Final = 1 << 20
LARGE_MAX: Final = 4
"""Bodies that are packed, or larger than `LARGE_BYTES`, are unpacked and kept a few at a time: this bounds memory."""


class EventsPage:
    """Takes events for the spool."""

    def __init__(self, take: Callable[[Given], Future[Outcome]], bounds: RequestBounds, telemetry: Telemetry) -> None:
        self._take = take
        self._bounds = bounds
        self._telemetry = telemetry
        self._large = asyncio.Semaphore(LARGE_MAX)

    def pages(self) -> list[Page]:
        return [Page(PATH, ("POST",), self._answer, Role.INGEST, takes_body=True)]

    async def _answer(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        key, encoding = _key_of(request), encoding_of(request)
        body = await read_body(request, self._bounds)
        if encoding == "identity" and len(body) <= LARGE_BYTES:
            return await self._keep(_given(body, token, key))
        async with self._large:

            def made() -> Given:
                return _given(unpacked(body, encoding, self._bounds), token, key)

            return await self._keep(await run_in_threadpool(made))

    async def _keep(self, given: Given) -> Response:
        try:
            outcome = await asyncio.wrap_future(self._take(given))
        except OSError as error:
            self._telemetry.emit(happenings.SpoolRefused(error=str(error)))
            raise Refused(503, "events cannot be kept now", retry_after_s=FULL_S) from None
        count = given.lines.count(b"\n")
        self._telemetry.emit(
            happenings.BodyGiven(page=PATH, outcome=outcome.value, lines=count, bytes=len(given.lines))
        )
        if outcome is Outcome.FULL:
            raise Refused(429, "the spool is full", retry_after_s=FULL_S)
        if outcome is Outcome.REPEATED:
            raise Refused(409, "a request with this Idempotency-Key has been taken already")
        if outcome is Outcome.OTHER:
            raise Refused(422, "a request with this Idempotency-Key and other events has been taken; these were not")
        return json_answer({"taken": count})


def _given(lines: bytes, token: Token, key: str | None) -> Given:
    if not lines.strip():
        raise Refused(400, "no event: one JSON object a line is expected")
    whole = lines if lines.endswith(b"\n") else lines + b"\n"
    return Given(whole, digest_of(token.id, key, whole) if key is not None else NO_KEY)


def _key_of(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= KEY_CHARACTERS_MAX:
        raise Refused(400, f"an Idempotency-Key has 1 to {KEY_CHARACTERS_MAX} characters")
    return key
