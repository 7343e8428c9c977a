"""Archive folders whose events nobody brings to the search: noticed by whoever brings findings there, told where it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from monitor.stores.indexed import Unattended
from monitor.telemetry import Telemetry
from monitor.telemetry.searching import SearchUnattended, SearchUnattendedLag

UNATTENDED_S: Final = 300.0
"""How long events may have nobody who indexes them before it is told."""


def folder_told(one: Unattended) -> str:
    """An archive folder, for people: where it was last seen."""
    return f"{one.host}:{one.path}" if one.host else "that nobody has said is his"


@dataclass(slots=True)
class UnattendedWatch:
    """Remembers since when each folder has been seen so."""

    telemetry: Telemetry
    after_s: float = UNATTENDED_S
    _since: dict[str, float] = field(default_factory=dict)
    _found: dict[str, Unattended] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def look(self, found: Sequence[Unattended], now: float) -> None:
        """Take note of what is so now, by a clock that only goes forward; in seconds."""
        self._found = {one.folder: one for one in found}
        self._since = {name: self._since.get(name, now) for name in self._found}
        self._told &= self._found.keys()
        self.telemetry.emit(SearchUnattendedLag(documents=sum(one.events for one in found)))
        for one in self.lasting(now):
            if one.folder not in self._told:
                self._told.add(one.folder)
                self.telemetry.emit(SearchUnattended(folder=folder_told(one), documents=one.events))

    def lasting(self, now: float) -> tuple[Unattended, ...]:
        """Those that have been so for long."""
        since = dict(self._since)
        return tuple(one for name, one in list(self._found.items()) if now - since.get(name, now) >= self.after_s)
