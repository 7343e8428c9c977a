"""The slow and exact way to read one line. It decides what a line means; the fast way must agree with it or step aside.

Used for lines that the fast parser refuses, or about which parsers could differ: escaped letters in keys, repeated
keys, lone surrogates, deep nesting. Some tens of microseconds a line.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from detectors.event import Kind, kind_of
from monitor.decoders import DeadLetterReason
from monitor.decoders.shape import Node, Shape
from monitor.decoders.tree import Numeral, Pairs, read_tree, written

DEPTH_MAX: Final = 200
"""Nesting of objects and lists in a line; what walks a line takes two of Python's thousand frames a level."""

# Letters written as \uXXXX: nobody needs to, and a key spelt so would hide from a search of the text.
ODD_ESCAPE: Final = r"\\u(?:00[4-7][0-9A-Fa-f]|00[23][0-9A-Fa-f]|[dD][89a-fA-F])"

INTEGER_MAX: Final = 2**63

_NUMERAL: Final = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,19})?", re.ASCII)


class Refused(Exception):
    """The line cannot be an event."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def _no_constant(text: str) -> NoReturn:
    raise Refused(DeadLetterReason.BROKEN_JSON, f"{text} is not JSON; write null or a number")


def read_line(raw: bytes, shape: Shape) -> tuple[dict[str, Any], str]:
    """The fields of one line, and the line as text (rewritten only where it has needless escapes).

    Times stay as they were written (text or number). Raises `Refused` with the reason and where in the line.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Refused(DeadLetterReason.INVALID_UTF8, f"byte {error.start} is not UTF-8 ({error.reason})") from None
    text = text.strip(" \t\r\n\ufeff")
    if not text:
        raise Refused(DeadLetterReason.EMPTY_LINE, "the line is empty")
    if _depth_exceeds(text):
        raise Refused(DeadLetterReason.TOO_DEEP, f"nested deeper than {DEPTH_MAX}")
    try:
        tree = read_tree(text, as_pairs=True, constant=_no_constant)
    except json.JSONDecodeError as error:
        cut = "" if text.endswith("}") else "; the line does not end with }, it may have been cut"
        detail = f"character {error.pos}: {error.msg}{cut}"
        raise Refused(DeadLetterReason.BROKEN_JSON, detail) from None
    if not isinstance(tree, Pairs):
        raise Refused(DeadLetterReason.NOT_AN_OBJECT, f"the line is {_name(tree)}; an event is an object")
    clean = written(tree)
    try:
        clean.encode()
    except UnicodeEncodeError as error:
        detail = f"half a surrogate pair (\\u{ord(clean[error.start]):04x})"
        raise Refused(DeadLetterReason.LONE_SURROGATE, detail) from None
    row: dict[str, Any] = {}
    _walk(tree, shape.root, "", row)
    for path in shape.loose:
        value = _loose(tree, shape.places[path], path)
        if value is not None:
            row[path] = value
    return row, clean if re.search(ODD_ESCAPE, text) else text


def _depth_exceeds(text: str) -> bool:
    """Whether brackets outside of texts nest deeper than `DEPTH_MAX`; counts only where there are enough of them."""
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return False
    depth = 0
    in_text = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = in_text
        elif character == '"':
            in_text = not in_text
        elif not in_text:
            if character in "{[":
                depth += 1
                if depth > DEPTH_MAX:
                    return True
            elif character in "}]":
                depth -= 1
    return False


def _walk(pairs: Pairs, node: Node, prefix: str, row: dict[str, Any]) -> None:
    """Collect the known fields below one object; only keys that matter are looked at, as the fast parser does."""
    seen: set[str] = set()
    for key, value in pairs:
        below = node.below.get(key)
        if below is None:
            continue
        path = prefix + key
        if key in seen:
            raise Refused(DeadLetterReason.DUPLICATE_KEY, f"{path} stands twice")
        seen.add(key)
        if value is None:
            continue
        if below.field is not None:
            if below.field in row:
                raise Refused(DeadLetterReason.DUPLICATE_KEY, f"{below.field} is spelt twice, nested and dotted")
            row[below.field] = _convert(value, below.field)
        elif isinstance(value, Pairs):
            _walk(value, below, path + ".", row)
        else:
            raise Refused(DeadLetterReason.WRONG_TYPE, f"{path} is {_name(value)}; an object is expected")


def _loose(pairs: Pairs, places: tuple[tuple[str, ...], ...], path: str) -> str | None:
    """A field outside the schema, as text."""
    found: list[Any] = []
    for keys in places:
        value: Any = pairs
        for key in keys:
            if not isinstance(value, Pairs):
                value = None
                break
            matches = [below for name, below in value if name == key]
            if len(matches) > 1:
                raise Refused(DeadLetterReason.DUPLICATE_KEY, f"{path} stands twice")
            value = matches[0] if matches else None
        if value is not None:
            found.append(value)
    if len(found) > 1:
        raise Refused(DeadLetterReason.DUPLICATE_KEY, f"{path} is spelt twice, nested and dotted")
    return _text(found[0]) if found else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Numeral) and math.isfinite(value):
        return json.dumps(float(value))
    return written(value)


def _convert(value: Any, path: str) -> Any:
    kind = kind_of(path)
    wrong = Refused(DeadLetterReason.WRONG_TYPE, f"{path} is {_name(value)}; {kind} is expected")
    if kind is Kind.TIME:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise wrong
        return value
    if kind is Kind.TEXT:
        if isinstance(value, Pairs) or (isinstance(value, float) and not math.isfinite(value)):
            raise wrong
        return _text(value)
    if kind is Kind.BOOLEAN:
        if isinstance(value, bool):
            return value
        raise wrong
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong
    if isinstance(value, str) and not _NUMERAL.fullmatch(value):
        raise wrong
    try:
        number = float(value) if kind is Kind.NUMBER else _whole(value)
    except (ValueError, OverflowError):
        raise wrong from None
    if kind is Kind.INTEGER and not -INTEGER_MAX <= number < INTEGER_MAX:
        raise wrong
    return number


def _whole(value: str | float) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    return int(value)


def _name(value: Any) -> str:
    """What a value is, without the value: dead letters are told in clear, and it may be a person's."""
    if isinstance(value, Pairs):
        return "an object"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else "a number"
