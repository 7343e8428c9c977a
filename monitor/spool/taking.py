"""Requests become durable together: while one fsync runs, others wait and share the next."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Final

from monitor.spool.given import Given, Taken
from monitor.spool.spool import Spool

GROUP_MAX: Final = 128
"""Requests that share an fsync at most."""


class Taker:
    """A thread that gives the spool what requests bring. What waits is bounded by who may ask: each request waits for its answer."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._waiting: queue.SimpleQueue[tuple[Given, Future[Taken]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spool", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Make durable what was given until now, and end."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def take(self, given: Given) -> Future[Taken]:
        """Give lines; the future says what became of them once they are on disk, or raises the disk's `OSError`."""
        promised: Future[Taken] = Future()
        self._waiting.put((given, promised))
        return promised

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            is_last = False
            while len(group) < GROUP_MAX and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    is_last = True
                    break
                group.append(following)
            self._take(group)
            if is_last:
                return

    def _take(self, group: list[tuple[Given, Future[Taken]]]) -> None:
        going = [(given, promised) for given, promised in group if promised.set_running_or_notify_cancel()]
        try:
            outcomes = self._spool.take([given for given, _ in going])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told, and the next are tried
            for _, promised in going:
                promised.set_exception(error)
            return
        for (_, promised), outcome in zip(going, outcomes, strict=True):
            promised.set_result(outcome)
