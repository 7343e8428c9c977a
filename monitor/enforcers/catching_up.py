"""Enforcers are told of what was written without telling them: before they were configured, or by a command with another configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from monitor.enforcers import Enforcer
from monitor.enforcers.telling import taste, telling
from monitor.enforcers.topic import Publication, publishing
from monitor.stores.deciding import Tell

LOOK_S: Final = 5.0
"""How soon an enforcer learns of such a change."""


class CatchingUpStore(Protocol):
    """The part of the record in which enforcers catch up."""

    def catch_up(self, channel: str, taste: str, tell: Tell, now: int) -> bool: ...


class CatchingUp:
    """Goes through the changes of decisions behind everybody, for every enforcer, at start and by the clock."""

    def __init__(
        self,
        store: CatchingUpStore,
        enforcers: Sequence[Enforcer],
        clock: Callable[[], int],
        publications: Sequence[Publication] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._enforcers = [
            *((each.channel, taste(each), telling([each], clock)) for each in enforcers),
            *((each.channel, taste(each), publishing([each], clock)) for each in publications),
        ]

    def look(self) -> None:
        """Put what is missing into the outbox."""
        for channel, of_taste, tell in self._enforcers:
            while self._store.catch_up(channel, of_taste, tell, self._clock()):
                pass
