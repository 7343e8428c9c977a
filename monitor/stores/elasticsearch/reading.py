"""What lists and backtests read from the search: the same events and findings as the archive and the record give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl

from detectors.event import (
    ARRIVAL,
    DTYPES,
    DUPLICATE,
    FUTURE,
    HASH,
    INDEX,
    LATE,
    LINE,
    PARTITION,
    POSITION,
    TIME,
    WATERMARK,
    kind_of,
)
from detectors.finding import Finding, Severity
from monitor.recall import KEPT, read_again
from monitor.stores.elasticsearch import EVENTS, FINDINGS, SearchError
from monitor.stores.elasticsearch.connection import Connection, nonsense
from monitor.stores.elasticsearch.documents import Documents
from monitor.stores.elasticsearch.streams import indices_of, sound
from monitor.stores.elasticsearch.templates import LISTED
from monitor.stores.record import Query
from monitor.stores.segment import ROW, STORED, TURN

PAGE_ROWS: Final = 5_000
"""Documents in memory at a time."""

KEEP_ALIVE: Final = "5m"
"""How long the server holds what is being read as it was, after each page."""

Json = dict[str, Any]

_ROW: Final = (TURN, ROW, TIME, ARRIVAL, WATERMARK, HASH, LINE, PARTITION, POSITION, LATE, FUTURE, DUPLICATE)


class _Kept(msgspec.Struct):
    arrival: int
    watermark: int
    hash: int
    late: bool = False
    future: bool = False


class _Ours(msgspec.Struct):
    id: str
    time: int
    turn: int
    row: int
    partition: str
    position: int
    kept: _Kept
    kinds: list[str] | None = None
    line: str | None = None


class _Event(msgspec.Struct):
    miniwatch: _Ours


class _OfFinding(msgspec.Struct):
    finding: Finding


class _Found(msgspec.Struct):
    miniwatch: _OfFinding


class _Hit(msgspec.Struct):
    source: msgspec.Raw = msgspec.field(name="_source")
    sort: msgspec.Raw = msgspec.Raw(b"[]")


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Shards(msgspec.Struct):
    failed: int = 0


class _Page(msgspec.Struct):
    hits: _Hits
    pit_id: str | None = None
    timed_out: bool = False
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)


class _Pit(msgspec.Struct):
    id: str


@dataclass(frozen=True, slots=True)
class SearchReader:
    """Reads what an installation has written. What has come into the archive meanwhile may not be there yet."""

    connection: Connection
    installation: str

    def events(
        self,
        where: Mapping[str, str] = {},
        *,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
        newest_first: bool = True,
        several: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """Events with the columns of the archive, in the order of processing or its reverse; of `several` streams by their time.

        `where` gives fields and their values. One state of the search is read, however long that takes. Raises `SearchError`.
        """
        assert set(where) <= set(LISTED)  # noqa: S101 - others are not found by their exact text
        filters = [{"term": {f"{name}.text" if name == "source.ip" else name: value}} for name, value in where.items()]
        filters += _between(since, until)
        order = "desc" if newest_first else "asc"
        places = ("miniwatch.time",) if several else ()
        sort = [{name: order} for name in (*places, "miniwatch.turn", "miniwatch.row")]
        left = limit
        for sources in self._pages(EVENTS, filters, sort):
            frame = self._frame(sources)
            frame = frame.filter(*(pl.col(name) == value for name, value in where.items()))
            if left is not None:
                frame, left = frame.head(left), left - min(left, frame.height)
            if not frame.is_empty():
                yield frame
            if left == 0:
                return

    def findings(self, query: Query) -> Iterator[Finding]:
        """The findings that a query wants, newest first; raises `SearchError`. Not by incident, of which findings know nothing."""
        assert query.incident is None  # noqa: S101 - the record is asked for that
        terms = {"scope": query.scope, "value": query.value}
        filters: list[Json] = [
            {"term": {f"miniwatch.{name}": value}} for name, value in terms.items() if value is not None
        ]
        if query.rule is not None:
            filters.append({"term": {"rule.id": query.rule}})
        if query.severity_min is not None:
            least = Severity(query.severity_min).rank
            filters.append({"range": {"event.severity": {"gte": least}}})
        filters += _between(query.since, query.until)
        sort = [{"miniwatch.time": "desc"}, {"miniwatch.id": "desc"}]
        left = query.limit
        for sources in self._pages(FINDINGS, filters, sort, query.limit):
            for source in sources:
                if left == 0:
                    return
                yield _read(source, _Found).miniwatch.finding
                left = None if left is None else left - 1

    def _pages(
        self, what: str, filters: Sequence[Json], sort: Sequence[Json], limit: int | None = None
    ) -> Iterator[list[msgspec.Raw]]:
        """Documents as they were when the first was asked for, a page at a time."""
        whose = {"term": {"miniwatch.installation": self.installation}}
        size = PAGE_ROWS if limit is None else min(limit, PAGE_ROWS)
        body: Json = {"size": size, "query": {"bool": {"filter": [whose, *filters]}}, "sort": sort}
        if not indices_of(self.connection, self.connection.settings.stream(what)):
            return
        with self._point_in_time(what) as point:
            body |= {"pit": point, "track_total_hits": False}
            while True:
                page = sound(self.connection.ask("POST", "/_search", body)).read(_Page)
                if page.timed_out or page.shards.failed:
                    raise SearchError("failing", "not all of it could be searched", retryable=True)
                point["id"] = page.pit_id or point["id"]
                if hits := page.hits.hits:
                    yield [hit.source for hit in hits]
                if len(hits) < size:
                    return
                body["search_after"] = hits[-1].sort

    @contextmanager
    def _point_in_time(self, what: str) -> Iterator[Json]:
        stream = self.connection.settings.stream(what)
        answer = sound(self.connection.ask("POST", f"/{stream}/_pit?keep_alive={KEEP_ALIVE}"))
        point: Json = {"id": answer.read(_Pit).id, "keep_alive": KEEP_ALIVE}
        try:
            yield point
        finally:
            with suppress(SearchError):  # it goes by itself, a little later
                self.connection.ask("DELETE", "/_pit", {"id": point["id"]})

    def _frame(self, sources: Sequence[msgspec.Raw]) -> pl.DataFrame:
        """Documents as rows of the archive."""
        seam = Documents(self.installation, self.connection.settings.namespace).seam.encode()
        rows = [_row(bytes(source), seam) for source in sources]
        own = {"event.id": pl.String(), "redaction.kinds": pl.String()}
        frame = pl.DataFrame(rows, schema={**{name: STORED[name] for name in _ROW}, **own}, orient="row")
        fields = [name for name in (*INDEX, *KEPT) if name not in own]
        frame = frame.with_columns(read_again(frame, frozenset(fields)).select(fields))
        plain = {at: source for at, source in enumerate(sources) if seam not in bytes(source)}
        return _with_columns_of(frame, plain, fields).select(*STORED, *INDEX, *KEPT)


def _with_columns_of(frame: pl.DataFrame, plain: Mapping[int, msgspec.Raw], fields: Sequence[str]) -> pl.DataFrame:
    """The frame, with the fields of documents that were written by the archive's columns as they stand there."""
    for at, source in plain.items():
        known = _read(source, Json)
        row = [pl.Series(name, [known.get(name)], DTYPES[kind_of(name)]) for name in fields]
        frame = pl.concat([frame.head(at), frame[at].with_columns(row), frame.slice(at + 1)])
    return frame


def _row(source: bytes, seam: bytes) -> tuple[Any, ...]:
    """The columns of `_ROW`, and those fields of an event that its line may lack."""
    ours = _read(source, _Event).miniwatch
    line = ours.line
    if line is None:
        before, found, rest = source.partition(seam)
        if not found:
            raise nonsense(f"a document without a line: {before[:100]!r}")
        line = "{" + rest.decode()
    kinds = None if ours.kinds is None else msgspec.json.encode(ours.kinds).decode()
    kept = ours.kept
    return (
        *(ours.turn, ours.row, ours.time, kept.arrival, kept.watermark, kept.hash, line, ours.partition, ours.position),
        *(kept.late, kept.future, False, ours.id, kinds),
    )


def _read(source: bytes | msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(source, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise nonsense(f"a document that is not ours: {error}") from None


def _between(since: int | None, until: int | None) -> list[Json]:
    bounds = {name: bound for name, bound in (("gte", since), ("lt", until)) if bound is not None}
    return [{"range": {"miniwatch.time": bounds}}] if bounds else []
