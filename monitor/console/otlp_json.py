"""Log records of OTLP in JSON: the mapping of protobuf, with ids in hexadecimal and enumerations as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import attrgetter
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np

from monitor.console.access import Refused
from monitor.console.otlp_fields import DEPTH_MAX, NOTHING, Common, Record, Unreadable, common_of
from monitor.spool.aside import Body

NAME: Final = "json"

PARTS_MAX: Final = 400_000
"""Objects and lists of one request."""

_SPACED: Final = 4
"""A record may be so many times longer than the line that it becomes: it may have blanks, and names that no line has."""

_BLOCK_BYTES: Final = 64 << 10
_UINT64_MAX: Final = 2**64 - 1
_INT64_MAX: Final = 2**63

Said = TypeVar("Said")

_NOT_SAID: Final = msgspec.Raw()

_Number = int | Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,20}$")]
"""Of 64 bits: as a number or as text."""


class _Struct(msgspec.Struct, rename="camel", gc=False):
    """Unknown members are gone by."""


class _Any(_Struct):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Number | None = None
    double_value: float | str | None = None
    array_value: _Array | None = None
    kvlist_value: _Map | None = None
    bytes_value: str | None = None


class _Pair(_Struct):
    key: str = ""
    value: _Any | None = None


class _Array(_Struct):
    values: list[_Any] = []


class _Map(_Struct):
    values: list[_Pair] = []


class _Record(_Struct):
    time_unix_nano: _Number = 0
    observed_time_unix_nano: _Number = 0
    severity_number: int = 0
    severity_text: str = ""
    body: _Any | None = None
    attributes: list[_Pair] = []
    dropped_attributes_count: int = 0
    trace_id: str = ""
    span_id: str = ""
    event_name: str = ""


class _Scope(_Struct):
    name: str = ""


class _OfScope(_Struct):
    scope: msgspec.Raw = _NOT_SAID
    log_records: list[msgspec.Raw] | None = None


class _Resource(_Struct):
    attributes: list[_Pair] = []


class _OfResource(_Struct):
    resource: msgspec.Raw = _NOT_SAID
    scope_logs: list[_OfScope] | None = None


class _Request(_Struct):
    resource_logs: list[_OfResource] = []


_key_of: Final = attrgetter("key")
_text_of: Final = attrgetter("value.string_value")
_decode: Final = msgspec.json.Decoder(_Request).decode
_resource_in: Final = msgspec.json.Decoder(_Resource | None).decode
_scope_in: Final = msgspec.json.Decoder(_Scope | None).decode
_record_in: Final = msgspec.json.Decoder(_Record).decode


def check(content: Body) -> None:
    """Raises `Refused` where there is more in it than is read."""
    if parts_of(content) > PARTS_MAX:
        raise Refused(413, f"more than {PARTS_MAX} objects and lists; send them in parts")


def read(content: Body, record_bytes_max: int) -> Iterator[tuple[Record | Unreadable, Common]]:
    """The records, each with what its scope and resource say. Raises `Refused`. A record takes less as a line than here."""
    try:
        for of_resource in _decode(content).resource_logs:
            common = _common(_own(of_resource.resource, _resource_in, record_bytes_max))
            for of_scope in of_resource.scope_logs or ():
                records = of_scope.log_records or ()
                if isinstance(common, Unreadable):
                    yield from ((common, NOTHING) for _ in records)
                    continue
                scope = _own(of_scope.scope, _scope_in, record_bytes_max)
                name = scope.name if scope is not None else ""
                for record in records:
                    yield _record(record, name, record_bytes_max), common
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refused(400, f"this is no ExportLogsServiceRequest: {error}") from None
    except RecursionError:
        raise Refused(400, "this is nested too deep") from None


def _own(said: msgspec.Raw, read: Callable[[msgspec.Raw], Said], bytes_max: int) -> Said | None:
    """What a resource or scope says of itself. Raises `Refused` where that is more than fits into any line."""
    if len(memoryview(said)) > bytes_max:
        raise Refused(413, f"a resource or scope of more than {bytes_max} bytes")
    return None if said is _NOT_SAID else read(said)


def _common(resource: _Resource | None) -> Common | Unreadable:
    """What a resource says of all its records; one that cannot be read spoils them, and no others."""
    try:
        return common_of(*_pairs(resource.attributes)) if resource is not None else NOTHING
    except Unreadable as unreadable:
        return unreadable.with_traceback(None)  # which would hold all of the request until memory is cleared up


def parts_of(content: Body) -> int:
    """How many objects and lists there are in it at most."""
    octets, count = np.frombuffer(content, np.uint8), 0
    for at in range(0, len(octets), _BLOCK_BYTES):
        block = octets[at : at + _BLOCK_BYTES]
        count += int(np.count_nonzero(block == ord("{"))) + int(np.count_nonzero(block == ord("[")))
    return count


def answer(rejected: int, why: str) -> bytes:
    """What a client is told of records that were not taken, if there were any."""
    partial = {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": why}}
    return msgspec.json.encode(partial if rejected else {})


def status(code: int, message: str) -> bytes:
    """A ``google.rpc.Status``."""
    return msgspec.json.encode({"code": code, "message": message})


def _record(packed: msgspec.Raw, scope: str, bytes_max: int) -> Record | Unreadable:
    """One record; all of them read at once would take many times their bytes. One that is too large for any line is not looked at."""
    if len(memoryview(packed)) > _SPACED * bytes_max:
        return Unreadable(f"more than {bytes_max} bytes")
    record = _record_in(packed)
    try:
        return Record(
            _nanoseconds(record.time_unix_nano),
            _nanoseconds(record.observed_time_unix_nano),
            record.severity_number,
            record.severity_text,
            _value(record.body, 0),
            *_pairs(record.attributes),
            record.trace_id,
            record.span_id,
            record.event_name,
            record.dropped_attributes_count,
            scope,
        )
    except Unreadable as unreadable:
        return unreadable.with_traceback(None)  # which would hold all of the request until memory is cleared up


def _nanoseconds(number: int | str) -> int:
    found = int(number)
    if not 0 <= found <= _UINT64_MAX:
        raise Unreadable("a time of more than 64 bits")
    return found


def _pairs(pairs: list[_Pair], depth: int = 0) -> tuple[tuple[str, ...], list[Any]]:
    """Names and values. Most of these are texts."""
    names = tuple(map(_key_of, pairs))
    with suppress(AttributeError):  # where one has no value
        values = list(map(_text_of, pairs))
        if None not in values:
            return names, values
    return names, [_value(pair.value, depth) for pair in pairs]


def _value(value: _Any | None, depth: int) -> Any:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        found = int(value.int_value)
        return found if -_INT64_MAX <= found < _INT64_MAX else str(found)
    for plain in (value.bool_value, value.double_value, value.bytes_value):
        if plain is not None:
            return plain
    if depth >= DEPTH_MAX:
        raise Unreadable(f"a value that is nested deeper than {DEPTH_MAX}")
    if value.kvlist_value is not None:
        return dict(zip(*_pairs(value.kvlist_value.values, depth + 1), strict=True))
    if value.array_value is not None:
        return [_value(inner, depth + 1) for inner in value.array_value.values]
    return None
