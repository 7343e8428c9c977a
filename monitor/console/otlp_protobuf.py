"""Log records of OTLP in protobuf."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs

from monitor.console.access import Refused
from monitor.console.otlp_fields import DEPTH_MAX, NOTHING, Common, Record, Unreadable, common_of
from monitor.spool.aside import Body

NAME: Final = "protobuf"

PARTS_MAX: Final = 400_000
"""Records, attributes and values of one request: each takes up to 135 bytes of memory, and may have come in two."""

RUN_BYTES: Final = 64 << 10
"""Records that are in memory as messages at a time; one that is larger is alone."""

NUMBER_BYTES_MAX: Final = 10

_key_of: Final = attrgetter("key")
_text_of: Final = attrgetter("value.string_value")

_SHORT: Final = 8
_LENGTH_DELIMITED: Final = 2
_RESOURCES: Final = 1 << 3 | _LENGTH_DELIMITED
_CHILDREN: Final = 2 << 3 | _LENGTH_DELIMITED  # scopes of a resource, records of a scope

Span = tuple[int, int]
"""Where a message begins in a request, and where it ends."""


def check(content: Body) -> None:
    """Raises `Refused` where there is more in it than is read."""
    if parts_of(content) > PARTS_MAX:
        raise Refused(413, f"more than {PARTS_MAX} records, attributes and values; send them in parts")


def read(content: Body, record_bytes_max: int) -> Iterator[tuple[Record | Unreadable, Common]]:
    """The records, each with what its scope and resource say. Raises `Refused`, at the latest behind the last record.

    A message in memory takes many times its bytes, so the parts of a request are found by hand, and parsed a run of records at a time.
    """
    try:
        for of_resource in _inner(content, (0, len(content)), _RESOURCES):
            resource = ResourceLogs.FromString(_own(content, of_resource, record_bytes_max)).resource
            common = _common(resource)
            for of_scope in _inner(content, of_resource, _CHILDREN):
                scope = ScopeLogs.FromString(_own(content, of_scope, record_bytes_max)).scope
                records = _records(content, of_scope, record_bytes_max)
                if isinstance(common, Unreadable):
                    yield from ((common, NOTHING) for _ in records)
                    continue
                for record in records:
                    yield record if isinstance(record, Unreadable) else _record(record, scope.name), common
    except DecodeError:
        raise Refused(400, "this is no ExportLogsServiceRequest") from None


def _common(resource: Any) -> Common | Unreadable:
    """What a resource says of all its records; one that cannot be read spoils them, and no others."""
    try:
        return common_of(*_pairs(resource.attributes))
    except Unreadable as unreadable:
        return unreadable.with_traceback(None)  # which would hold all of the request until memory is cleared up


def _records(content: Body, of_scope: Span, bytes_max: int) -> Iterator[Any]:
    """The records of a scope as messages, parsed in runs; `Unreadable` for one that is too large to become a line."""
    begun = ended = of_scope[0]
    for tag, begin, value, end in _fields(content, of_scope):
        is_large = end - value > bytes_max
        if tag != _CHILDREN or is_large or end - begun > RUN_BYTES:
            yield from ScopeLogs.FromString(content[begun:ended]).log_records
            begun = begin if tag == _CHILDREN and not is_large else end
        if tag == _CHILDREN and is_large:
            yield Unreadable(f"more than {bytes_max} bytes")
        ended = end
    yield from ScopeLogs.FromString(content[begun:ended]).log_records


def _own(content: Body, of: Span, bytes_max: int) -> bytes:
    """What a resource or scope says beside its children. Raises `Refused` where that is more than fits into any line."""
    own = bytearray()
    for tag, begin, _, end in _fields(content, of):
        if tag != _CHILDREN:
            own += memoryview(content)[begin:end]
        if len(own) > bytes_max:
            raise Refused(413, f"a resource or scope of more than {bytes_max} bytes")
    return bytes(own)


def _inner(content: Body, of: Span, wanted: int) -> Iterator[Span]:
    """The messages in a message that have this tag."""
    return ((value, end) for tag, _, value, end in _fields(content, of) if tag == wanted)


def _fields(content: Body, of: Span) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message: a tag, and where the field begins, its value begins, and both end. Raises `DecodeError`."""
    at, last = of
    while at < last:
        begin = at
        tag, at = _number(content, at)
        match tag & 7:
            case 2:  # with its length before it
                size, at = _number(content, at)
                end = at + size
            case 0:  # a number
                _, end = _number(content, at)
            case 1:
                end = at + 8
            case 5:
                end = at + 4
            case _:
                raise DecodeError("a kind of field that is not used any more")
        if end > last:
            raise DecodeError("a field that ends behind its message")
        yield tag, begin, at, end
        at = end


