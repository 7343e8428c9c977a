"""Whose events are waited for: a partition that is behind holds up the time of the others, as long as something comes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from monitor.intake import Intake, Piece

BEHIND_S_MAX: Final = 30.0
"""How long a partition that has more, and gives no event, holds up the time of the others."""

AWAY_S: Final = 5.0
"""A pause between two looks from which on we were away ourselves, as where the record refuses: nobody was silent for that."""


class Awaiting:
    """Knows when an event came of each partition last. A silence begins when it is first asked for."""

    def __init__(self, intakes: Sequence[Intake]) -> None:
        self._intakes = intakes
        self._came_at: dict[str, float] = {}
        self._looked_at = time.monotonic()

    def came(self, pieces: Sequence[Piece]) -> None:
        """These were read just now. Lines that cannot be read are no news: who sends nothing else holds nobody up for long."""
        now = self._look()
        self._came_at |= {piece.progress.partition: now for piece in pieces if piece.frame.height}

    @property
    def is_any(self) -> bool:
        """Whether a log has more that may come soon."""
        now = self._look()
        return any(intake.is_behind and self._is_recent(intake, now) for intake in self._intakes)

    def least(self, pieces: Sequence[Piece], watermark: int, lateness: int) -> int | None:
        """How far the least of the other partitions is, in microseconds of event time. One that has nothing more, or has given no event for
        long, does not hold time up; of one whose log has not given any yet nobody knows how far it is: time stays at `watermark`.
        """
        now = self._look()
        reading = {piece.progress.partition for piece in pieces}
        times = []
        for intake in self._intakes:
            if intake.partition in reading:
                continue
            clock, is_behind = intake.place.clock.clock, intake.is_behind
            if (is_behind or (clock is not None and intake.has_more)) and self._is_recent(intake, now):
                times.append(watermark if clock is None else clock - lateness)
        return min(times, default=None)

    def _look(self) -> float:
        now = time.monotonic()
        away_s, self._looked_at = now - self._looked_at, now
        if away_s > AWAY_S:
            self._came_at = {partition: at + away_s for partition, at in self._came_at.items()}
        return now

    def _is_recent(self, intake: Intake, now: float) -> bool:
        return now - self._came_at.setdefault(intake.partition, now) < BEHIND_S_MAX
