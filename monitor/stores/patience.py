"""A connection that does not wait for ever for a server that neither answers nor goes away, and that is not waited for either."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from psycopg import Connection, OperationalError, Pipeline
from psycopg.generators import send

INTERVAL_S: Final = 0.1
"""How often it is looked whether the time is over."""


class PatientConnection(Connection[Any]):
    """Gives up, and is closed, when an answer takes longer than `answer_s_max`.

    A server ends what takes longer than it was told, and TCP notices when its machine is gone; this is for one that stands still.
    Where it is we who stand still, the server can tell after whatever was sent last.
    """

    answer_s_max: float = 3600.0

    @contextmanager
    def _pipeline_nolock(self) -> Iterator[Pipeline]:
        """What many rows are sent in."""
        pipeline = self._pipeline = _Synced(self, _no_lock=True)
        try:
            with pipeline:
                yield pipeline
        finally:
            self._pipeline = None

    def wait(self, gen: Any, interval: float = INTERVAL_S, timeout: float | None = None) -> Any:
        """What the client library waits with, for every answer."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(_within(gen, self.answer_s_max), interval)
        except _Silent:
            self.pgconn.finish()  # whatever comes now is the answer to something that nobody asks any more
            raise OperationalError(f"no answer for {self.answer_s_max:g} s, and the server is there") from None


class _Synced(Pipeline):
    """Many statements at once, the last word after which is a Sync.

    The library (3.3) asks once more for all answers after it, by a Flush, which the Sync has done already. PostgreSQL takes a Flush
    for the beginning of something: from then on it does not look at ``idle_in_transaction_session_timeout``, and a process that
    stands still keeps its locks for good.
    """

    def _exit_gen(self) -> Any:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        finally:
            yield from send(self.pgconn)
            yield from self._fetch_gen(flush=False)


class _Silent(Exception):
    """The time is over."""


def _within(gen: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """The same generator, that ends by `_Silent` where nothing comes for too long."""
    ends = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > ends:
                gen.close()
                raise _Silent
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value
