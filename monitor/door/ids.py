"""What a person is called may be shaped like an id: it is hardly a word then, and replaced inside of other text, too.

Whoever sends an event chooses what its people are called, and must not be able to hide from rules what they look for. So a
shape is one of these only if no word, path, address of the web or of the Internet has it; the kernel's `ids.rs` says the same.
"""

from __future__ import annotations

import re
from typing import Final

CHARACTERS_MIN: Final = 8
"""A person's value with a digit in it that has fewer characters is no id."""

LONG_CHARACTERS_MIN: Final = 20
"""From so many characters on it is one without a digit too: few words are as long."""

JOINED_CHARACTERS_MIN: Final = 12
"""An id with ``:``, ``+``, ``/``, ``=`` or ``.`` in it has at least so many characters."""

PART_CHARACTERS_MIN: Final = 4
"""From so many characters on a part of such an id needs a digit: it may be a word otherwise."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_MAIL: Final = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_HARDWARE: Final = re.compile(r"[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?::[0-9A-Fa-f]{2}){7})")
_JOINED: Final = re.compile(r"([A-Za-z0-9_.:+/-]+)={0,2}")
_JOINTS: Final = re.compile(r"[.:+/]")
_DIGIT: Final = re.compile(r"[0-9]")

ENCODED: Final = "@:+/="
"""Characters of ids that may stand as ``%40`` in addresses and forms."""


def is_id(value: str) -> bool:
    """Letters, digits, ``_`` and ``-``; an address of mail or of hardware; base64; such parts joined by points or colons."""
    if len(value) < CHARACTERS_MIN:
        return False
    if _PLAIN.fullmatch(value):
        return len(value) >= LONG_CHARACTERS_MIN or _DIGIT.search(value) is not None
    if _MAIL.fullmatch(value):
        return True
    return len(value) >= JOINED_CHARACTERS_MIN and (_HARDWARE.fullmatch(value) is not None or _is_joined(value))


def _is_joined(value: str) -> bool:
    joined = _JOINED.fullmatch(value)
    if joined is None or not _DIGIT.search(joined[1]):
        return False
    parts = _JOINTS.split(joined[1])
    if not all(len(part) < PART_CHARACTERS_MIN or _DIGIT.search(part) for part in parts):
        return False
    in_words = "." in value or ":" in value
    return not in_words or (all(parts) and max(map(len, parts)) >= JOINED_CHARACTERS_MIN)


def spellings(value: str) -> str:
    """A regular expression of an id, percent-encoded or not."""
    return "".join(rf"(?:{re.escape(one)}|%(?i:{ord(one):02x}))" if one in ENCODED else re.escape(one) for one in value)
