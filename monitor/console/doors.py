"""What all pages that take events have in common: a body is read within bounds, made into lines, and kept before it is answered.

All that bodies take at a time is less than `http.in_flight_max` times `http.body_bytes_max`, or 8 times
`http.unpacked_bytes_max` where that is more. Three sixteenths are for large bodies as they came; half for the one that is being made into lines,
as it was unpacked and as lines, and for it as lines and sealed until it is on disk; the rest for small ones and long answers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from typing import Final, Protocol, TypeVar

from starlette.requests import Request

from monitor import process
from monitor.console.access import Refused
from monitor.console.bodies import encoding_of, read_aside, read_body, unpacked, unpacked_within
from monitor.console.bounds import RequestBounds
from monitor.console.budget import Budget, Busy
from monitor.console.lanes import Lane
from monitor.console.lines import Outgrown
from monitor.console.repeats import Repeats
from monitor.spool.aside import Body
from monitor.spool.given import Given, Outcome, Taken
from monitor.telemetry import Telemetry, happenings

FULL_S: Final = 5
"""What a client is told to wait while the spool is full or its disk refuses."""

SMALL_BYTES: Final = 1 << 20
"""Bodies of so many bytes, as they come and unpacked, are small: what they may take is bounded by how many they are."""

LINES_BYTES: Final = 2 << 20
"""So many bytes of lines may be made of a small body; else it is taken for a large one."""

FREE_ANSWER_BYTES: Final = 256 << 10
"""What longer answers are made of is counted."""

WORKED_BYTES: Final = 64 << 10
"""Of pages that do more than splitting a body, larger ones are made into lines in a thread, for they would hold up all others."""

Made_co = TypeVar("Made_co", covariant=True)
Made = TypeVar("Made")


class Make(Protocol[Made_co]):
    """Turns a body into lines, so many bytes at most, and says what else it found. Raises `Refused`; `Outgrown` for more lines."""

    def __call__(self, body: Body, lines_bytes_max: int, /) -> tuple[Given, Made_co]: ...


class Door:
    """The way from a request into the spool, one for all pages.

    Of all requests that may be under way, large ones are three quarters at most, and those of one client half of these: others come through.
    """

    def __init__(
        self, take: Callable[[Given], Future[Taken]], bounds: RequestBounds, telemetry: Telemetry, repeats: Repeats
    ) -> None:
        self.bounds: Final = bounds
        self._take = take
        self._telemetry = telemetry
        self._repeats = repeats
        whole = max(bounds.in_flight_max * bounds.body_bytes_max, 8 * bounds.unpacked_bytes_max)
        self._reading = Budget(whole * 3 // 16, "large bodies")
        self._answers = Budget(whole // 16, "long answers")
        self._small, self._large = Lane("bodies"), Lane("large-bodies", process.give_back)
        self._large_max = max(1, bounds.in_flight_max * 3 // 4)
        self._large_of: Counter[str] = Counter()

    async def receive(
        self,
        request: Request,
        page: str,
        owner: str,
        make: Make[Made],
        *,
        small_bytes: int = SMALL_BYTES,
        answer_bytes: Callable[[Made], int] = lambda _: 0,
    ) -> tuple[Taken, Made]:
        """What became of a request of `owner` whose body `make` turns into lines, and what else that found. Raises `Refused`.

        `make` may run in another thread, and a second time. `answer_bytes`: what is kept of what was made until the answer has left.
        """
        length = self._length(request)
        async with AsyncExitStack() as held:
            if length <= SMALL_BYTES:
                body: Body = await read_body(request, self.bounds)
            else:
                held.enter_context(self._as_large(owner))
                await held.enter_async_context(self._reading.spent(length, owner))
                body = await read_aside(request, self.bounds)
            encoding = encoding_of(request)
            content = unpacked_within(body, encoding, SMALL_BYTES)
            found = None
            if content is not None:
                await held.aclose()  # one whose length was not told may be small
                found = await self._small_made(content, owner, make, small_bytes)
            if found is None:
                if length <= SMALL_BYTES or content is not None:
                    held.enter_context(self._as_large(owner))
                await held.enter_async_context(self._large.turn(owner))
                most = self.bounds.unpacked_bytes_max
                try:
                    found = await self._large.run(lambda: make(unpacked(body, encoding, self.bounds), most))
                except Refused:
                    body = content = b""  # the error remembers where it was raised
                    raise
            given, made = found
            self._hold_answer(request, answer_bytes(made))
            return await self._keep(request, page, given), made

    def _length(self, request: Request) -> int:
        """How long a body may be."""
        told = request.headers.get("content-length")
        return int(told) if told is not None else self.bounds.body_bytes_max  # it is a number, and within bounds

    @contextmanager
    def _as_large(self, owner: str) -> Iterator[None]:
        if self._large_of.total() >= self._large_max or self._large_of[owner] >= max(1, self._large_max // 2):
            raise Busy("large bodies")
        self._large_of[owner] += 1
        try:
            yield
        finally:
            self._large_of[owner] -= 1
            self._large_of += Counter()  # whose are none any more

    async def _small_made(
        self, content: bytes, owner: str, make: Make[Made], small_bytes: int
    ) -> tuple[Given, Made] | None:
        """What is made of a small body; None where that is too much for one."""
        most = min(LINES_BYTES, self.bounds.unpacked_bytes_max)
        try:
            if len(content) <= small_bytes:
                return make(content, most)
            async with self._small.turn(owner):
                return await self._small.run(lambda: make(content, most))
        except Outgrown:
            if most < LINES_BYTES:
                raise
            return None

    def _hold_answer(self, request: Request, size: int) -> None:
        """What a long answer is made of counts until it has left."""
        if size > self._answers.most:
            raise Refused(413, f"an answer of more than {self._answers.most} bytes; send it in parts")
        if size > FREE_ANSWER_BYTES:
            if not self._answers.take_now(size):
                raise Busy("long answers")
            request.scope["held"].callback(self._answers.give, size)

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
