"""Many documents written with `_bulk`, several requests at once, until the fate of each is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
import numpy as np

from monitor.durable import boundary
from monitor.stores.elasticsearch import SearchError
from monitor.stores.elasticsearch.connection import Answer, Connection, nonsense, told
from monitor.stores.elasticsearch.documents import Bodies

ROWS_MAX: Final = 5_000
"""Documents in one request."""

DETAIL_MAX: Final = 500
"""Characters kept of why a document was refused."""

FILTER: Final = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
"""Of the answer to a bulk, what we need: a tenth of its bytes."""

Pending = np.ndarray[Any, np.dtype[np.bool_]]


class Cause(msgspec.Struct):
    """Why one document was refused."""

    type: str = ""
    reason: str | None = None


class Fate(msgspec.Struct):
    """What became of one document."""

    status: int
    error: Cause | None = None


class _Item(msgspec.Struct):
    create: Fate | None = None
    index: Fate | None = None
    delete: Fate | None = None

    @property
    def fate(self) -> Fate:
        fate = self.create or self.index or self.delete
        if fate is None:
            raise nonsense("an item of a bulk without a fate")
        return fate


class _Taken(msgspec.Struct):
    errors: bool
    items: list[_Item]


@dataclass(frozen=True, slots=True)
class Refused:
    """A document that will never be taken as it is."""

    row: int
    reason: str
    detail: str


def fates(answer: Answer, rows: int) -> list[Fate]:
    """What became of each document of a bulk, in their order, or nothing where all were taken.

    Raises `SearchError` where the answer cannot be believed.
    """
    if answer.status != 200:
        raise SearchError("failing", f"{answer.status}: {told(answer.body)}", retryable=True)
    if _is_all_well(answer.body, rows):
        return []
    taken = answer.read(_Taken)
    if len(taken.items) != rows:
        raise nonsense(f"{len(taken.items)} fates for {rows} documents")
    found = [item.fate for item in taken.items]
    if taken.errors is not any(fate.status >= 300 for fate in found):
        raise nonsense("it says of errors what its items do not")
    return found


def _is_all_well(body: bytes, rows: int) -> bool:
    """The usual answer, known by its text: to read it item by item would cost more than to write it."""
    if not body.startswith(b'{"errors":false,"items":['):
        return False
    return body.count(b'":{"status":201}}') + body.count(b'":{"status":200}}') == rows


Verdict = Literal["done", "again", "refused"]


def verdict(fate: Fate) -> Verdict:
    """What follows from a document's fate. Raises `SearchError` where it is not about the document."""
    kind = fate.error.type if fate.error else ""
    if fate.status in (200, 201) or fate.status == 409:  # it is there already: the request before came through
        return "done"
    if kind == "cluster_block_exception":
        raise SearchError("full", _because(fate), retryable=True)
    if fate.status in (401, 403):
        raise SearchError("refused", _because(fate), retryable=True)
    if fate.status == 404 or kind.startswith("index_"):  # the stream is not there, or not as it should be
        raise SearchError("failing", _because(fate), retryable=True)
    if fate.status == 429 or fate.status >= 500:
        return "again"
    if 400 <= fate.status < 500:
        return "refused"
    raise nonsense(f"status {fate.status} of a document")


def _because(fate: Fate) -> str:
    cause = fate.error or Cause()
    return f"{fate.status} {cause.type}: {cause.reason or ''}"[:DETAIL_MAX]


@dataclass(slots=True)
class Sending:
    """Documents on their way: `pending` are those whose fate is not known yet; of the others, `refused` will never be taken.

    `unanswered`: a request may have been carried out without our hearing of it.
    """

    bodies: Bodies
    pending: Pending
    refused: list[Refused] = field(default_factory=list)
    unanswered: bool = False
    done: int = 0

    def send(self, connection: Connection, stream: str, pool: ThreadPoolExecutor, going_on: Callable[[], bool]) -> None:
        """Send what is pending. Raises `SearchError` when it must be tried again later; what is known by then is noted."""
        keys = connection.settings
        path = f"/{stream}/_bulk?{FILTER}&require_data_stream=true"
        parts = list(self._parts(keys.bulk_bytes_max))
        parts.reverse()
        flying: dict[Future[Answer], tuple[int, int]] = {}
        trouble: SearchError | None = None
        while parts or flying:
            while parts and len(flying) < keys.bulks_max and trouble is None and going_on():
                first, last = parts.pop()
                flying[pool.submit(_ask, connection, path, self.bodies.part(first, last))] = (first, last)
            if not flying:
                break
            landed, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in landed:
                first, last = flying.pop(future)
                try:
                    parts += self._settle(future.result(), first, last)
                except SearchError as error:
                    self.unanswered, trouble = True, error
        if trouble is not None:
            raise trouble
        if (left := int(self.pending.sum())) and going_on():
            raise SearchError("busy", f"{left} documents were turned away for now", retryable=True)

    def _settle(self, answer: Answer, first: int, last: int) -> Sequence[tuple[int, int]]:
        """Note the fates of one request; gives the parts that are to be sent instead of it."""
        if answer.status == 413:
            if last - first > 1:
                middle = (first + last) // 2
                return [(middle, last), (first, middle)]
            self._refuse(first, "too large", told(answer.body))
            return ()
        trouble: SearchError | None = None
        found = fates(answer, last - first)
        if not found:
            self.pending[first:last] = False
            self.done += last - first
        for row, fate in enumerate(found, first):
            try:
                became = verdict(fate)
            except SearchError as error:
                trouble = error
                continue
            if became == "done":
                self.pending[row] = False
                self.done += 1
            elif became == "refused":
                cause = fate.error or Cause()
                self._refuse(row, cause.type or str(fate.status), cause.reason or "")
        if trouble is not None:
            raise trouble
        return ()

    def _refuse(self, row: int, reason: str, detail: str) -> None:
        self.pending[row] = False
        self.refused.append(Refused(row, reason, detail[:DETAIL_MAX]))

    def _parts(self, bytes_max: int) -> Iterator[tuple[int, int]]:
        """Runs of pending rows, each small enough for a request."""
        edges = np.flatnonzero(np.diff(np.concatenate(([False], self.pending, [False])).astype(np.int8)))
        ends = self.bodies.offsets
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            begin = first
            while begin < last:
                fitting = int(np.searchsorted(ends, ends[begin] + bytes_max, "right")) - 1
                end = min(max(fitting, begin + 1), begin + ROWS_MAX, last)
                yield begin, end
                begin = end


def _ask(connection: Connection, path: str, lines: bytes | memoryview) -> Answer:
    boundary("send:search")
    answer = connection.ask("POST", path, lines=lines)
    boundary("send:search:done")
    return answer
