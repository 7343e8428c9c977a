"""Putting a decision in its place: of each entity, act and target at most one is in force, and at most one waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from monitor.audit import AuditEntry
from monitor.stores.acting import Acting
from monitor.stores.entries import made, moved
from playbooks.decision import Decision, DecisionState, Tier
from playbooks.history import outranks, slot
from playbooks.incident import Incident
from playbooks.risk import MICROSECONDS
from playbooks.waiting import WAITING

RENEWAL_S_MIN: Final = 60
"""The same act again prolongs one that ends so much sooner; what is sent twice within this time is one."""


class Acted(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an act: the decision that stands now, and what gave way to it.

    `changed` is false where the same act stood there already, so that nothing was done.
    """

    decision: Decision
    changed: bool = True
    superseded: tuple[Decision, ...] = ()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What stands where a decision would: the one in force, and what waits."""

    in_force: Decision | None
    waiting: tuple[Decision, ...]


def place_of(acting: Acting, decision: Decision, now: int) -> Place:
    """What else is in the decision's place now."""
    same = [
        other
        for other in acting.standing_on(decision.entity)
        if slot(other) == slot(decision) and other.id != decision.id and other.expires > now
    ]
    return Place(
        in_force=next((other for other in same if other.state is DecisionState.ACTIVE), None),
        waiting=tuple(other for other in same if other.state in WAITING),
    )


def put_in_force(
    acting: Acting, before: Decision | None, decision: Decision, act: str, actor: str, reason: str, now: int
) -> Acted:
    """Have a decision act, in place of whatever stands there; what is higher, tighter or ends later stays.

    Then the question is answered by what is in force, and the decision, where it waited, waits no more.
    """
    place = place_of(acting, decision, now)
    standing = place.in_force
    if standing is not None and not _says_more(decision, standing):
        if before is not None:
            answered, entry = superseded(before, standing, actor, now)
            acting.write([answered], [entry])
        return Acted(decision=standing, changed=False)
    others = place.waiting if standing is None else (standing, *place.waiting)
    gone, entries = _given_way(others, decision, actor, now)
    incidents = _reached(acting, decision)
    acting.write([*gone, decision], [*entries, made(act, before, decision, actor, reason, now)], incidents)
    return Acted(decision=decision, superseded=tuple(gone))


def put_in_queue(acting: Acting, decision: Decision, act: str, actor: str, reason: str, now: int) -> Acted:
    """Have a decision wait for another person; a like one that waits already stays."""
    place = place_of(acting, decision, now)
    for other in (place.in_force, *place.waiting):
        if other is not None and not _says_more(decision, other):
            return Acted(decision=other, changed=False)
    gone, entries = _given_way(place.waiting, decision, actor, now)
    acting.write([*gone, decision], [*entries, made(act, None, decision, actor, reason, now)])
    return Acted(decision=decision, superseded=tuple(gone))


def superseded(decision: Decision, by: Decision, actor: str, now: int) -> tuple[Decision, AuditEntry]:
    """A decision that has given way to another in its place."""
    return moved("supersede", decision, DecisionState.SUPERSEDED, actor, f"{by.id} is in its place", now)


def _given_way(
    others: Sequence[Decision], to: Decision, actor: str, now: int
) -> tuple[list[Decision], list[AuditEntry]]:
    pairs = [superseded(other, to, actor, now) for other in others]
    return [gone for gone, _ in pairs], [entry for _, entry in pairs]


def _says_more(decision: Decision, standing: Decision) -> bool:
    """Whether it takes the place of what stands: a higher, longer or tighter act, or the same for longer by a person's will."""
    later = decision.expires >= standing.expires + RENEWAL_S_MIN * MICROSECONDS
    is_same = _lasting(decision) == _lasting(standing)
    is_renewal = later and is_same and decision.incident is None
    return outranks(decision, standing) or is_renewal


def _lasting(decision: Decision) -> dict[str, int | str]:
    """What it does, but for the times that follow from when it began."""
    return {name: value for name, value in decision.parameters.items() if name != "deadline"}


def _reached(acting: Acting, decision: Decision) -> list[Incident]:
    """The decision's incident, where a higher rung is put in force than any before."""
    incident = acting.incident(decision.incident) if decision.incident is not None else None
    if incident is None or decision.tier.rank <= Tier(incident.tier).rank:
        return []
    return [msgspec.structs.replace(incident, tier=decision.tier.value)]
