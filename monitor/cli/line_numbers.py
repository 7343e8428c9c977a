"""Which lines of a file begin at some positions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

COUNTED_BYTES_MAX: Final = 1 << 30
"""How far into a file lines are counted."""

_BLOCK_BYTES: Final = 1 << 20


def line_numbers(partition: str, positions: Iterable[int]) -> dict[int, int]:
    """The line, from 1, that begins at each position of a plain file; those are left out that cannot be told quickly."""
    path = Path(partition.removeprefix("file:"))
    if not partition.startswith("file:") or path.suffix in (".gz", ".zst") or not path.is_file():
        return {}
    found: dict[int, int] = {}
    number, at = 1, 0
    try:
        with path.open("rb") as file:
            for position in sorted(set(positions)):
                while at < position <= COUNTED_BYTES_MAX and (block := file.read(min(position - at, _BLOCK_BYTES))):
                    number, at = number + block.count(b"\n"), at + len(block)
                if at != position:
                    break
                found[position] = number
    except OSError:
        return found
    return found