def _number(content: Body, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends. Raises `DecodeError`."""
    number = 0
    for shift, octet in enumerate(content[at : at + NUMBER_BYTES_MAX]):
        number |= (octet & 127) << 7 * shift
        if octet < 128:
            return number, at + shift + 1
    raise DecodeError("a number that does not end")


def parts_of(content: Body) -> int:
    """How many messages there are in it at most, apart from those that are long enough to cost no more than they bring.

    Each begins with a tag and its length: the tags of all messages in question have one byte. Numbers that are written longer than
    need be could hide them, so these count too.
    """
    octets, parts = np.frombuffer(content, np.uint8), 0
    for begin in range(0, len(octets), RUN_BYTES):
        run = octets[begin : begin + RUN_BYTES + 1]
        tags, lengths = run[:-1], run[1:]
        parts += int(np.count_nonzero(((tags & 7) == _LENGTH_DELIMITED) & (lengths < _SHORT)))
        parts += int(np.count_nonzero((tags >= 0x80) & (lengths == 0)))
    return parts


def answer(rejected: int, why: str) -> bytes:
    """What a client is told of records that were not taken, if there were any."""
    response = ExportLogsServiceResponse()
    if rejected:
        response.partial_success.rejected_log_records = rejected
        response.partial_success.error_message = why
    return bytes(response.SerializeToString())


def status(code: int, message: str) -> bytes:
    """A ``google.rpc.Status``: the code is its first field, the message its second."""
    text = message.encode("ascii", "replace")[:127]
    return bytes([0x08, code, 0x12, len(text)]) + text


def _record(record: Any, scope: str) -> Record | Unreadable:
    try:
        return Record(
            record.time_unix_nano,
            record.observed_time_unix_nano,
            record.severity_number,
            record.severity_text,
            _value(record.body, 0),
            *_pairs(record.attributes),
            record.trace_id.hex(),
            record.span_id.hex(),
            record.event_name,
            record.dropped_attributes_count,
            scope,
        )
    except Unreadable as unreadable:
        return unreadable.with_traceback(None)  # which would hold all of the request until memory is cleared up


def _pairs(attributes: Any, depth: int = 0) -> tuple[tuple[str, ...], list[Any]]:
    """Names and values. Most of these are texts, which have no other kind when they are not empty."""
    pairs = list(attributes)
    values: list[Any] = list(map(_text_of, pairs))
    if "" in values:
        values = [value or _value(pair.value, depth) for pair, value in zip(pairs, values, strict=True)]
    return tuple(map(_key_of, pairs)), values


def _value(value: Any, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    found = getattr(value, kind)
    if kind == "bytes_value":
        return base64.b64encode(found).decode()
    if kind == "double_value":
        return found if found - found == 0 else str(found)
    if kind in {"array_value", "kvlist_value"}:
        if depth >= DEPTH_MAX:
            raise Unreadable(f"a value that is nested deeper than {DEPTH_MAX}")
        if kind == "kvlist_value":
            return dict(zip(*_pairs(found.values, depth + 1), strict=True))
        return [_value(inner, depth + 1) for inner in found.values]
    return found
