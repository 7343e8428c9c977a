"""A detector that finds nothing: it gives the rows of features of each hour to whoever wants to learn from them."""

from __future__ import annotations

from collections.abc import Callable

from detectors.detector import State
from detectors.event import Batch
from detectors.finding import Sighting
from detectors.learned.features import Rows, rows_of
from detectors.learned.hours import NEEDS, Hours, HoursConfig


class Gatherer:
    """`take` is called with each hour once it has ended, in their order."""

    name = "gatherer"
    needs = NEEDS

    def __init__(self, take: Callable[[Rows], None], config: HoursConfig | None = None) -> None:
        self._take = take
        self._hours = Hours(config)

    @property
    def forgotten(self) -> int:
        return self._hours.forgotten

    def observe(self, batch: Batch) -> list[Sighting]:
        self._hours.count(batch)
        for _, index in self._hours.ended(batch):
            self._take(rows_of(self._hours.take(index)))
        return []

    def snapshot(self) -> State:
        return self._hours.snapshot()

    def restore(self, state: State) -> None:
        self._hours.restore(state)
