"""A rule's detection in words that pySigma reads rightly."""

from __future__ import annotations

from typing import Any, Final

EXACT_MAX: Final = 2**53
"""From here on a float no longer holds every whole number."""


def reworded(value: Any, key: str = "") -> Any:
    """``utf16le``, a newer word of the specification, by its older name ``wide``.

    A whole number too large for a float would lose its last digits, so it is compared as the text it is.
    """
    if isinstance(value, dict):
        return {_modern(name): reworded(one, str(name)) for name, one in value.items()}
    if isinstance(value, list):
        return [reworded(one, key) for one in value]
    large = type(value) is int and abs(value) >= EXACT_MAX and "|" not in key
    return str(value) if large else value


def _modern(key: Any) -> Any:
    if not isinstance(key, str) or "utf16le" not in key:
        return key
    return "|".join("wide" if part == "utf16le" and place else part for place, part in enumerate(key.split("|")))
