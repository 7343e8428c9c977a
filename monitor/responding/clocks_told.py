"""Tells people on call how much of an incident's time is over, records what ran out, and calls the second channel when nobody answers.

Each share of each clock is told once, in the transaction that notes it. What is told depends on the clock alone, not on when it is looked: a daemon
that was away tells the same as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from monitor.alerts import Channel, clock_alerts, was_unanswered
from monitor.audit import AuditEntry
from monitor.stores import Message
from monitor.stores.acting import Acting, ActingRecord
from monitor.stores.entries import breached
from playbooks.clocks import BREACH, Clock, moved_on

LOOK_S: Final = 1.0
"""How often is looked: so late something is told at most."""

CLOCKS_MAX: Final = 500
"""Clocks that are told of in one transaction."""

ROUNDS_MAX: Final = 20
"""Transactions of one look."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A clock of which a share was told."""

    clock: Clock
    share: int


class ClockWatch:
    """Looks at what is due."""

    def __init__(self, store: ActingRecord, channels: Sequence[Channel], clock: Callable[[], int]) -> None:
        self._store = store
        self._channels = channels
        self._clock = clock

    def look(self) -> list[Told]:
        """Tell all that has come due; gives what was told."""
        found: list[Told] = []
        for _ in range(ROUNDS_MAX):
            now = self._clock()
            if not self._store.has_due_clocks(now):
                break
            with self._store.acting() as acting:
                told = self._tell(acting, now)
            if not told:  # somebody else was first
                break
            found += told
        return found

    def _tell(self, acting: Acting, now: int) -> list[Told]:
        found: list[Told] = []
        messages: list[Message] = []
        entries: list[AuditEntry] = []
        due = acting.due_clocks(now, CLOCKS_MAX)
        moved = [moved_on(clock, now) for clock in due]
        for clock, shares in moved:
            found += [Told(clock=clock, share=share) for share in shares]
            incident = acting.incident(clock.incident)
            if incident is None:
                continue
            episode = [one for one in acting.clocks_of(clock.incident) if one.episode is clock.episode]
            for share in shares:
                unanswered = was_unanswered(episode, clock.at(share))
                messages += clock_alerts(incident, clock, share, self._channels, unanswered=unanswered)
            if BREACH in shares:
                entries.append(breached(clock))
        acting.put_clocks([clock for clock, _ in moved], entries)
        acting.send(sorted(messages, key=lambda message: (message.created, message.key)))
        return found
