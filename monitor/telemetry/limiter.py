"""At most so many lines of a kind in a second, and the number of those that were left out."""

from __future__ import annotations

from collections.abc import Callable


class _Second:
    """One kind's current second."""

    __slots__ = ("began", "passed", "suppressed")

    def __init__(self, began: float) -> None:
        self.began = began
        self.passed = 0
        self.suppressed = 0


class Limiter:
    """Counts per kind; kinds are few (they are classes of ours), so what it remembers is bounded."""

    def __init__(self, per_s_max: int, monotonic: Callable[[], float]) -> None:
        self._per_s_max = per_s_max
        self._monotonic = monotonic
        self._seconds: dict[str, _Second] = {}

    def allows(self, kind: str) -> bool:
        """Whether one more may pass now; if not, it is counted."""
        second = self._seconds.get(kind)
        if second is None:
            second = self._seconds[kind] = _Second(self._monotonic())
        if second.passed < self._per_s_max:
            second.passed += 1
            return True
        second.suppressed += 1
        return False

    def ended(self) -> dict[str, int]:
        """What was left out, by kind, in seconds that are over; told once."""
        now = self._monotonic()
        over = [kind for kind, second in self._seconds.items() if now - second.began >= 1]
        return self._end(over)

    def all(self) -> dict[str, int]:
        """What was left out until now, whether or not its second is over; told once."""
        return self._end(list(self._seconds))

    def _end(self, kinds: list[str]) -> dict[str, int]:
        ended = {kind: self._seconds.pop(kind).suppressed for kind in kinds}
        return {kind: suppressed for kind, suppressed in ended.items() if suppressed}
