"""A decision that waited for a person in vain, put before all guards once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from detectors.finding import Scope
from playbooks.action import action_of
from playbooks.decision import DecisionState, Reason, Tier, Unanswered
from playbooks.guards.asking import objection
from playbooks.guards.proposal import Proposal
from playbooks.history import History, outranks
from playbooks.risk import MICROSECONDS

if TYPE_CHECKING:
    from detectors.finding import Finding
    from playbooks.decision import Decision
    from playbooks.incident import Incident
    from playbooks.known import Known
    from playbooks.policy import Policy
    from playbooks.spent import Spent

UNKNOWN_LATER: Final = frozenset({Reason.HELD_SHARE, Reason.HELD_SHARED})
"""Objections that rest on who was about when the finding was made: nobody can ask that again."""


def may_begin_unanswered(decision: Decision) -> bool:
    """Whether anything but lapsing can come of it: removal and ban need a person, whatever a playbook says."""
    return decision.unanswered is Unanswered.DECIDE_AGAIN and decision.tier.rank <= Tier.THROTTLE.rank


def objection_again(
    decision: Decision, finding: Finding, incident: Incident, known: Known, spent: Spent, policy: Policy, *, now: int
) -> str | None:
    """What there is still against it, in a clause; None when nothing.

    The finding counts as old as it was when it was held: waiting is not lateness. `known` is the history of its entity and owner.
    """
    owner = decision.owner
    if decision.reason in UNKNOWN_LATER or decision.scope in {Scope.ADDRESS, Scope.RANGE}:
        return "nobody can say any more who else it would have met"
    if policy.exceptions.until(finding.rule.id, decision.entity, owner, now) is not None:
        return "an exception says that its rule does not apply there"
    if policy.allowances.of(finding, now) is not None:
        return "such a thing there has been marked as benign-known"
    if finding.rule.id in policy.shadowed:
        return "its rule is in shadow"
    history = History(known)
    history.take_up(decision.entity, owner)
    lifted = history.lifted(decision)
    if lifted is not None and not outranks(decision, lifted):
        return "a person has lifted this act"
    proposal = Proposal(
        finding=msgspec.structs.replace(finding, time=finding.time + now - decision.time),
        incident=incident,
        action=action_of(decision),
        mode=decision.mode,
        clock=now,
        spent=spent,
        enforced=history.enforced(decision.entity, owner, finding.time),
    )
    objected = objection(proposal, policy)
    return None if objected is None else objected[1]


def begun_unanswered(decision: Decision, now: int) -> Decision:
    """The decision as it stands when no guard has anything against it any more: in force from now on."""
    said = decision.explanation.partition("; held, because ")[0].rstrip(".")
    return msgspec.structs.replace(
        decision,
        time=now,
        expires=now + decision.duration_s * MICROSECONDS,
        parameters=action_of(decision).parameters_at(now),
        state=DecisionState.ACTIVE,
        reason=Reason.PLAYBOOK,
        explanation=f"{said}; nobody answered in time, and no guard objects any more.",
        answer_by=None,
    )
