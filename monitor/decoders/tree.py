"""A line as a tree that can be written back: numbers keep the text they were written with.

Python would write a number beyond its bounds as ``Infinity``, which is no JSON, and refuses whole numbers of thousands of
digits altogether.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final, NoReturn, Self

DIGITS_MAX: Final = 300
"""A whole number of more digits is read as one with a fraction: it is beyond all bounds either way."""


class Numeral(float):
    """A number as it was written. Two are equal when they are written alike."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numeral) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class Pairs(list[tuple[str, Any]]):
    """An object as its pairs in order, repeated keys and all."""


def read_tree(text: str, *, as_pairs: bool = False, constant: Callable[[str], Any] | None = None) -> Any:
    """What a JSON text says; objects as dictionaries, or as `Pairs`. Raises `json.JSONDecodeError`.

    `constant` is called with what is no JSON and yet read by Python: ``NaN``, ``Infinity`` and ``-Infinity``.
    """
    return json.loads(
        text,
        object_pairs_hook=Pairs if as_pairs else None,
        parse_int=_integer,
        parse_float=Numeral,
        parse_constant=constant or _no_constant,
    )


def _integer(digits: str) -> int | Numeral:
    return int(digits) if len(digits) <= DIGITS_MAX and digits != "-0" else Numeral(digits)


def _no_constant(text: str) -> NoReturn:
    raise json.JSONDecodeError(f"{text} is not JSON", text, 0)


def written(tree: Any) -> str:
    """JSON text of a tree: keys in their order, nothing escaped that need not be."""
    if isinstance(tree, str):
        return encode_basestring(tree)
    if isinstance(tree, Numeral):
        return tree.text
    if isinstance(tree, dict):
        return _object(tree.items())
    if isinstance(tree, Pairs):
        return _object(tree)
    if isinstance(tree, list):
        return "[" + ",".join([written(value) for value in tree]) + "]"
    return json.dumps(tree)


def _object(pairs: Any) -> str:
    return "{" + ",".join([f"{encode_basestring(key)}:{written(value)}" for key, value in pairs]) + "}"
