"""A body of Elasticsearch's bulk API, as lines of events and the answer that each of its items gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from monitor.console.access import Refused
from monitor.console.documents import line_of
from monitor.spool.given import Given, Taken
from monitor.spool.ids import NO_ID, id_digest, id_prefix

ITEMS_MAX: Final = 50_000
"""Items of one request; with more it is to be sent in parts."""

ID_CHARACTERS_MAX: Final = 512
"""Of a document's id, as in Elasticsearch."""

ACTION_BYTES_MAX: Final = 8192

TAKES: Final = ("index", "create")


class _Named(msgspec.Struct):
    index: str | None = msgspec.field(name="_index", default=None)
    id: str | int | None = msgspec.field(name="_id", default=None)


class _Action(msgspec.Struct):
    index: _Named | None = None
    create: _Named | None = None
    update: _Named | None = None
    delete: _Named | None = None


_action: Final = msgspec.json.Decoder(_Action).decode
_encode: Final = msgspec.json.encode

OPERATIONS: Final = _Action.__struct_fields__


class Item(msgspec.Struct, frozen=True):
    """One item of a request: what it asks for, and which of the lines it is; no line for one that is refused."""

    operation: str
    index: str
    id: str | None
    line: int | None
    refused: str = ""


class BulkBody(msgspec.Struct, frozen=True):
    """A whole request."""

    items: list[Item]
    lines: list[bytes]
    ids: list[bytes]
    creates: list[bool]

    def given(self, request: bytes) -> Given:
        """What the spool is given; `request` is the digest of all of it."""
        ids = b"".join(self.ids) if any(one is not NO_ID for one in self.ids) else b""
        count = len(self.lines)
        self.lines.append(b"")
        return Given(b"\n".join(self.lines), request=request, ids=ids, creates=self.creates, count=count)

    def answer(self, taken: Taken) -> bytes:
        """The items, each with what became of it, as JSON."""
        repeated = taken.repeated
        answers: list[bytes] = []
        alike: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        has_errors = False
        for item in self.items:
            if item.line is not None and item.line not in repeated:
                key = (item.operation, item.index)
                before, behind = alike.get(key) or alike.setdefault(key, _created(*key))
                name = b"" if item.id is None else b'"_id":%b,' % _encode(item.id)
                answers.append(before + name + behind)
                continue
            is_repeated = item.line in repeated
            has_errors |= item.line is None or (is_repeated and item.operation == "create")
            answers.append(_answered(item, is_repeated=is_repeated))
        return b'{"took":0,"errors":%b,"items":[%b]}' % (b"true" if has_errors else b"false", b",".join(answers))


def _created(operation: str, index: str) -> tuple[bytes, bytes]:
    """What is answered for an item that was taken, before and behind its id."""
    whole = _answered(Item(operation, index, None, 0), is_repeated=False)
    begin = whole.index(b'"result":')
    return whole[:begin], whole[begin:]


def _answered(item: Item, *, is_repeated: bool) -> bytes:
    status, result = outcome_of(item, is_repeated=is_repeated)
    told = {"_index": item.index, **({"_id": item.id} if item.id is not None else {}), **result, "status": status}
    return _encode({item.operation: told})


def outcome_of(item: Item, *, is_repeated: bool) -> tuple[int, dict[str, Any]]:
    """Status and result of one item."""
    if item.line is None:
        return 400, {"error": {"type": "illegal_argument_exception", "reason": item.refused}}
    if not is_repeated:
        return 201, {"result": "created"}
    if item.operation == "index":
        return 200, {"result": "noop"}
    reason = f"[{item.id}]: version conflict, document already exists"
    return 409, {"error": {"type": "version_conflict_engine_exception", "reason": reason}}


class BulkReader:
    """Reads items one after the other; ids are those of one client, in the index that an item names."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._prefixes: dict[str, Any] = {}
        self.body = BulkBody([], [], [], [])

    def add(self, operation: str, index: str, name: str | None, document: bytes) -> None:
        """An item that asks for a document to be kept."""
        if name is not None and not 0 < len(name) <= ID_CHARACTERS_MAX:
            self.refuse(operation, index, name[:ID_CHARACTERS_MAX], f"an id has 1 to {ID_CHARACTERS_MAX} characters")
            return
        body = self.body
        body.items.append(Item(operation, index, name, len(body.lines)))
        body.lines.append(line_of(document, name))
        body.creates.append(operation == "create")
        body.ids.append(NO_ID if name is None else self._digest(operation, index, name, document))

    def refuse(self, operation: str, index: str, name: str | None, why: str) -> None:
        """An item that is not taken."""
        self.body.items.append(Item(operation, index, name, None, why))

    def _digest(self, operation: str, index: str, name: str, document: bytes) -> bytes:
        if index not in self._prefixes:
            self._prefixes[index] = id_prefix(self._token, index)
        return id_digest(self._prefixes[index], name, None if operation == "create" else document)


def read_bulk(content: bytes, token: str, index: str) -> BulkBody:
    """A request of `token`; `index` is what items are for that name none. Raises `Refused` where it is no bulk request."""
    reader = BulkReader(token)
    known: dict[bytes, tuple[str, _Named]] = {}
    most = 3 * ITEMS_MAX  # some end a document with a line of its own
    split = content.split(b"\n", most)
    if len(split) > most:
        raise Refused(413, f"more than {ITEMS_MAX} items; send them in parts")
    lines = _not_blank(split)
    for number, line in enumerate(lines):
        action = known.get(line)
        if action is None:
            action = _action_of(line, number)
            if action[1].id is None:
                known[line] = action
        operation, named = action
        name = None if named.id is None else str(named.id)
        where = named.index or index
        if operation == "delete":
            reader.refuse(operation, where, name, "events are not deleted here")
            continue
        document = next(lines, None)
        if document is None:
            raise Refused(400, "the last action has no document")
        if operation == "update":
            reader.refuse(operation, where, name, "events are not updated here: index, or create")
        else:
            reader.add(operation, where, name, document)
    if not reader.body.items:
        raise Refused(400, "no action in it")
    if len(reader.body.items) > ITEMS_MAX:
        raise Refused(413, f"more than {ITEMS_MAX} items; send them in parts")
    return reader.body


def _not_blank(lines: list[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line and (line[:1] == b"{" or not line.isspace()):
            yield line


def _action_of(line: bytes, number: int) -> tuple[str, _Named]:
    try:
        action = _action(line) if len(line) <= ACTION_BYTES_MAX else _Action()
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        action = _Action()
    if action.create is not None and action.index is action.update is action.delete is None:
        return "create", action.create
    found = [(name, named) for name in OPERATIONS if (named := getattr(action, name)) is not None]
    if len(found) != 1:
        raise Refused(400, f"item {number}: an action is expected, one of {', '.join(OPERATIONS)}")
    return found[0]
