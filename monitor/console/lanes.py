"""Threads in which bodies are made into lines, one body at a time in each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from monitor.console.access import Refused
from monitor.console.budget import Budget

Made = TypeVar("Made")


class Lane:
    """A thread with its turns. Used by one thread."""

    def __init__(self, name: str, done: Callable[[], None] = lambda: None) -> None:
        """`done` is called in the thread after each body."""
        self._done = done
        self._turns = Budget(1, "large bodies")
        self._thread = ThreadPoolExecutor(1, name)

    def turn(self, owner: str) -> AbstractAsyncContextManager[None]:
        """Have the lane for oneself within. Raises `budget.Busy` where that takes too long to come."""
        return self._turns.spent(1, owner)

    async def run(self, make: Callable[[], Made]) -> Made:
        """What is made in the thread. Raises `Refused`.

        Who is cancelled meanwhile, as its time is over, goes only once it is made: a thread cannot be stopped, and what is made takes
        its memory until then.
        """
        work = asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._made(make))
        try:
            found = await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise
        if isinstance(found, Refused):
            raise found
        return found

    def _made(self, make: Callable[[], Made]) -> Made | Refused:
        """What is made, or why it is not: an exception that comes out of a thread would keep the body until memory is next cleared up."""
        try:
            return make()
        except Refused as refused:
            return refused.with_traceback(None)
        finally:
            self._done()
