"""The intakes of a run, and those of partitions that are added to its topics while it follows them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from monitor.config import Config
from monitor.door import PeopleHash
from monitor.intake import Intake
from monitor.intake.opening import Opened, intakes_of
from monitor.telemetry import Telemetry, happenings

LOOK_S: Final = 1.0
"""How often it is looked whether there are more."""


class Intakes:
    """`all` of them, in the order in which they came; who reads them has the same list."""

    def __init__(self, config: Config, people: PeopleHash, telemetry: Telemetry, opened: Opened) -> None:
        self._config, self._people, self._telemetry, self._opened = config, people, telemetry, opened
        self._looked = time.monotonic()
        self.all = intakes_of(config, people, opened.sources, telemetry)
        self._made = list(self.all)

    def grow(self, begin: Callable[[Intake], None]) -> None:
        """Take up what was added, between two turns; `begin` has each go on from where the record says."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        for intake in intakes_of(self._config, self._people, self._opened.added(), self._telemetry):
            self._made.append(intake)
            begin(intake)
            self.all.append(intake)
            self._telemetry.emit(happenings.SourceAdded(source=intake.partition))

    def close(self) -> None:
        """Let go of all sources."""
        for intake in self._made:
            intake.source.close()
