"""Documents as shippers write them, made into events where they are none yet: a time under another name, a text for an object."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from monitor.decoders.times import instant
from monitor.spool.aside import Aside, Body

TIMES: Final = ("timestamp", "time", "timereported", "timegenerated")
"""Names that the time of an event goes by where there is no ``@timestamp``: the first that holds one. rsyslog has the last two."""

TEXTS: Final = {
    "agent": "agent.name",
    "client": "client.address",
    "destination": "destination.address",
    "error": "error.message",
    "host": "host.name",
    "log": "message",
    "process": "process.name",
    "server": "server.address",
    "service": "service.name",
    "source": "source.address",
    "url": "url.original",
    "user": "user.name",
}
"""Objects of the Elastic Common Schema in whose place shippers write a text, and the field that is meant."""


_BLOCK_BYTES: Final = 256 << 10


class _Object(msgspec.Struct):
    """An object, whatever is in it."""


class _Event(msgspec.Struct):
    id: Any = None


_Usual: Final = msgspec.defstruct(
    "_Usual",
    [
        ("timestamp", str | int | float),
        ("event", _Event | None, None),
        ("event_id", Any, None),
        *((name, _Object | None, None) for name in TEXTS),
    ],
    rename={"timestamp": "@timestamp", "event_id": "event.id"},
    gc=False,
)
"""What a document is that needs no change."""

_usual: Final = msgspec.json.Decoder(_Usual).decode
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_event: Final = msgspec.json.Decoder(_Event).decode
_any: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.encode

_WRONG: Final = (msgspec.DecodeError, RecursionError, UnicodeError)


def line_of(document: bytes, name: bytes | None = None) -> bytes:
    """A document as the line of an event, without an end; where it has an id, in JSON, that is the event's unless the event has one.

    What is no JSON object is left as it is: it makes a dead letter when it is read.
    """
    try:
        usual: Any = _usual(document)
    except _WRONG:
        return _changed(document, name)
    if name is None or usual.event_id is not None or (usual.event is not None and usual.event.id is not None):
        return document
    member = b'"event":{"id":%b}' if usual.event is None and b'"event"' not in document else b'"event.id":%b'
    begin = document.index(b"{") + 1
    return b"%b%b,%b" % (document[:begin], member % name, document[begin:])


def _changed(document: bytes, name: bytes | None) -> bytes:
    try:
        members = _members(document)
    except _WRONG:
        return document
    texts = [key for key in TEXTS if key in members and bytes(members[key])[:1] == b'"']
    for key in texts:
        field, text = TEXTS[key], members.pop(key)
        if field not in members:
            members[field] = text
    if "@timestamp" not in members:
        found = next((key for key in TIMES if _is_time(members.get(key))), None)
        if found is not None:
            members["@timestamp"] = members[found]
    if name is not None and "event.id" not in members and not _has_id(members.get("event")):
        members["event.id"] = msgspec.Raw(name)
    return b"{%b}" % b",".join([b"%b:%b" % (_encode(key), bytes(value)) for key, value in members.items()])


def _is_time(value: msgspec.Raw | None) -> bool:
    try:
        found = _any(value) if value is not None else None
    except _WRONG:
        return False
    return isinstance(found, str | int | float) and not isinstance(found, bool) and instant(found) is not None


def _has_id(event: msgspec.Raw | None) -> bool:
    try:
        return event is not None and _event(event).id is not None
    except _WRONG:
        return False


def on_one_line(document: Body, bytes_max: int) -> Body:
    """A document that may be spread over several lines, on one; what is no JSON, or larger than that, is left with its lines joined."""
    if len(document) > bytes_max:
        whole = Aside(len(document))
        for at in range(0, len(document), _BLOCK_BYTES):
            whole.add(bytes(document[at : at + _BLOCK_BYTES]).replace(b"\n", b" "))
        return whole.content()
    content = bytes(document)
    if b"\n" not in content:
        return content
    try:
        return msgspec.json.format(content, indent=-1)
    except _WRONG:
        return content.replace(b"\n", b" ")
