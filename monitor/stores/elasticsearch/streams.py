"""A data stream as it is: which index is written, and documents that came to lie in two of its indices made one again.

The id of a document makes it one within an index, not within a stream. Between a request that got no answer and its repeat the stream may
have rolled over: the repeat then makes a second document in the new index. Whoever writes keeps which index was written before
the first try, and where another is written at the end looks for doubles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from monitor.stores.elasticsearch import SearchError
from monitor.stores.elasticsearch.bulk import fates, verdict
from monitor.stores.elasticsearch.connection import Answer, Connection, told
from monitor.stores.elasticsearch.documents import deleted

IDS_MAX: Final = 1_000
"""Ids looked up in one request."""

COPIES_MAX: Final = 10
"""Of one document; more are found at the next look."""


class _Index(msgspec.Struct):
    index_name: str


class _Stream(msgspec.Struct):
    indices: list[_Index]


class _Streams(msgspec.Struct):
    data_streams: list[_Stream]


def indices_of(connection: Connection, stream: str) -> list[str]:
    """The indices of a stream, the one that is written last; none while there is no stream."""
    answer = connection.ask("GET", f"/_data_stream/{stream}")
    if answer.status == 404:
        return []
    found = sound(answer).read(_Streams).data_streams
    return [index.index_name for index in found[0].indices] if found else []


def sound(answer: Answer) -> Answer:
    """An answer that is one; raises `SearchError` where the server refused."""
    if answer.status >= 300:
        raise SearchError("failing", f"{answer.status}: {told(answer.body)}", retryable=True)
    return answer


class Hit(msgspec.Struct):
    """A document that was found."""

    index: str = msgspec.field(name="_index")
    id: str = msgspec.field(name="_id")
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    term: int = msgspec.field(name="_primary_term", default=0)


class _Hits(msgspec.Struct):
    hits: list[Hit]


class _Shards(msgspec.Struct):
    failed: int = 0


class _Found(msgspec.Struct):
    hits: _Hits
    timed_out: bool = False
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)


def lying_in(connection: Connection, stream: str, ids: Sequence[str]) -> list[Hit]:
    """Where in a stream the documents with these ids lie; all that was written before is seen."""
    found: list[Hit] = []
    for begin in range(0, len(ids), IDS_MAX):
        some = ids[begin : begin + IDS_MAX]
        body = {
            "query": {"ids": {"values": some}},
            "size": len(some) * COPIES_MAX,
            "_source": False,
            "seq_no_primary_term": True,
        }
        answer = sound(connection.ask("POST", f"/{stream}/_search", body)).read(_Found)
        if answer.timed_out or answer.shards.failed:
            raise SearchError("failing", "not all of it could be searched", retryable=True)
        found += answer.hits.hits
    return found


def refresh(connection: Connection, stream: str) -> None:
    """Let searches see all that was written until now."""
    sound(connection.ask("POST", f"/{stream}/_refresh"))


def delete_doubles(connection: Connection, stream: str, ids: Sequence[str]) -> int:
    """Where a document lies in several indices, leave it in the oldest alone; how many were deleted."""
    order = {name: place for place, name in enumerate(indices_of(connection, stream))}
    refresh(connection, stream)
    copies: dict[str, list[str]] = defaultdict(list)
    for hit in lying_in(connection, stream, ids):
        copies[hit.id].append(hit.index)
    extra = [
        deleted(index, key)
        for key, found in copies.items()
        for index in sorted(found, key=lambda name: order.get(name, len(order)))[1:]
    ]
    for begin in range(0, len(extra), IDS_MAX):
        some = extra[begin : begin + IDS_MAX]
        answer = connection.ask("POST", "/_bulk", lines=b"".join(some))
        for fate in fates(answer, len(some)):
            if fate.status != 404:  # what is gone is gone
                verdict(fate)
    return len(extra)
