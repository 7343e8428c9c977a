"""Numbers with their nouns, as people read them."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """How many of something: `1 rule`, `2,000 rules`, `2 entries`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
