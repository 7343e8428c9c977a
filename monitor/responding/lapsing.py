"""What becomes of decisions that waited for a person until their time was over: nothing, or where a playbook says so, one more try.

Never removal or ban: those need a person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from detectors.finding import Entity, Scope
from monitor.audit import AuditEntry
from monitor.responding.placing import put_in_force
from monitor.stores.acting import Acting, ActingRecord
from monitor.stores.entries import moved
from playbooks.decision import Decision, DecisionState
from playbooks.known import Known
from playbooks.policy import Policy
from playbooks.reconsider import begun_unanswered, may_begin_unanswered, objection_again
from playbooks.spent import HOUR_US, Spent
from playbooks.waiting import until

ACTOR: Final = "system:held"

ANSWERS_MAX: Final = 1_000
"""Decisions that are settled in one transaction."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """How many lapsed, and how many began."""

    lapsed: int = 0
    began: int = 0


def settle(store: ActingRecord, policy: Callable[[], Policy], now: int) -> Settled:
    """Settle what nobody has answered in time, the longest over first; at most `ANSWERS_MAX` at once.

    Where people lay something down at the same moment, nothing is done: it is to be called again.
    """
    first = store.waiting_decisions(1)
    if not first or until(first[0]) > now:
        return Settled()
    version = store.rulings_version()
    rulings = policy()
    with store.acting() as acting:
        due = acting.unanswered(now, ANSWERS_MAX)
        if not due or acting.rulings != version:
            return Settled()
        recent = acting.recent_decisions(now - HOUR_US) if any(map(may_begin_unanswered, due)) else []
        spent = Spent(recent)
        lapsed: list[tuple[Decision, AuditEntry]] = []
        acted = 0
        for decision in due:
            against = _against(acting, decision, spent, rulings, now)
            if against is None and _begin(acting, decision, spent, now):
                acted += 1
            elif against is not None:
                lapsed.append(moved("lapse", decision, DecisionState.EXPIRED, ACTOR, against, now))
        acting.write([decision for decision, _ in lapsed], [entry for _, entry in lapsed])
        return Settled(lapsed=len(lapsed), began=acted)


def _against(acting: Acting, decision: Decision, spent: Spent, policy: Policy, now: int) -> str | None:
    """Why a decision lapses; None when it may begin."""
    if not may_begin_unanswered(decision):
        return "nobody answered in time"
    finding = acting.finding(decision.finding) if decision.finding is not None else None
    incident = acting.incident(decision.incident) if decision.incident is not None else None
    if finding is None or incident is None:
        return "nobody answered in time, and what it rests on is kept no more"
    owner = None if decision.owner is None else Entity(Scope.DEVELOPER, decision.owner)
    known = Known(decisions=acting.decisions_of([decision.entity, *([owner] if owner is not None else [])]))
    objected = objection_again(decision, finding, incident, known, spent, policy, now=now)
    return None if objected is None else f"nobody answered in time, and still {objected}"


def _begin(acting: Acting, decision: Decision, spent: Spent, now: int) -> bool:
    """Put it in force; where the like is in force already, it waits no more all the same."""
    begun = begun_unanswered(decision, now)
    acted = put_in_force(acting, decision, begun, "decide-again", ACTOR, "nobody answered in time", now)
    if acted.changed:
        spent.add(begun)
    return acted.changed
