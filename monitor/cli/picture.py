"""Unusual numbers as a picture: a bar for what is usual, and one for what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from detectors.finding import Finding, Measured

WIDTH: Final = 40
"""Characters of the longest bar."""


def picture(finding: Finding) -> list[str]:
    """Lines that show what came beside what is usual, a pair for each number; none where nothing was measured."""
    lines: list[str] = []
    for one in finding.measured:
        lines += [_sentence(one), *_bars(one)]
    return lines


def _sentence(one: Measured) -> str:
    often = f"one in {10**one.worth:,.0f}" if one.worth < 12 else "never before"
    return f"{one.name}: {number(one.value)} came, where {number(one.usual)} are usual ({often}; learned for {_learned(one.learned_h)})"


def _learned(hours: int) -> str:
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"


def _bars(one: Measured) -> Sequence[str]:
    most = max(one.value, one.usual)
    if most <= 0:
        return ()
    return tuple(
        f"  {name:<5} {'█' * round(WIDTH * max(value, 0) / most) or '▏'} {number(value)}"
        for name, value in (("usual", one.usual), ("came", one.value))
    )


def number(value: float) -> str:
    """As people write it."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3g}"
