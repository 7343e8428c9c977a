"""The words in the audit about what was done to decisions."""

from __future__ import annotations

from typing import Final

import msgspec

from monitor.audit import AuditEntry
from monitor.moments import stamp
from playbooks.clocks import Clock, ClockKind
from playbooks.decision import Decision, DecisionState


def whole(decision: Decision | None) -> str:
    """A decision as the audit keeps it; nothing where there was none."""
    return "" if decision is None else msgspec.json.encode(decision).decode()


def made(act: str, before: Decision | None, after: Decision, actor: str, reason: str, now: int) -> AuditEntry:
    """A decision came about, or into force: as it was and as it is, whole."""
    return AuditEntry(
        time=now,
        actor=actor,
        action=f"decision.{act}",
        subject=after.id,
        reason=reason,
        before=whole(before),
        after=whole(after),
    )


def moved(
    act: str, decision: Decision, to: DecisionState, actor: str, reason: str, now: int
) -> tuple[Decision, AuditEntry]:
    """A decision in another state, and the entry that says so."""
    entry = AuditEntry(
        time=now,
        actor=actor,
        action=f"decision.{act}",
        subject=decision.id,
        reason=reason,
        before=decision.state.value,
        after=to.value,
    )
    return msgspec.structs.replace(decision, state=to), entry


ON_CALL: Final = "system:oncall"
"""Who notes that time ran out."""

_DONE: Final = {
    ClockKind.ACKNOWLEDGE: "acknowledged",
    ClockKind.RESPOND: "answered",
    ClockKind.RESOLVE: "closed",
}


def breached(clock: Clock) -> AuditEntry:
    """A clock of an incident ran out: when it did, whenever that is noted."""
    return AuditEntry(
        time=clock.due,
        actor=ON_CALL,
        action="incident.breach",
        subject=clock.incident,
        reason=f"nobody {_DONE[clock.kind]} it in time",
        before=clock.kind.value,
        after=stamp(clock.due),
    )
