"""A person answers a decision that waits: yes, and it is in force from now on; or no, and it never is."""

from __future__ import annotations

import msgspec

from monitor.responding.adding import check_actor, check_reason
from monitor.responding.persons import Person, person_of, short_name
from monitor.responding.placing import Acted, put_in_force
from monitor.responding.protection import check_unprotected
from monitor.responding.refusals import ActRefused, No
from monitor.responding.versions import with_version
from monitor.stores.acting import Acting, ActingRecord
from monitor.stores.entries import moved
from playbooks.action import action_of
from playbooks.decision import Decision, DecisionState, Mode, Reason, Tier
from playbooks.risk import MICROSECONDS
from playbooks.waiting import WAITING, until


def approve(store: ActingRecord, key: str, *, actor: str, reason: str, now: int) -> Acted:
    """Put a decision that waits in force from now on, for as long as it was meant to last.

    A ban needs another person than the one who asked for it; what the machine asked for needs one person. What protects the
    entity has to be lifted first.
    """
    check_reason(reason)
    with store.acting() as acting:
        decision = waiting_one(acting, key, now)
        _check_person(acting, decision, actor)
        check_unprotected(acting, decision.entity, decision.owner, now)
        action = with_version(acting, decision.entity, action_of(decision), now)
        approved = begun(decision, actor, reason, now)
        approved = msgspec.structs.replace(approved, parameters=action.parameters_at(now))
        return put_in_force(acting, decision, approved, "approve", actor, reason, now)


def reject(store: ActingRecord, key: str, *, actor: str, reason: str, now: int) -> Decision:
    """Say no to a decision that waits. The same rule does not ask for the same again while it would have lasted."""
    check_reason(reason)
    with store.acting() as acting:
        decision = waiting_one(acting, key, now)
        check_actor(acting, actor, Tier.OBSERVE)
        rejected, entry = moved("reject", decision, DecisionState.REJECTED, actor, reason, now)
        acting.write([rejected], [entry])
        return rejected


def waiting_one(acting: Acting, key: str, now: int) -> Decision:
    """A decision that can be answered; raises `ActRefused` where there is nothing to answer."""
    decision = acting.decision(key)
    if decision.state not in WAITING:
        is_in_force = decision.state is DecisionState.ACTIVE
        stands = "in force already" if is_in_force else f"{decision.state.value} already"
        raise ActRefused(No.NOT_WAITING, f"decision {decision.id} is {stands}; only what waits can be answered")
    if decision.mode is not Mode.LIVE:
        told = f"decision {decision.id} is of mode {decision.mode.value}: it is only recorded, and never in force"
        raise ActRefused(No.NOT_LIVE, f"{told}; `miniwatch decisions add` acts")
    if until(decision) <= now:
        raise ActRefused(No.TOO_LATE, f"decision {decision.id} waited until its time was over; add it anew")
    return decision


def begun(decision: Decision, actor: str, reason: str, now: int) -> Decision:
    """A decision that waited, as it stands once a person has said yes."""
    said = decision.explanation.partition("; held, because ")[0].rstrip(".")
    return msgspec.structs.replace(
        decision,
        time=now,
        expires=now + decision.duration_s * MICROSECONDS,
        state=DecisionState.ACTIVE,
        reason=Reason.OPERATOR,
        explanation=f"{said}; approved by {short_name(actor)}: {reason.strip().rstrip('.')}.",
        answer_by=None,
    )


def _check_person(acting: Acting, decision: Decision, actor: str) -> None:
    check_actor(acting, actor, decision.tier)
    person, asker = person_of(actor, acting.token), _asker(acting, decision)
    if decision.tier is Tier.BAN and person is not None and asker is not None and asker.is_same(person):
        raise ActRefused(No.SECOND_PERSON, f"{_how_same(asker, person)}: it needs a second person")


def _how_same(asker: Person, person: Person) -> str:
    """Why two who act count as one."""
    if asker.name == person.name:
        return f"{person.name} asked for this ban"
    if asker.name == person.maker:
        return f"{asker.name} asked for this ban, and made the token that {person.name} came with"
    return f"this ban was asked for with a token that {person.name} made"


def _asker(acting: Acting, decision: Decision) -> Person | None:
    """The person who asked for a decision; of what the machine asked for, nobody."""
    return None if decision.origin.startswith("playbook:") else person_of(decision.origin, acting.token)
