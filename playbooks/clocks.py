"""The clocks of an incident: until when it is to be acknowledged, answered and resolved, and what of that time has been told."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from detectors.finding import Severity
from playbooks.risk import MICROSECONDS

SHARES: Final = (50, 75, 90, 100)
"""Parts of a clock's time, in percent, after which people are told: three warnings, and the breach."""

BREACH: Final = 100

SUPERSEDED: Final = "system:severity"
"""Who stopped the clocks of an incident that has become more severe."""


class ClockKind(StrEnum):
    """What is owed: that somebody says they have seen it, a first answer, and the end of it."""

    ACKNOWLEDGE = "acknowledge"
    RESPOND = "respond"
    RESOLVE = "resolve"


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """One clock of one episode: the time in which an incident has one severity. Times are microseconds since 1970 UTC.

    `told` is the last share that people were told of, `next` when the following one is due; None where nothing more is to be told.
    `breached` is when time ran out; the clock goes on from there until it is `stopped`.
    """

    incident: str
    episode: Severity
    kind: ClockKind
    begun: int
    due: int
    told: int = 0
    next: int | None
    stopped: int | None = None
    stopped_by: str = ""
    breached: int | None = None

    def at(self, share: int) -> int:
        """When this share of its time is over."""
        return self.begun + (self.due - self.begun) * share // 100

    @property
    def is_met(self) -> bool:
        """Whether it was stopped in time."""
        return self.stopped is not None and self.breached is None


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """Within how many seconds each severity is to be acknowledged, answered and resolved."""

    acknowledge_s: dict[Severity, int]
    respond_s: dict[Severity, int]
    resolve_s: dict[Severity, int]

    def due(self, kind: ClockKind, severity: Severity, begun: int) -> int:
        """When a clock of this kind runs out."""
        seconds: dict[Severity, int] = getattr(self, f"{kind.value}_s")
        return begun + seconds[severity] * MICROSECONDS


def begun(incident: str, severity: Severity, earlier: Sequence[Clock], targets: Targets, now: int) -> list[Clock]:
    """The clocks that an incident's episode begins with; none where it, or one that is more severe, has begun before.

    An undo can lower an incident: it stays in the episode that people were told of until it becomes more severe than it ever was.

    `earlier` are all clocks of the incident. One that was not stopped has the last word on when the new one of its kind runs out:
    that an incident has become worse gives nobody more time.
    """
    if any(clock.episode.rank >= severity.rank for clock in earlier):
        return []
    running = {clock.kind: clock.due for clock in earlier if clock.stopped is None and clock.due > now}
    made = []
    for kind in ClockKind:
        due = min(targets.due(kind, severity, now), running.get(kind, 2**63))
        clock = Clock(incident=incident, episode=severity, kind=kind, begun=now, due=due, next=None)
        made.append(msgspec.structs.replace(clock, next=clock.at(SHARES[0])))
    return made


def latest(clocks: Sequence[Clock]) -> list[Clock]:
    """The clocks of the episode that began last: its severity may be above the incident's, which an undo can lower."""
    if not clocks:
        return []
    episode = max(clocks, key=lambda clock: (clock.begun, clock.episode.rank)).episode
    return [clock for clock in clocks if clock.episode is episode]


def moved_on(clock: Clock, now: int) -> tuple[Clock, list[int]]:
    """The clock as it stands now, and the shares of its time that are over and were not told."""
    if clock.next is None or clock.stopped is not None:
        return clock, []
    over = [share for share in SHARES if share > clock.told and clock.at(share) <= now]
    if not over:
        return clock, []
    left = [share for share in SHARES if share > over[-1]]
    following = clock.at(left[0]) if left else None
    breached = clock.due if over[-1] == BREACH else None
    return msgspec.structs.replace(clock, told=over[-1], next=following, breached=breached), over


def stopped(clock: Clock, now: int, by: str) -> Clock:
    """The clock, stopped by somebody; that it had run out before stays on record though nobody is told any more."""
    if clock.stopped is not None:
        return clock
    breached = clock.due if clock.breached is None and clock.due <= now else clock.breached
    return msgspec.structs.replace(clock, next=None, stopped=now, stopped_by=by, breached=breached)
