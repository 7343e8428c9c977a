"""Where a list goes on: a text that means nothing to its bearer, and a place in the list to us.

It names the last row that was given, not how many were: rows that come meanwhile move nothing. A forged one is some other
place in the same list, so there is nothing to sign.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final

import msgspec

from monitor.console.access import Refused

CHARACTERS_MAX: Final = 1024

_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The list, the place of the last row given, and the times that `since` and `until` stood for when the list was begun."""

    name: str
    place: tuple[Any, ...]
    since: _Whole | None = None
    until: _Whole | None = None


def written(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def read(text: str, name: str, place: Any) -> Cursor:
    """A cursor of this list, whose place is of that type; raises `Refused`."""
    if len(text) <= CHARACTERS_MAX:
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            cursor = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=Cursor)
            if cursor.name == name:
                return msgspec.structs.replace(cursor, place=msgspec.convert(cursor.place, place))
        except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError, RecursionError):
            pass
    raise Refused(400, "cursor: this is none of this list, in this order; take it from `next`, or begin without one")
