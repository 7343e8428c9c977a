"""So many bytes at once: who needs some waits until they are there. Owners take turns; of one owner, the first to come is the first."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from monitor.console.access import Refused

WAIT_S_MAX: Final = 20.0
"""How long is waited; then the client is told to come again."""

BUSY_S: Final = 2
"""What it is told to wait."""


class Busy(Refused):
    """There is no room now."""

    def __init__(self, what: str) -> None:
        super().__init__(429, f"too many {what} are under way", retry_after_s=BUSY_S)


class Budget:
    """What may be in use at the same time, of `what`. Used by one thread.

    Owners are clients: one that asks for much waits behind itself, and not before all others.
    """

    def __init__(self, most: int, what: str) -> None:
        self.most: Final = most
        self._what = what
        self._left = most
        self._waiting: OrderedDict[str, deque[tuple[int, asyncio.Future[None]]]] = OrderedDict()

    @asynccontextmanager
    async def spent(self, size: int, owner: str) -> AsyncIterator[None]:
        """Use so much within; who needs more than there is waits for all. Raises `Busy` where that takes too long."""
        size = min(size, self.most)
        if not self.take_now(size):
            await self._wait(size, owner)
        try:
            yield
        finally:
            self.give(size)

    def take_now(self, size: int) -> bool:
        """Take so much, to be given back, unless one would have to wait for it."""
        if self._waiting or self._left < size:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        """What was taken is not used any more."""
        self._left += size
        while self._waiting:
            owner, line = next(iter(self._waiting.items()))
            needed, granted = line[0]
            if needed > self._left:
                return
            self._left -= needed
            self._leave(owner, line[0])
            if owner in self._waiting:
                self._waiting.move_to_end(owner)
            granted.set_result(None)

    async def _wait(self, size: int, owner: str) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (size, granted)
        self._waiting.setdefault(owner, deque()).append(waiting)
        try:
            await asyncio.wait([granted], timeout=WAIT_S_MAX)
        except asyncio.CancelledError:
            self._withdraw(owner, waiting)
            raise
        if not granted.done():
            self._withdraw(owner, waiting)
            raise Busy(self._what)

    def _withdraw(self, owner: str, waiting: tuple[int, asyncio.Future[None]]) -> None:
        size, granted = waiting
        if granted.done():
            self.give(size)
        else:
            self._leave(owner, waiting)
            self.give(0)  # those behind may need less

    def _leave(self, owner: str, waiting: tuple[int, asyncio.Future[None]]) -> None:
        self._waiting[owner].remove(waiting)
        if not self._waiting[owner]:
            del self._waiting[owner]
