"""Tells people on call of decisions that wait for them: those that a person asked for, and those whose time is nearly over.

What a guard held is told with its incident, in the alert. Each decision is told here once of each kind, and all that come up
at a time in one notice. Nobody is reminded of what could not be approved anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from detectors.finding import Severity
from monitor.alerts import Channel, notices
from monitor.counting import counted
from monitor.notifiers.notice import Notice
from monitor.stores.acting import ActingRecord
from playbooks.action import action_of, describe
from playbooks.decision import Decision
from playbooks.incident import NOUNS
from playbooks.risk import MICROSECONDS
from playbooks.waiting import before_approval, until

REMIND_S: Final = 300.0
"""How often is looked: so many notices come at most."""

TOLD_MAX: Final = 10
"""Decisions that a notice names; the others are counted."""

LOOKED_AT_MAX: Final = 10_000
"""Decisions of the queue that are looked at, the most urgent ones."""

SETTLED_US: Final = 10 * MICROSECONDS
"""What is younger may still be on its way into the record: it is told the next time."""

MARK: Final = "held_told_until"


class Reminder:
    """Looks at the queue now and then. How far it has told stands in the record, so that a restart tells nothing twice."""

    def __init__(
        self, store: ActingRecord, channels: Sequence[Channel], before_s: int, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._channels = channels
        self._before = before_s * MICROSECONDS
        self._clock = clock

    def look(self) -> None:
        """Tell what has come up since the last time."""
        now = self._clock() - SETTLED_US
        queue = [one for one in self._store.waiting_decisions(LOOKED_AT_MAX) if until(one) > now]
        if not queue or not self._channels:
            return
        with self._store.acting() as acting:
            told = acting.mark(MARK)
            asked = [one for one in queue if not one.origin.startswith("playbook:") and told < one.time <= now]
            urgent = [one for one in queue if before_approval(one) is None and told < self._reminded_at(one) <= now]
            found = [_notice("decision-asked", "asked for, and need another person", asked, now)] if asked else []
            found += [_notice("decision-unanswered", "lapse soon unless answered", urgent, now)] if urgent else []
            if found:
                acting.send([message for notice in found for message in notices(notice, self._channels)])
                acting.set_mark(MARK, now)

    def _reminded_at(self, decision: Decision) -> int:
        """When a decision is told again: some time before its end, but not before half of its time is over."""
        end = until(decision)
        return end - min(self._before, (end - decision.time) // 2)


def _notice(what: str, how: str, decisions: Sequence[Decision], now: int) -> Notice:
    lines = [_line(decision) for decision in decisions[:TOLD_MAX]]
    if len(decisions) > TOLD_MAX:
        lines.append(f"and {len(decisions) - TOLD_MAX:,} more")
    highest = max(decision.tier.rank for decision in decisions)
    return Notice(
        what=what,
        key=str(now),
        severity=Severity.HIGH if highest > 2 else Severity.MEDIUM,
        title=f"{counted(len(decisions), 'decision')}: {how}",
        text="; ".join(lines),
        time=now,
        look="miniwatch decisions list --waiting",
    )


def _line(decision: Decision) -> str:
    end = f"{datetime.fromtimestamp(until(decision) / MICROSECONDS, UTC):%Y-%m-%d %H:%M} UTC"
    who = f"{NOUNS[decision.scope]} {decision.value[:64]}"
    return f"{decision.id[:12]}: {who} {describe(action_of(decision))} ({decision.reason.value}), until {end}"
