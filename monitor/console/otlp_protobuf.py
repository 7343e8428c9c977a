"""Log records of OTLP in protobuf."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from monitor.console.access import Refused
from monitor.console.otlp_fields import DEPTH_MAX, Record, Unreadable, Values, common_values

PARTS_MAX: Final = 400_000
"""Records, attributes and values of one request: each takes up to 135 bytes of memory, and may have come in two."""

_SHORT: Final = 8
_LENGTH_DELIMITED: Final = 2


def read(content: bytes) -> Iterator[tuple[Record | Unreadable, Values]]:
    """The records, each with what its scope and resource say. Raises `Refused`."""
    if parts_of(content) > PARTS_MAX:
        raise Refused(413, f"more than {PARTS_MAX} records, attributes and values; send them in parts")
    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(content)
    except DecodeError:
        raise Refused(400, "this is no ExportLogsServiceRequest") from None
    for of_resource in request.resource_logs:
        said = _pairs(of_resource.resource.attributes)
        for of_scope in of_resource.scope_logs:
            common = common_values(*said, of_scope.scope.name)
            for record in of_scope.log_records:
                yield _record(record), common


def parts_of(content: bytes) -> int:
    """How many messages there are in it at most, apart from those that are long enough to cost no more than they bring.

    Each begins with a tag and its length: the tags of all messages in question have one byte. Numbers that are written longer than
    need be could hide them, so these count too.
    """
    octets = np.frombuffer(content, np.uint8)
    tags, lengths = octets[:-1], octets[1:]
    short = ((tags & 7) == _LENGTH_DELIMITED) & (lengths < _SHORT)
    padded = (tags >= 0x80) & (lengths == 0)
    return int(np.count_nonzero(short)) + int(np.count_nonzero(padded))


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


def _record(record: Any) -> Record | Unreadable:
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
        )
    except Unreadable as unreadable:
        return unreadable


def _pairs(attributes: Any, depth: int = 0) -> tuple[tuple[str, ...], list[Any]]:
    """Names and values. Most of these are texts, which have no other kind when they are not empty."""
    pairs = list(attributes)
    values = [pair.value for pair in pairs]
    return tuple([pair.key for pair in pairs]), [value.string_value or _value(value, depth) for value in values]


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
