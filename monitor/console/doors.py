"""What all pages that take events have in common: a body is read within bounds, made into lines, and kept before it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from starlette.requests import Request

from monitor.console.access import Refused
from monitor.console.bodies import Body, encoding_of, read_aside, read_body, unpacked, unpacked_most, unpacked_within
from monitor.console.bounds import RequestBounds
from monitor.console.budget import Budget
from monitor.console.repeats import Repeats
from monitor.spool.given import Given, Outcome, Taken
from monitor.telemetry import Telemetry, happenings

FULL_S: Final = 5
"""What a client is told to wait while the spool is full or its disk refuses."""

SMALL_BYTES: Final = 1 << 20
"""Bodies of so many bytes, unpacked, are made into lines as they come; larger ones share a budget of memory."""

WORKED_BYTES: Final = 64 << 10
"""The same for pages that do more than splitting a body: larger ones would hold up all others."""

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
        self._reading = Budget(bounds.in_flight_max * bounds.body_bytes_max // 2)
        self._budget = Budget(bounds.unpacked_bytes_max)
        self._maker = ThreadPoolExecutor(1, "bodies")  # every thread keeps what memory it once needed

    async def receive(
        self, request: Request, page: str, make: Callable[[bytes], tuple[Given, Made]], small_bytes: int = SMALL_BYTES
    ) -> tuple[Taken, Made]:
        """What became of a request whose body `make` turns into lines, and what else that found. Raises `Refused`.

        `make` may run in another thread, one at a time.
        """
        length = self._length(request)
        async with self._reading.spent(length if length > WORKED_BYTES else 0):
            return await self._received(request, page, make, small_bytes)

    def _length(self, request: Request) -> int:
        """How long a body may be."""
        told = request.headers.get("content-length")
        return int(told) if told is not None else self.bounds.body_bytes_max  # it is a number, and within bounds

    async def _received(
        self, request: Request, page: str, make: Callable[[bytes], tuple[Given, Made]], small_bytes: int
    ) -> tuple[Taken, Made]:
        encoding = encoding_of(request)
        read = read_aside if self._length(request) > SMALL_BYTES else read_body
        body: Body = await read(request, self.bounds)
        content = unpacked_within(body, encoding, SMALL_BYTES)
        if content is not None and len(content) <= small_bytes:
            given, made = make(content)
            return await self._keep(request, page, given), made
        most = len(content) if content is not None else unpacked_most(body, encoding, self.bounds)
        async with self._budget.spent(most):
            whole = content if content is not None else body
            packed_as = "identity" if content is not None else encoding
            found = await asyncio.get_running_loop().run_in_executor(
                self._maker, lambda: _or_refused(lambda: make(unpacked(whole, packed_as, self.bounds)))
            )
            if isinstance(found, Refused):
                body = content = whole = b""  # the error remembers where it was raised
                raise found
            return await self._keep(request, page, found[0]), found[1]

    async def _keep(self, request: Request, page: str, given: Given) -> Taken:
        def take() -> Awaitable[Taken]:
            return asyncio.wrap_future(self._take(given))

        try:
            taken = await self._repeats.once(request, given.request, take) if given.lines else Taken(Outcome.TAKEN)
        except OSError as error:
            self._telemetry.emit(happenings.SpoolRefused(error=str(error)))
            raise Refused(503, "events cannot be kept now", retry_after_s=FULL_S) from None
        count = given.count - len(taken.repeated)
        self._telemetry.emit(
            happenings.BodyGiven(page=page, outcome=taken.outcome.value, lines=count, bytes=len(given.lines))
        )
        if taken.outcome is Outcome.FULL:
            raise Refused(429, "the spool is full", retry_after_s=FULL_S)
        return taken


def _or_refused(make: Callable[[], tuple[Given, Made]]) -> tuple[Given, Made] | Refused:
    """What is made, or why it is not: an exception that comes out of a thread would keep the body until memory is next cleared up."""
    try:
        return make()
    except Refused as refused:
        return refused.with_traceback(None)
