"""How much trouble an entity has been lately: a score from 0 to 100 that findings raise and time lowers."""

from __future__ import annotations

import msgspec

from detectors.finding import Entity


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one entity as it stood `at` (microseconds since 1970 UTC); it decays from there."""

    entity: Entity
    score: float
    at: int
