"""What all pages that take events have in common: a body is read within bounds, made into lines, and kept before it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from monitor.console.access import Refused
from monitor.console.bodies import encoding_of, read_body, unpacked
from monitor.console.bounds import RequestBounds
from monitor.console.repeats import Repeats
from monitor.spool.given import Given, Outcome, Taken
from monitor.telemetry import Telemetry, happenings

FULL_S: Final = 5
"""What a client is told to wait while the spool is full or its disk refuses."""

LARGE_BYTES: Final = 1 << 20
LARGE_MAX: Final = 4
"""Bodies that are packed, or larger than `LARGE_BYTES`, are unpacked and kept a few at a time: this bounds memory."""

Made = TypeVar("Made")


class Door:
    """The way from a request into the spool, one for all pages."""

    def __init__(
        self, take: Callable[[Given], Future[Taken]], bounds: RequestBounds, telemetry: Telemetry, repeats: Repeats
    ) -> None:
        self.bounds: Final = bounds
        self._take = take
        self._telemetry = telemetry
        self._repeats = repeats
        self._large = asyncio.Semaphore(LARGE_MAX)

    async def receive(
        self, request: Request, page: str, make: Callable[[bytes], tuple[Given, Made]]
    ) -> tuple[Taken, Made]:
        """What became of a request whose body `make` turns into lines, and what else that found. Raises `Refused`.

        `make` may run in another thread.
        """
        encoding = encoding_of(request)
        body = await read_body(request, self.bounds)
        if encoding == "identity" and len(body) <= LARGE_BYTES:
            given, made = make(body)
            return await self._keep(request, page, given), made
        async with self._large:
            given, made = await run_in_threadpool(lambda: make(unpacked(body, encoding, self.bounds)))
            return await self._keep(request, page, given), made

    async def _keep(self, request: Request, page: str, given: Given) -> Taken:
        def take() -> Awaitable[Taken]:
            return asyncio.wrap_future(self._take(given))

        try:
            taken = await self._repeats.once(request, given.request, take) if given.lines else Taken(Outcome.TAKEN)
        except OSError as error:
            self._telemetry.emit(happenings.SpoolRefused(error=str(error)))
            raise Refused(503, "events cannot be kept now", retry_after_s=FULL_S) from None
        count = given.lines.count(b"\n") - len(taken.repeated)
        self._telemetry.emit(
            happenings.BodyGiven(page=page, outcome=taken.outcome.value, lines=count, bytes=len(given.lines))
        )
        if taken.outcome is Outcome.FULL:
            raise Refused(429, "the spool is full", retry_after_s=FULL_S)
        return taken
