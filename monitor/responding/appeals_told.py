"""Tells people on call of appeals: those that were filed, and those whose time is nearly over. Each once of each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from detectors.finding import Severity
from monitor.alerts import Channel, notices
from monitor.counting import counted
from monitor.notifiers.notice import Notice
from monitor.responding.reminding import LOOKED_AT_MAX, SETTLED_US, TOLD_MAX
from monitor.stores.acting import ActingRecord
from monitor.stores.appeals import Appeal
from playbooks.risk import MICROSECONDS

MARK: Final = "appeals_told_until"


class AppealReminder:
    """Looks at open appeals now and then. How far it has told stands in the record, so that a restart tells nothing twice."""

    def __init__(
        self, store: ActingRecord, channels: Sequence[Channel], before_s: int, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._channels = channels
        self._before = before_s * MICROSECONDS
        self._clock = clock

    def look(self) -> None:
        """Tell what has come up since the last time."""
        if not self._channels:
            return
        now = self._clock() - SETTLED_US
        with self._store.acting() as acting:
            told, appeals = acting.mark(MARK), acting.open_appeals(LOOKED_AT_MAX)
            new = [one for one in appeals if told < one.filed <= now]
            urgent = [one for one in appeals if told < self._reminded_at(one) <= now]
            found = [_notice("appeal-filed", "filed", new, now)] if new else []
            found += [_notice("appeal-unanswered", "to be answered soon", urgent, now)] if urgent else []
            if found:
                acting.send([message for notice in found for message in notices(notice, self._channels)])
                acting.set_mark(MARK, now)

    def _reminded_at(self, appeal: Appeal) -> int:
        return appeal.answer_by - min(self._before, (appeal.answer_by - appeal.filed) // 2)


def _notice(what: str, how: str, appeals: Sequence[Appeal], now: int) -> Notice:
    lines = [_line(appeal) for appeal in appeals[:TOLD_MAX]]
    if len(appeals) > TOLD_MAX:
        lines.append(f"and {len(appeals) - TOLD_MAX:,} more")
    return Notice(
        what=what,
        key=str(now),
        severity=Severity.MEDIUM,
        title=f"{counted(len(appeals), 'appeal')}: {how}",
        text="; ".join(lines),
        time=now,
        look="miniwatch appeals list",
    )


def _line(appeal: Appeal) -> str:
    end = f"{datetime.fromtimestamp(appeal.answer_by / MICROSECONDS, UTC):%Y-%m-%d %H:%M} UTC"
    return f"{appeal.id[:12]}: {appeal.appellant[:64]} against decision {appeal.decision[:12]}, to be answered by {end}"
