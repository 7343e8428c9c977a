"""Requests without a key that come again because their answer was lost: they are answered, and not taken a second time.

Two requests may well say the same and be two: a client that sends the same line twice means it. Only where the first one's
answer cannot have reached anybody is the second taken for the first: the connection was gone before the answer was handed
over, or the daemon was killed within seconds of taking it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.requests import Request

from monitor.spool.frames import NO_KEY
from monitor.spool.given import Outcome, Taken

LOST_MAX: Final = 4096
"""Requests that are remembered whose answer was lost, the newest."""

LOST_US: Final = 600_000_000
"""How long they are remembered: clients try again within ten minutes."""


class _Going:
    """A request whose lines are on their way to the disk; `is_repeated` once another one has come in its place."""

    def __init__(self, request: Request, outcome: asyncio.Future[Taken]) -> None:
        self.request = request
        self.outcome = outcome
        self.is_repeated = False


class Repeats:
    """Knows requests, each by the digest of all of it, that are not answered yet or whose answer was lost. Used by one thread."""

    def __init__(self, clock: Callable[[], int], unsure: Iterable[bytes] = ()) -> None:
        """`unsure` are requests that were taken when the daemon was killed: nobody knows whether they were answered."""
        self._clock = clock
        self._lost = OrderedDict.fromkeys(unsure, clock())
        self._going: dict[bytes, list[_Going]] = {}

    async def once(self, request: Request, digest: bytes, take: Callable[[], Awaitable[Taken]]) -> Taken:
        """What becomes of a request: what became of it when it came before, else what `take` says."""
        if digest == NO_KEY:
            return await take()
        lost_at = self._lost.pop(digest, None)
        if lost_at is not None and self._clock() - lost_at < LOST_US:
            return await self._answered(request, digest, _known())
        if (earlier := await self._left_alone(digest)) is not None:
            earlier.is_repeated = True
            return await self._answered(request, digest, asyncio.shield(earlier.outcome))
        return await self._answered(request, digest, asyncio.ensure_future(take()))

    async def _answered(self, request: Request, digest: bytes, outcome: asyncio.Future[Taken]) -> Taken:
        """The outcome; where the client has gone meanwhile, it may come again."""
        going = _Going(request, outcome)
        self._going.setdefault(digest, []).append(going)
        try:
            taken = await outcome
        finally:
            same = self._going[digest]
            same.remove(going)
            if not same:
                del self._going[digest]
        if taken.outcome is Outcome.TAKEN and not going.is_repeated and await request.is_disconnected():
            self._lost[digest] = self._clock()
            self._lost.move_to_end(digest)
            while len(self._lost) > LOST_MAX:
                self._lost.popitem(last=False)
        return taken

    async def _left_alone(self, digest: bytes) -> _Going | None:
        """The same request, under way for a client that is gone."""
        for going in list(self._going.get(digest, ())):
            if not going.is_repeated and await going.request.is_disconnected():
                return going
        return None


def _known() -> asyncio.Future[Taken]:
    future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
    future.set_result(Taken(Outcome.TAKEN))
    return future
