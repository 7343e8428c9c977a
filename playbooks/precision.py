"""How often what is found is right, by what people have said of findings."""

from __future__ import annotations

from math import sqrt
from typing import Final

import msgspec

NORMAL_95: Final = 1.959963984540054
"""How many standard deviations around the middle hold 95 % of a normal distribution."""


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """How many findings people have marked, and as what. What is benign-known was seen rightly: it speaks neither for nor against."""

    true: int = 0
    false: int = 0
    benign_known: int = 0

    @property
    def judged(self) -> int:
        """Findings that speak for or against."""
        return self.true + self.false

    @property
    def marked(self) -> int:
        return self.judged + self.benign_known

    @property
    def share(self) -> float | None:
        """The right ones of those judged, 0 to 1; None where nobody has judged any."""
        return self.true / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Between which shares the precision lies, at 95 %; None where nobody has judged any."""
        return wilson(self.true, self.judged) if self.judged else None

    def __add__(self, other: Precision) -> Precision:
        return Precision(
            true=self.true + other.true,
            false=self.false + other.false,
            benign_known=self.benign_known + other.benign_known,
        )


def wilson(hits: int, of: int, deviations: float = NORMAL_95) -> tuple[float, float]:
    """Wilson's score interval of a share: honest for few, and for all or none of them. `of` is at least 1."""
    share, square = hits / of, deviations * deviations
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = deviations / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if hits == 0 else low), (1.0 if hits == of else high)
