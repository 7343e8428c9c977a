"""What log records of OpenTelemetry say, as the fields of an event: names of its semantic conventions become those of ECS.

Of several values for one field the first counts: attributes of the record, its body where that is a map, what the record says
beside them, its scope, its resource.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

import msgspec

RENAMED: Final = {
    "app.installation.id": "device.id",
    "code.file.path": "log.origin.file.name",
    "code.function.name": "log.origin.function",
    "code.line.number": "log.origin.file.line",
    "data_stream.dataset": "event.dataset",
    "deployment.environment": "service.environment",
    "deployment.environment.name": "service.environment",
    "destination.address": "destination.domain",
    "enduser.id": "user.id",
    "event.name": "event.action",
    "exception.message": "error.message",
    "exception.stacktrace": "error.stack_trace",
    "exception.type": "error.type",
    "http.method": "http.request.method",
    "http.request.body.size": "http.request.bytes",
    "http.response.body.size": "http.response.bytes",
    "http.scheme": "url.scheme",
    "http.status_code": "http.response.status_code",
    "http.target": "url.original",
    "http.url": "url.full",
    "http.user_agent": "user_agent.original",
    "log.record.original": "event.original",
    "log.record.uid": "event.id",
    "os.description": "host.os.full",
    "os.name": "host.os.name",
    "os.type": "host.os.type",
    "os.version": "host.os.version",
    "server.address": "destination.domain",
    "server.port": "destination.port",
    "service.instance.id": "service.node.name",
    "thread.id": "process.thread.id",
    "thread.name": "process.thread.name",
}
"""Names of the semantic conventions, older ones included, whose field has another name. All others keep theirs."""

ADDRESSES: Final = {
    "client.address": "source.ip",
    "destination.address": "destination.ip",
    "server.address": "destination.ip",
    "source.address": "source.ip",
}
"""Names that may hold an address of the Internet or the name of a host; the field that is meant for the former."""

HEADERS: Final = {
    "http.request.header.": "http.request.headers.",
    "http.response.header.": "http.response.headers.",
}

LEVELS: Final = ("trace", "debug", "info", "warn", "error", "fatal")
"""Of four severity numbers each, from 1 on."""

DEPTH_MAX: Final = 32
"""Nesting of a value."""

NAME_CHARACTERS_MAX: Final = 256
"""Of a name that has members under it: the name of each of these begins with it."""

Values = list[tuple[str, Any]]


class Common(msgspec.Struct, frozen=True, gc=False):
    """What is said once for many records: names of fields, and their values."""

    names: tuple[str, ...]
    values: list[Any]


NOTHING: Final = Common((), [])


class Record(msgspec.Struct, gc=False):
    """A log record; times are nanoseconds since 1970, 0 for none, ids hexadecimal."""

    time: int
    observed: int
    severity: int
    level: str
    body: Any
    names: tuple[str, ...]  # of the attributes
    values: list[Any]
    trace: str = ""
    span: str = ""
    name: str = ""
    dropped: int = 0
    scope: str = ""


class Unreadable(Exception):
    """A log record cannot be an event."""


def common_of(names: Iterable[str], said: Iterable[Any]) -> Common:
    """The attributes of a resource. Raises `Unreadable`."""
    values = fields_of(zip(names, said, strict=True))
    return Common(tuple([name for name, _ in values]), [value for _, value in values])


def fields_of(said: Iterable[tuple[str, Any]]) -> Values:
    """Values under the names of their fields, those of maps one by one. Raises `Unreadable`."""
    values: Values = []
    for name, value in said:
        _add(values, name, value)
    return values


def _add(values: Values, name: str, value: Any) -> None:
    if isinstance(value, dict):
        if len(name) > NAME_CHARACTERS_MAX:
            raise Unreadable(f"a name of more than {NAME_CHARACTERS_MAX} characters with members under it")
        for key, inner in value.items():
            _add(values, f"{name}.{key}", inner)
        return
    if value is None:
        return
    field = RENAMED.get(name, name)
    if name in ADDRESSES:
        field = ADDRESSES[name] if _is_address(value) else field
    elif name.startswith("http.re"):
        for prefix, other in HEADERS.items():
            if name.startswith(prefix):
                field = other + name[len(prefix) :].lower()
                value = ", ".join(map(str, value)) if isinstance(value, list) else value
    values.append((field, value))


def _is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return isinstance(value, str)
