"""Text for a terminal that cannot drive it, whatever an app, a client or another person put in it."""

from __future__ import annotations

import re
from typing import Final

from monitor.one_line import CONTROL

_BUT_LINES: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: object) -> str:
    """A value as one line of text that cannot drive a terminal."""
    return CONTROL.sub(_named, str(text))


def visible_lines(text: str) -> str:
    """The same of several lines, which stay lines."""
    return _BUT_LINES.sub(_named, text)


def _named(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()
