"""Text that strangers chose, as one line: nothing in it ends a line, drives a terminal, or turns round what stands beside it."""

from __future__ import annotations

import re
from typing import Final

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 and C1, the separators of lines and paragraphs, and what changes the direction of writing."""


def one_line(text: object) -> str:
    """A value as people read it among other words: what is no such text is a space, and of several spaces one is left."""
    return " ".join(CONTROL.sub(" ", str(text)).split())
