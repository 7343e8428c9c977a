"""How our own telemetry is, gathered as the stream goes by: what the health guard judges."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from playbooks.risk import MICROSECONDS
from playbooks.surroundings import Health

SETTLED_S: Final = 3_600.0
"""How long after a jump the clock counts as off; then it is believed, for it may have been set right."""

STALL_TOLD_S: Final = 60.0
"""How long after the record has answered again a stall still counts."""

LETTERS_S: Final = 600.0
"""The latest lines are those of so many seconds."""

BUCKETS: Final = 10

Array = np.ndarray[Any, Any]


def since_boot_s() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Compares the clock on the wall with one that nobody sets. `now` is the wall's, in microseconds, `running_s` the other's."""

    def __init__(self, now: int, running_s: float, bound_s: float, last_written: int) -> None:
        self._bound_s = bound_s
        self._offset_s = self._between(now, running_s)
        self._jumped_s = 0.0
        self._jumped_at: float | None = None
        self._written = last_written

    def off_s(self, now: int, running_s: float) -> float:
        """How far the clock has jumped, or is behind what was written by it; 0 when it goes as it should."""
        jumped_s = abs(self._between(now, running_s) - self._offset_s)
        if jumped_s > self._bound_s:
            self._offset_s = self._between(now, running_s)
            self._jumped_s, self._jumped_at = max(jumped_s, self._jumped_s), running_s
        if self._jumped_at is not None and running_s - self._jumped_at >= SETTLED_S:
            self._jumped_s, self._jumped_at = 0.0, None
        return max(self._jumped_s, (self._written - now) / MICROSECONDS)

    def written(self, at: int) -> None:
        """Something was written by the clock of the wall."""
        self._written = max(self._written, at)

    @staticmethod
    def _between(now: int, running_s: float) -> float:
        return now / MICROSECONDS - running_s


class LetterShare:
    """The part of the latest lines that could not be read, in buckets of a minute or so."""

    def __init__(self, lines_min: int) -> None:
        self._lines_min = lines_min
        self._buckets: dict[int, tuple[int, int]] = {}

    def add(self, lines: int, letters: int, running_s: float) -> None:
        """So many lines came, of which so many could not be read."""
        bucket = int(running_s * BUCKETS / LETTERS_S)
        before = self._buckets.get(bucket, (0, 0))
        self._buckets[bucket] = (before[0] + lines, before[1] + letters)
        for old in [each for each in self._buckets if each <= bucket - BUCKETS]:
            del self._buckets[old]

    def at(self, running_s: float) -> float:
        """The share; 0 where too few lines came to say."""
        oldest = int(running_s * BUCKETS / LETTERS_S) - BUCKETS
        lately = [counts for bucket, counts in self._buckets.items() if bucket > oldest]
        lines, letters = (sum(count[part] for count in lately) for part in (0, 1))
        return letters / lines if lines and lines >= self._lines_min else 0.0


class Condition:
    """Gathers `Health`. `clock` is the daemon's, `running_s` one that nobody sets; both are read when somebody asks."""

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        clock_off_s: float,
        lines_min: int,
        last_written: int = 0,
        new_rules: Callable[[], dict[str, int]] = dict,
        running_s: Callable[[], float] = since_boot_s,
    ) -> None:
        self._clock = clock
        self._running_s = running_s
        self._new_rules = new_rules
        self._watch = ClockWatch(clock(), running_s(), clock_off_s, last_written)
        self._letters = LetterShare(lines_min)
        self._arrived: int | None = None
        self._stalls: list[tuple[float, float]] = []

    def arrived(self, arrivals: Array) -> None:
        """Events of a turn, by when they arrived: the middle one counts, so that single forged ones do not."""
        if len(arrivals):
            self._arrived = int(np.partition(arrivals, len(arrivals) // 2)[len(arrivals) // 2])

    def looks_away(self) -> None:
        """Another looks at the input from now on: of how late it is nothing more is known here."""
        self._arrived = None

    def read(self, lines: int, letters: int) -> None:
        """Lines of a turn, and how many could not be read."""
        self._letters.add(lines, letters, self._running_s())

    def stalled(self, seconds: float) -> None:
        """The record has answered again, after so long. A short stall does not hide a longer one just before it."""
        longer = [one for one in self._lasting() if one[0] > seconds]
        self._stalls = [*longer, (seconds, self._running_s())]

    def _lasting(self) -> list[tuple[float, float]]:
        """The stalls that still count, the longest first: seconds, and when each ended."""
        now = self._running_s()
        return [one for one in self._stalls if now - one[1] < STALL_TOLD_S]

    def committed(self) -> None:
        """A turn was written by the clock of the wall."""
        self._watch.written(self._clock())

    def health(self) -> Health:
        """How it is now."""
        now, running_s = self._clock(), self._running_s()
        ahead_s = 0.0 if self._arrived is None else (self._arrived - now) / MICROSECONDS
        return Health(
            input_late_s=max(0.0, -ahead_s),
            clock_off_s=max(self._watch.off_s(now, running_s), ahead_s, 0.0),
            store_stalled_s=max((seconds for seconds, _ended in self._lasting()), default=0.0),
            dead_letter_share=self._letters.at(running_s),
            new_rules=self._new_rules(),
        )
