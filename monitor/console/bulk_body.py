"""A body of Elasticsearch's bulk API, as lines of events and the answer that each of its items gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from monitor.console.access import Refused
from monitor.console.documents import line_of
from monitor.console.lines import MadeLines
from monitor.spool.aside import Body
from monitor.spool.given import Given, Taken, lines_of
from monitor.spool.ids import NO_ID, id_digest, id_prefix

ITEMS_MAX: Final = 50_000
"""Items of one request; with more it is to be sent in parts."""

ID_CHARACTERS_MAX: Final = 512
"""Of a document's id, as in Elasticsearch."""

INDEX_CHARACTERS_MAX: Final = 255

ACTION_BYTES_MAX: Final = 8192

KNOWN_MAX: Final = 1024
"""Actions without an id, and indices, that are remembered within a request: most say the same."""

ITEM_BYTES: Final = 160
"""What an item takes of memory beside its names."""

PART_ITEMS: Final = 500
"""Items of one part of an answer."""

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
_text: Final = msgspec.json.Decoder(str).decode
_END: Final = ord("\n")

OPERATIONS: Final = _Action.__struct_fields__


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item of a request: what it asks for, and which of the lines it is; no line for one that is refused.

    Its names are JSON: as texts in memory they may take four times as much.
    """

    operation: str
    index: bytes
    id: bytes | None
    line: int | None
    refused: str = ""


class BulkBody(msgspec.Struct, frozen=True):
    """The items of a request, which are answered one by one."""

    items: list[Item]

    def answer_bytes(self) -> int:
        """How much memory they take."""
        return sum(ITEM_BYTES + len(item.index) + len(item.id or b"") for item in self.items)

    def answer(self, taken: Taken) -> Iterator[bytes]:
        """The items, each with what became of it, as JSON in parts."""
        repeated = taken.repeated
        has_errors = any(
            item.line is None or (item.line in repeated and item.operation == "create") for item in self.items
        )
        yield b'{"took":0,"errors":%b,"items":[' % (b"true" if has_errors else b"false")
        alike: dict[tuple[str, bytes], tuple[bytes, bytes]] = {}
        for at in range(0, len(self.items), PART_ITEMS):
            part = [_item_answer(item, repeated, alike) for item in self.items[at : at + PART_ITEMS]]
            yield (b"," if at else b"") + b",".join(part)
        yield b"]}"


def _item_answer(item: Item, repeated: frozenset[int], alike: dict[tuple[str, bytes], tuple[bytes, bytes]]) -> bytes:
    """What is answered for one item; `alike` remembers what surrounds the ids of those that were taken."""
    if item.line is None or item.line in repeated:
        return _answered(item, is_repeated=item.line in repeated)
    key = (item.operation, item.index)
    if key not in alike:
        if len(alike) >= KNOWN_MAX:
            alike.clear()
        alike[key] = _created(*key)
    before, behind = alike[key]
    return before + (b"" if item.id is None else b'"_id":%b,' % item.id) + behind


def _created(operation: str, index: bytes) -> tuple[bytes, bytes]:
    """What is answered for an item that was taken, before and behind its id."""
    whole = _answered(Item(operation, index, None, 0), is_repeated=False)
    begin = whole.index(b'"result":', len(index))
    return whole[:begin], whole[begin:]


def _answered(item: Item, *, is_repeated: bool) -> bytes:
    status, result = outcome_of(item, is_repeated=is_repeated)
    names = {"_index": msgspec.Raw(item.index), **({"_id": msgspec.Raw(item.id)} if item.id is not None else {})}
    return _encode({item.operation: {**names, **result, "status": status}})


def outcome_of(item: Item, *, is_repeated: bool) -> tuple[int, dict[str, Any]]:
    """Status and result of one item."""
    if item.line is None:
        return 400, {"error": {"type": "illegal_argument_exception", "reason": item.refused}}
    if not is_repeated:
        return 201, {"result": "created"}
    if item.operation == "index":
        return 200, {"result": "noop"}
    name = "" if item.id is None else _text(item.id)
    reason = f"[{name}]: version conflict, document already exists"
    return 409, {"error": {"type": "version_conflict_engine_exception", "reason": reason}}


class _Place(NamedTuple):
    """An index, in JSON, and what ids in it begin with."""

    encoded: bytes
    prefix: hashlib.blake2b


class BulkReader:
    """Reads items one after the other; ids are those of one client, in the index that an item names.

    A document that is longer than a line may be is left as it is: it makes a dead letter.
    """

    def __init__(self, token: str, lines_bytes_max: int, line_bytes_max: int) -> None:
        self._token = token
        self._line_bytes_max = line_bytes_max
        self._places: dict[str, _Place] = {}
        self._lines = MadeLines(lines_bytes_max, b"\n")
        self._has_ids = False
        self._ids = bytearray()
        self._creates = bytearray()
        self.body = BulkBody([])

    def read(self, content: Body, index: str) -> BulkBody:
        """A request; `index` is what items are for that name none. Raises `Refused` where it is no bulk request."""
        known: dict[bytes, tuple[str, _Named]] = {}
        lines = _not_blank(content, self._line_bytes_max)
        for number, line in enumerate(lines):
            action = known.get(line) if isinstance(line, bytes) else None
            if action is None:
                action = _action_of(line, number)
                if action[1].id is None and isinstance(line, bytes) and len(known) < KNOWN_MAX:
                    known[line] = action
            operation, named = action
            name = None if named.id is None else str(named.id)
            where = named.index or index
            if operation == "delete":
                self.refuse(operation, where, name, "events are not deleted here")
                continue
            document = next(lines, None)
            if document is None:
                raise Refused(400, "the last action has no document")
            if operation == "update":
                self.refuse(operation, where, name, "events are not updated here: index, or create")
            else:
                self.add(operation, where, name, document)
        if not self.body.items:
            raise Refused(400, "no action in it")
        if len(self.body.items) > ITEMS_MAX:
            raise Refused(413, f"more than {ITEMS_MAX} items; send them in parts")
        return self.body

    def add(self, operation: str, index: str, name: str | None, document: Body) -> None:
        """An item that asks for a document to be kept. Raises `Outgrown`."""
        if name is not None and not 0 < len(name) <= ID_CHARACTERS_MAX:
            self.refuse(operation, index, name[:ID_CHARACTERS_MAX], f"an id has 1 to {ID_CHARACTERS_MAX} characters")
            return
        if len(index) > INDEX_CHARACTERS_MAX:
            why = f"the name of an index has at most {INDEX_CHARACTERS_MAX} characters"
            self.refuse(operation, index[:INDEX_CHARACTERS_MAX], name, why)
            return
        place = self._places.get(index) or self._place(index)
        is_create = operation == "create"
        if name is None:
            encoded = None
            self._ids += NO_ID
        else:
            encoded = _encode(name)
            self._ids += id_digest(place.prefix, name, None if is_create else document)
            self._has_ids = True
        self.body.items.append(Item(operation, place.encoded, encoded, len(self._creates)))
        self._creates.append(is_create)
        self._lines.add(line_of(document, encoded) if isinstance(document, bytes) else document)

    def refuse(self, operation: str, index: str, name: str | None, why: str) -> None:
        """An item that is not taken."""
        encoded = None if name is None else _encode(name[:ID_CHARACTERS_MAX])
        place = self._place(index[:INDEX_CHARACTERS_MAX])
        self.body.items.append(Item(operation, place.encoded, encoded, None, why))

    def given(self, request: bytes) -> Given:
        """What the spool is given; `request` is the digest of all of it. Raises `Outgrown`."""
        ids = bytes(self._ids) if self._has_ids else b""
        return Given(
            self._lines.content(),
            request=request,
            ids=ids,
            creates=[bool(one) for one in self._creates],
            count=len(self._creates),
        )

    def _place(self, index: str) -> _Place:
        if index not in self._places:
            if len(self._places) >= KNOWN_MAX:
                self._places.clear()
            self._places[index] = _Place(_encode(index), id_prefix(self._token, index))
        return self._places[index]


def _not_blank(content: Body, line_bytes_max: int) -> Iterator[Body]:
    """The lines in which something stands, without their ends; those of a large body that are longer than a line may be, as views."""
    most = 3 * ITEMS_MAX  # some end a document with a line of its own
    if isinstance(content, bytes):
        split = content.split(b"\n", most)
        if len(split) > most:
            raise Refused(413, f"more than {ITEMS_MAX} items; send them in parts")
        return (line for line in split if line and not line.isspace())
    return _lines_not_blank(content, most, line_bytes_max)


def _lines_not_blank(content: Body, most: int, line_bytes_max: int) -> Iterator[Body]:
    for number, line in enumerate(lines_of(content)):
        if number >= most:
            raise Refused(413, f"more than {ITEMS_MAX} items; send them in parts")
        size = len(line) - (line[-1] == _END)
        if size > line_bytes_max:
            yield line[:size]
        elif not (whole := bytes(line[:size])).isspace() and whole:
            yield whole


def _action_of(line: Body, number: int) -> tuple[str, _Named]:
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
