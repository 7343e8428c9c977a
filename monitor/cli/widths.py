"""How wide the columns of a table are on a terminal, so that what people copy stays whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

GAP_CHARACTERS: Final = 2
"""Between two columns of a table on a terminal."""

WORD_CHARACTERS_MAX: Final = 24
"""Longer words than an app's id may be broken."""

TEXTS: Final = frozenset({"TITLE", "DETAIL", "FOUND", "WHAT TO DO", "WHY"})
TEXT_CHARACTERS_MIN: Final = 20
"""Sentences get at least so much of a line, if they are as long."""

WHOLE: Final = frozenset({"NOW", "A DAY", "FULL IN", "RESTS ON"})
"""Sizes and spans, which are hard to read in several lines."""

GIVES_WAY: Final = (
    "RESTS ON",
    "A DAY",
    "RULE",
    "FUTURE",
    "EVENTS",
    "FINDINGS",
    "MODE",
    "REPLAYED (UTC)",
    "BYTES",
    "POSITION",
    "AS OF (UTC)",
    "DUPLICATE",
    "DATASET",
    "BEHAVIOURS",
    "KIND",
    "SOURCE",
    "REASON",
    "OUTCOME",
    "ADDRESS",
    "USER",
    "OPENED (UTC)",
    "TIER",
    "TIME (UTC)",
    "STATE",
)
"""Columns that are left out of a table that is too wide for the terminal, the first first."""


def widths_of(heads: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> list[int]:
    """How wide each column of a table is; 0 leaves it out.

    No column is narrower than its longest word, so that ids stay whole; where that is too much, columns give way. Room
    that is left goes to the columns that need least first.
    """
    columns = [(head, *(row[place] for row in cells)) for place, head in enumerate(heads)]
    whole = [max(map(cell_len, column)) for column in columns]
    widths = [min(_word(column), WORD_CHARACTERS_MAX) for column in columns]
    widths = [
        all_of_it if head in WHOLE else max(least, min(all_of_it, TEXT_CHARACTERS_MIN)) if head in TEXTS else least
        for head, least, all_of_it in zip(heads, widths, whole, strict=True)
    ]
    for head in GIVES_WAY:
        if _taken(widths) <= room:
            break
        if head in heads:
            widths[heads.index(head)] = 0
    for place in sorted(range(len(widths)), key=lambda place: whole[place] - widths[place]):
        if widths[place]:
            widths[place] += max(0, min(whole[place] - widths[place], room - _taken(widths)))
    return widths


def _word(texts: Sequence[str]) -> int:
    """The length of the longest word."""
    return max(cell_len(word) for text in texts for word in text.split(" "))


def _taken(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + GAP_CHARACTERS * len(shown)
