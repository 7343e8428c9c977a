"""How much trouble an entity has been lately: a score from 0 to 100 that findings raise and time lowers."""

from __future__ import annotations

from typing import Final

import msgspec

from detectors.finding import Entity, Finding, Severity

SCORE_MAX: Final = 100.0
MICROSECONDS: Final = 1_000_000


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one entity as it stood `at` (microseconds since 1970 UTC); it decays from there."""

    entity: Entity
    score: float
    at: int


class RiskConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How findings become risk. A finding's weight is its severity's, times its confidence.

    Of the room left below 100, a weight of 25 takes a quarter: two medium findings make 44, four make 68.
    `owner_share` of a weight is also added to the developer who owns the app.
    """

    half_life_s: int = 86_400
    informational: float = 0.0
    low: float = 8.0
    medium: float = 25.0
    high: float = 50.0
    critical: float = 80.0
    owner_share: float = 0.5

    def __post_init__(self) -> None:
        weights = (self.informational, self.low, self.medium, self.high, self.critical)
        if self.half_life_s <= 0:
            raise ValueError(f"half_life_s is {self.half_life_s}; it must be above 0")
        if list(weights) != sorted(weights) or weights[0] < 0 or weights[-1] > SCORE_MAX:
            raise ValueError(f"weights are {weights}; they must lie in 0..100 and not fall as severity rises")
        if not 0 <= self.owner_share <= 1:
            raise ValueError(f"owner_share is {self.owner_share}; it must lie in 0..1")

    def weight(self, finding: Finding) -> float:
        """How much of the room below 100 this finding takes, in percent."""
        by_severity = {
            Severity.INFORMATIONAL: self.informational,
            Severity.LOW: self.low,
            Severity.MEDIUM: self.medium,
            Severity.HIGH: self.high,
            Severity.CRITICAL: self.critical,
        }
        return by_severity[finding.severity] * min(1.0, max(0.0, finding.confidence))


def _fading(elapsed_us: int, half_life_s: int) -> float:
    """What is left of one after this long: a half after each half-life."""
    return float(0.5 ** (elapsed_us / (half_life_s * MICROSECONDS)))


def decay(risk: Risk, at: int, half_life_s: int) -> Risk:
    """The risk as it stands later. A time before `risk.at` changes nothing: a score does not grow by looking back."""
    if at <= risk.at:
        return risk
    return Risk(entity=risk.entity, score=risk.score * _fading(at - risk.at, half_life_s), at=at)


def raise_by(risk: Risk, weight: float, at: int, half_life_s: int) -> Risk:
    """The risk after something of this weight happened `at`.

    What happened before `risk.at` counts as much as would be left of it by then: less than something fresh, and the
    score's time never goes back.
    """
    faded = decay(risk, at, half_life_s)
    added = weight * _fading(max(0, risk.at - at), half_life_s)
    score = faded.score + (SCORE_MAX - faded.score) * added / SCORE_MAX
    return Risk(entity=risk.entity, score=min(SCORE_MAX, score), at=faded.at)
