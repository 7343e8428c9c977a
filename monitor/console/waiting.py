"""Requests that wait for decisions to change: woken by our own commits at once, and by those of other processes at the next look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.concurrency import run_in_threadpool

from monitor.console.access import Refused
from monitor.stores import StoreError

WAITING_MAX: Final = 128
"""Requests that wait at a time: half of the connections that may be open."""

LOOK_S: Final = 0.5
"""How often the record is looked at while somebody waits: commands beside the daemon change it too."""

REST_S: Final = 0.01
"""Between two looks, however often is committed."""


class Watch:
    """Wakes who waits. Waiting costs no thread; while nobody waits, nothing is looked at."""

    def __init__(self, position: Callable[[], int]) -> None:
        self._position = position
        self._waiting: dict[asyncio.Future[bool], int] = {}
        self._bell = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def committed(self) -> None:
        """Something was committed in this process. From any thread."""
        if self._waiting:
            self._ring()

    def close(self) -> None:
        """Let all go, and let nobody wait any more. From any thread."""
        self._closed = True
        self._ring()

    async def beyond(self, seen: int, wait_s: float) -> bool:
        """Wait until decisions have changed after position `seen`, or the time is over; False where we are about to leave.

        Raises `Refused` where too many wait.
        """
        if self._closed:
            return False
        if len(self._waiting) >= WAITING_MAX:
            raise Refused(429, "too many requests wait for changes", retry_after_s=LOOK_S)
        self._loop = asyncio.get_running_loop()
        woken: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[woken] = seen
        self._bell.set()  # it may have changed since the asker looked
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._look())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    return await woken
        finally:
            del self._waiting[woken]
        return not self._closed

    def _ring(self) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the server has stopped
                loop.call_soon_threadsafe(self._bell.set)

    async def _look(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._bell.wait()
            self._bell.clear()
            with suppress(StoreError):  # the next look may do better
                self._wake(await run_in_threadpool(self._position))
            await asyncio.sleep(REST_S)

    def _wake(self, position: int) -> None:
        for woken, seen in self._waiting.items():
            if (position > seen or self._closed) and not woken.done():
                woken.set_result(not self._closed)
