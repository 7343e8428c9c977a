"""So many bytes at once: who needs some waits until they are there, in the order of coming."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """Bytes that may be in use at the same time. Used by one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def spent(self, size: int) -> AsyncIterator[None]:
        """Use so many bytes within; who needs more than there are waits for all."""
        size = min(size, self._most)
        await self._take(size)
        try:
            yield
        finally:
            self._give(size)

    async def _take(self, size: int) -> None:
        if not self._waiting and self._left >= size:
            self._left -= size
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._waiting.remove((size, granted))
                self._give(0)
            else:
                self._give(size)
            raise

    def _give(self, size: int) -> None:
        self._left += size
        while self._waiting and self._waiting[0][0] <= self._left:
            needed, granted = self._waiting.popleft()
            if granted.cancelled():
                self._waiting.appendleft((needed, granted))
                return  # it takes itself out
            self._left -= needed
            granted.set_result(None)
