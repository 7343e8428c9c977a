"""Whose events are waited for: a partition that is behind holds up the time of the others, as long as something comes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from monitor.intake import Intake, Piece

BEHIND_S_MAX: Final = 30.0
"""How long a partition whose log has more, and gives nothing, holds up the time of the others."""


class Awaiting:
    """Knows when something came of each partition last."""

    def __init__(self, intakes: Sequence[Intake]) -> None:
        self._intakes = intakes
        self._begun_at = time.monotonic()
        self._came_at: dict[str, float] = {}

    def came(self, pieces: Sequence[Piece]) -> None:
        """These were read just now."""
        self._came_at |= dict.fromkeys((piece.progress.partition for piece in pieces), time.monotonic())

    @property
    def is_any(self) -> bool:
        """Whether a log has more that may come soon."""
        return any(self._is_awaited(intake) for intake in self._intakes)

    def least(self, pieces: Sequence[Piece], watermark: int, lateness: int) -> int | None:
        """How far the least of the other partitions is, in microseconds of event time. One that has nothing more, or gives nothing, does not
        hold time up; of one that has given nothing yet nobody knows how far it is: time stays at `watermark`.
        """
        reading = {piece.progress.partition for piece in pieces}
        clocks = [
            intake.place.clock.clock
            for intake in self._intakes
            if intake.partition not in reading and (intake.has_more or self._is_awaited(intake))
        ]
        return min((watermark if clock is None else clock - lateness for clock in clocks), default=None)

    def _is_awaited(self, intake: Intake) -> bool:
        silent_s = time.monotonic() - self._came_at.get(intake.partition, self._begun_at)
        return silent_s < BEHIND_S_MAX and intake.is_behind
