"""What stands inside of a call's arguments. They are JSON texts; each is read once, whatever is asked of it."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

DEPTH_MAX: Final = 200
"""Levels of objects and lists that are read of a text too deep to be read whole."""

DIGITS_MAX: Final = 300
"""A whole number of more digits is beyond all bounds, and is told as it is written."""

REMEMBERED_BYTES_MIN: Final = 1_024
"""A smaller object is read again for each path below it, which costs no more than looking it up."""

REMEMBERED_BYTES_MAX: Final = 2 << 20
"""Text of objects that are kept as they were read, for all texts together; in memory they take some 40 times that at worst."""

_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOWHERE: Final[dict[int, msgspec.Raw]] = {}
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Arguments:
    """Texts of arguments, and by key where it stands in which of them. What is no JSON object holds nothing."""

    def __init__(self, texts: Iterable[str | None], keys: Container[str]) -> None:
        """`keys` are those that will be asked for: of a stranger's object no other is kept."""
        self._size = 0
        self._found: dict[str, dict[int, msgspec.Raw]] = {}
        self._objects: dict[tuple[str, int], dict[str, Any]] = {}
        self._room = REMEMBERED_BYTES_MAX
        for place, text in enumerate(texts):
            self._size += 1
            if text is None:
                continue
            for key, value in _members(text).items():
                if key in keys:
                    self._found.setdefault(key, {})[place] = value

    def at(self, path: str) -> list[str | None]:
        """What stands at a dotted path in each text, as text; None where there is nothing.

        A key may itself contain dots: ``a.b`` is looked for as ``b`` in ``a``, then as the key ``a.b``.
        """
        told: list[str | None] = [None] * self._size
        first, *names = path.split(".")
        for place, raw in self._found.get(path, _NOWHERE).items():
            told[place] = _plain(_value(raw))
        for place, raw in self._found.get(first, _NOWHERE).items() if names else ():
            value = self._outer(first, place, raw)
            for name in names:
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None:
                told[place] = _plain(value)
        return told

    def _outer(self, key: str, place: int, raw: msgspec.Raw) -> Any:
        """What stands at a key that other paths go through too: a large object is read once for all of them."""
        if (known := self._objects.get((key, place))) is not None:
            return known
        value = _value(raw)
        if isinstance(value, dict) and REMEMBERED_BYTES_MIN <= (size := memoryview(raw).nbytes) <= self._room:
            self._room -= size
            self._objects[key, place] = value
        return value


def keys_of(path: str) -> set[str]:
    """The keys of the outermost object by which a dotted path may be found."""
    return {path, path.partition(".")[0]}


def _members(text: str) -> dict[str, msgspec.Raw]:
    """The outermost object by its keys; without any where the text is none."""
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError:  # JSON, but no object
        return {}
    except (msgspec.DecodeError, RecursionError):
        is_object = text.lstrip(" \t\r\n").startswith("{")
        whole = mended(text) if is_object else None
    return {} if whole is None else _DECODER.decode(whole)


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        whole = mended(str(memoryview(raw), "utf-8"))
    return None if whole is None else msgspec.json.decode(whole)


def _plain(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:  # read with more of the stack left than there is now
        return None


def mended(text: str) -> str | None:
    """The same as JSON that any reader takes, or None where it is no JSON; so nobody hides a value by what stands beside it.

    JavaScript writes half a surrogate pair as an escape, which msgspec refuses; so it does numbers beyond all bounds, and
    what is nested about as deep as Python's stack.
    """
    try:
        tree = json.loads(_shallow(text), parse_int=_integer, parse_float=_number, parse_constant=_no_constant)
    except ValueError:
        return None
    return _LONE_SURROGATE.sub("\ufffd", json.dumps(tree, ensure_ascii=False))


def _shallow(text: str) -> str:
    """The text without what is nested deeper than `DEPTH_MAX`; found without walking it, so that it takes no stack."""
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return text
    whole = text.encode()
    byte = np.frombuffer(_ESCAPE.sub(b"  ", whole), np.uint8)
    outside = ~np.logical_xor.accumulate(byte == ord('"'))
    opens = outside & ((byte == ord("{")) | (byte == ord("[")))
    closes = outside & ((byte == ord("}")) | (byte == ord("]")))
    step = opens.astype(np.int32) - closes
    after = np.cumsum(step, dtype=np.int32)
    is_kept = np.minimum(after, after - step) <= DEPTH_MAX
    kept: bytes = np.frombuffer(whole, np.uint8)[is_kept].tobytes()
    return kept.decode()


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= DIGITS_MAX else digits


def _number(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
