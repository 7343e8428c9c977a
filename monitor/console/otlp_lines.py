"""Lines of nested JSON made of log records of OpenTelemetry: those with the same names are filled into the same form."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final

import msgspec

from detectors import kernel
from monitor.console.lines import MadeLines, Outgrown
from monitor.console.otlp_fields import (
    ADDRESSES,
    HEADERS,
    LEVELS,
    RENAMED,
    Common,
    Record,
    Unreadable,
    Values,
    common_of,
    fields_of,
)

PARTS_MAX: Final = 16
"""A name of more parts stays one key."""

FIELD_BYTES: Final = 32
"""So much of what a request may become a field costs at least: each is work, however short it is."""

PLANS_MAX: Final = 512
PLAN_KEYS_MAX: Final = 128
PLAN_CHARACTERS_MAX: Final = 8192
"""Forms that are remembered from one request to the next, of events with so many fields, and names of so many characters, at most."""

Names = tuple[tuple[str, ...], tuple[str, ...]]
"""Those of attributes, as they came, and those of the fields beside them."""

_UNPLAIN: Final = frozenset({dict, type(None)})

_encode: Final = msgspec.json.encode


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


class Lines:
    """Writes the records of one request as lines of nested JSON."""

    def __init__(self, plans: Plans, bytes_max: int) -> None:
        """What is said once for many records is written with each, so a small request may say very much: `bytes_max` of it."""
        self._plans = plans
        self._bytes_max = bytes_max
        self._spent = 0
        self._second = -1
        self._until_second = ""

    def spend(self, cost: int) -> None:
        """Of what the request may become. Raises `Outgrown`."""
        self._spent += cost
        if self._spent > self._bytes_max:
            raise Outgrown(self._bytes_max)

    def line(self, record: Record, common: Common) -> bytes:
        """One record as a line with its end. Raises `Unreadable` and `Outgrown`."""
        beside = self._beside(record)
        cost = FIELD_BYTES * (len(record.values) + len(beside) + len(common.values))
        self.spend(cost)
        line = self._line(record, beside, common)
        self.spend(max(0, len(line) - cost))
        return line

    def _line(self, record: Record, beside: Values, common: Common) -> bytes:
        names = (*[name for name, _ in beside], *common.names)
        values = [*record.values, *[value for _, value in beside], *common.values]
        plan = self._plans.of((record.names, names))
        if plan.is_plain and _UNPLAIN.isdisjoint(map(type, record.values)):
            return plan.line(values)
        own = fields_of(zip(record.names, record.values, strict=True))
        plan = self._plans.of(((), (*[name for name, _ in own], *names)))
        return plan.line([value for _, value in own] + values[len(record.values) :])

    def _beside(self, record: Record) -> Values:
        """What a record says beside its attributes."""
        values: Values = []
        body = record.body
        if isinstance(body, dict):
            values = fields_of(body.items())
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
        if record.scope:
            values.append(("log.logger", record.scope))
        return values

    def _instant(self, nanoseconds: int) -> str:
        second, rest = divmod(nanoseconds, 1_000_000_000)
        if second != self._second:
            self._until_second = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        return f"{self._until_second}.{rest:09d}Z"


class Body:
    """The lines of one request, and which of its records cannot be lines."""

    def __init__(self, plans: Plans, line_bytes_max: int, bytes_max: int) -> None:
        self.lines = MadeLines(bytes_max)
        self.count = 0
        self.rejected = 0
        self.why = ""  # of the first that was rejected
        self.line_bytes_max: Final = line_bytes_max
        self._writer = Lines(plans, bytes_max)

    def add(self, record: Record | Unreadable, common: Common) -> None:
        """One record. Raises `Outgrown` where it is too much."""
        if isinstance(record, Unreadable):
            self._reject(str(record))
            return
        try:
            line = self._writer.line(record, common)
        except Unreadable as unreadable:
            self._reject(str(unreadable))
        except UnicodeError:
            self._reject("a record with half a surrogate pair")
        else:
            self.take(line, 1, 0) if len(line) <= self.line_bytes_max else self.take(b"", 0, 0, 1)

    def take(self, lines: bytes, count: int, cost: int, too_long: int = 0) -> None:
        """So many lines, what they cost, and how many others are too long. Raises `Outgrown` where it is too much."""
        self._writer.spend(cost)
        self.lines.add(lines)
        self.count += count
        if too_long:
            self._reject(f"more than {self.line_bytes_max} bytes", too_long)

    def common(self, names: tuple[str, ...], values: list[Any]) -> Common | None:
        """What the kernel has read of a resource; None where that cannot be read."""
        try:
            return common_of(names, values)
        except Unreadable:
            return None

    def odd(self, said: tuple[Any, ...], common: Common) -> None:
        """A record of which the kernel makes no line. Raises `Outgrown` where it is too much."""
        self.add(Record(*said), common)

    def _reject(self, why: str, count: int = 1) -> None:
        self.rejected += count
        self.why = self.why or why


class Forms:
    """Reads ordinary requests by the kernel, which remembers forms too."""

    def __init__(self) -> None:
        self._known: Any = None

    def read(self, form: str, content: bytes, body: Body) -> bool:
        """Whether the kernel has given a request to `body`; if not, that may have got a part of it. Raises `Outgrown`."""
        if not kernel.available():
            return False
        if self._known is None:
            bounds = (FIELD_BYTES, PLANS_MAX, PLAN_KEYS_MAX, PLAN_CHARACTERS_MAX)
            self._known = kernel.module.OtlpForms(form_of, _encode, list(LEVELS), *bounds)
        read = self._known.read_json if form == "json" else self._known.read_protobuf
        return bool(read(content, body, body.line_bytes_max))


def form_of(attributes: tuple[str, ...], beside: tuple[str, ...]) -> tuple[bytes, list[int], list[int], bool]:
    """The form of events with these names for the kernel: a text, where in it values stand, which, and whether as they came."""
    pieces, order, is_plain = _pieces_of(attributes, beside)
    ends = list(accumulate(map(len, pieces[:-1])))
    return b"".join(pieces), ends, order, is_plain


def _plan_of(attributes: tuple[str, ...], beside: tuple[str, ...]) -> Plan:
    pieces, order, is_plain = _pieces_of(attributes, beside)
    return Plan(b"%b".join([piece.replace(b"%", b"%%") for piece in pieces]), _choice_of(order), is_plain)


def _pieces_of(attributes: tuple[str, ...], beside: tuple[str, ...]) -> tuple[list[bytes], list[int], bool]:
    """What stands around the values of events with these names, and which these are; of a name that comes twice the first counts."""
    tree: dict[str, Any] = {}
    names = (*[RENAMED.get(name, name) for name in attributes], *beside)
    for place, name in enumerate(names):
        parts = name.split(".")
        _grow(tree, parts if len(parts) <= PARTS_MAX else [name], place)
    pieces, order = [b""], list[int]()
    _write(tree, pieces, order)
    pieces[-1] += b"\n"
    is_plain = not any(name in ADDRESSES or name.startswith(tuple(HEADERS)) for name in attributes)
    return pieces, order, is_plain


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


def _write(tree: dict[str, Any], pieces: list[bytes], order: list[int]) -> None:
    before = b"{"
    for key, value in tree.items():
        pieces[-1] += before + _encode(key) + b":"
        if isinstance(value, dict):
            _write(value, pieces, order)
        else:
            order.append(value)
            pieces.append(b"")
        before = b","
    pieces[-1] += b"}"
