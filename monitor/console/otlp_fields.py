"""What log records of OpenTelemetry say, as the fields of an event: names of its semantic conventions become those of ECS.

Of several values for one field the first counts: attributes of the record, its body where that is a map, what the record says
beside them, its scope, its resource.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
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

PARTS_MAX: Final = 16
"""A name of more parts stays one key."""

PLANS_MAX: Final = 512
PLAN_KEYS_MAX: Final = 128
PLAN_CHARACTERS_MAX: Final = 8192
"""Forms that are remembered from one request to the next, of events with so many fields, and names of so many characters, at most."""

Values = list[tuple[str, Any]]
Names = tuple[tuple[str, ...], tuple[str, ...]]
"""Those of attributes, as they came, and those of the fields beside them."""

_UNPLAIN: Final = frozenset({dict, type(None)})

_encode: Final = msgspec.json.encode


Groups = Sequence[tuple[tuple[str, ...], list[Any], str, Sequence[tuple[Any, ...]]]]


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


class Plan(msgspec.Struct, frozen=True):
    """How events with the same names are written: a form, and those of the values that fill it.

    `is_plain`: the values stand as they came, unless one of them is a map or is none.
    """

    form: bytes
    chosen: Callable[[list[Any]], tuple[Any, ...]]
    is_plain: bool

    def line(self, values: list[Any]) -> bytes:
        return self.form % tuple(map(_encode, self.chosen(values)))


class Plans:
    """Remembers plans. Threads may share it: at worst one of them makes a plan that another has made."""

    def __init__(self) -> None:
        self._known: dict[Names, Plan] = {}

    def of(self, names: Names) -> Plan:
        """How events with these names are written."""
        plan = self._known.get(names)
        if plan is None:
            plan = _plan_of(*names)
            attributes, beside = names
            count = len(attributes) + len(beside)
            if count <= PLAN_KEYS_MAX and sum(map(len, attributes + beside)) <= PLAN_CHARACTERS_MAX:
                if len(self._known) >= PLANS_MAX:
                    self._known.clear()
                self._known[names] = plan
        return plan


class Unreadable(Exception):
    """A log record cannot be an event."""


class Lines:
    """Writes records as lines of nested JSON. Records with the same names are filled into the same form."""

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._second = -1
        self._until_second = ""

    def line(self, record: Record, common: Common) -> bytes:
        """One record as a line with its end. Raises `Unreadable`."""
        beside = self._beside(record)
        names = (*[name for name, _ in beside], *common.names)
        values = [*record.values, *[value for _, value in beside], *common.values]
        plan = self._plans.of((record.names, names))
        if plan.is_plain and _UNPLAIN.isdisjoint(map(type, record.values)):
            return plan.line(values)
        own: Values = []
        for name, value in zip(record.names, record.values, strict=True):
            _add(own, name, value)
        plan = self._plans.of(((), (*[name for name, _ in own], *names)))
        return plan.line([value for _, value in own] + values[len(record.values) :])

    def _beside(self, record: Record) -> Values:
        """What a record says beside its attributes."""
        values: Values = []
        body = record.body
        if isinstance(body, dict):
            for name, value in body.items():
                _add(values, name, value)
        elif body is not None:
            values.append(("message", body if isinstance(body, str) else _encode(body).decode()))
        time = record.time or record.observed
        if not time:
            raise Unreadable("a record with neither time_unix_nano nor observed_time_unix_nano")
        values.append(("@timestamp", self._instant(time)))
        if record.time and record.observed:
            values.append(("event.created", self._instant(record.observed)))
        if record.severity > 0:
            values.append(("event.severity", record.severity))
        if record.level or 0 < record.severity <= 4 * len(LEVELS):
            values.append(("log.level", record.level or LEVELS[(record.severity - 1) // 4]))
        if record.trace:
            values.append(("trace.id", record.trace))
        if record.span:
            values.append(("span.id", record.span))
        if record.name:
            values.append(("event.action", record.name))
        if record.dropped:
            values.append(("otel.dropped_attributes_count", record.dropped))
        return values

    def _instant(self, nanoseconds: int) -> str:
        second, rest = divmod(nanoseconds, 1_000_000_000)
        if second != self._second:
            self._until_second = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        return f"{self._until_second}.{rest:09d}Z"


def read_groups(groups: Groups) -> Iterator[tuple[Record, Common]]:
    """What the kernel has read, for whom records and what is said for many are the arguments of these."""
    for names, values, scope, records in groups:
        common = common_of(names, values, scope)
        for record in records:
            yield Record(*record), common


def common_of(names: tuple[str, ...], said: list[Any], scope: str) -> Common:
    """The attributes of a resource, and the name of a scope."""
    values: Values = [("log.logger", scope)] if scope else []
    for name, value in zip(names, said, strict=True):
        _add(values, name, value)
    return Common(tuple([name for name, _ in values]), [value for _, value in values])


def _add(values: Values, name: str, value: Any) -> None:
    """A value under the name of its field; a map as its members."""
    if isinstance(value, dict):
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


def _plan_of(attributes: tuple[str, ...], beside: tuple[str, ...]) -> Plan:
    """The form of events with these names; of a name that comes twice the first counts."""
    tree: dict[str, Any] = {}
    names = (*[RENAMED.get(name, name) for name in attributes], *beside)
    for place, name in enumerate(names):
        parts = name.split(".")
        _grow(tree, parts if len(parts) <= PARTS_MAX else [name], place)
    order: list[int] = []
    is_plain = not any(name in ADDRESSES or name.startswith(tuple(HEADERS)) for name in attributes)
    return Plan(_form(tree, order) + b"\n", _choice_of(order), is_plain)


def _choice_of(order: list[int]) -> Callable[[list[Any]], tuple[Any, ...]]:
    if len(order) == 1:
        return lambda values: (values[order[0]],)
    return itemgetter(*order)


def _grow(tree: dict[str, Any], parts: list[str], place: int) -> None:
    """Put a value into the tree; where a field is both a value and an object, the value is its ``text``."""
    for part in parts[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            inner = tree[part] = {"text": inner}
        tree = inner
    known = tree.setdefault(parts[-1], place)
    if isinstance(known, dict):
        known.setdefault("text", place)


def _form(tree: dict[str, Any], order: list[int]) -> bytes:
    members = []
    for key, value in tree.items():
        if isinstance(value, dict):
            inner = _form(value, order)
        else:
            order.append(value)
            inner = b"%b"
        members.append(_encode(key).replace(b"%", b"%%") + b":" + inner)
    return b"{" + b",".join(members) + b"}"
