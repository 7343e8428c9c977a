"""A person lifts what is in force, of one decision or of an entity, and can have it stay lifted until a time."""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from detectors.finding import Entity
from monitor.audit import AuditEntry
from monitor.responding.adding import check_actor, check_reason, named_entity
from monitor.responding.refusals import ActRefused, No
from monitor.stores import Standing, StandingKind
from monitor.stores.acting import Acting, ActingRecord
from monitor.stores.entries import moved
from monitor.stores.record import NOT_ENDED, AlreadyEnded
from playbooks.decision import Decision, DecisionState, Tier
from playbooks.policy import Exemption, Exemptions
from playbooks.risk import MICROSECONDS
from playbooks.waiting import WAITING

EXEMPTION_S_MAX: Final = 366 * 86_400
"""An exemption lasts no longer; what should, is renewed."""


class Lifted(msgspec.Struct, frozen=True, kw_only=True):
    """What was lifted or refused, and the exemption that keeps it so, if there is one."""

    decisions: tuple[Decision, ...]
    exemption: Standing | None = None


def revoke(
    store: ActingRecord, key: str, *, actor: str, reason: str, now: int, exempt_for_s: int | None = None
) -> Lifted:
    """Lift a decision before its time, or take back one that waits. `AlreadyEnded` where there is nothing to lift.

    With `exempt_for_s` its entity is exempt as long: everything else on it is lifted as well, and nothing new comes.
    """
    check_reason(reason)
    with store.acting() as acting:
        check_actor(acting, actor, Tier.OBSERVE)
        decision = acting.decision(key)
        if decision.state not in NOT_ENDED:
            raise AlreadyEnded(decision)
        ended, entry = moved("revoke", decision, DecisionState.REVOKED, actor, reason, now)
        acting.write([ended], [entry])
        if exempt_for_s is None:
            return Lifted(decisions=(ended,))
        lifted = _exempted(acting, decision.entity, exempt_for_s, actor, reason, now)
        return Lifted(decisions=(ended, *lifted.decisions), exemption=lifted.exemption)


def exempt(
    store: ActingRecord, entity: Entity, *, for_s: int, actor: str, reason: str, now: int, key: str | None = None
) -> Lifted:
    """Leave an entity alone for some time: what is in force on it is lifted, what waits is refused, nothing new comes.

    An exemption of a developer is about all their apps, one of a range about its addresses. `key` makes it safe to send again:
    the same key is the same exemption.
    """
    check_reason(reason)
    entity = named_entity(entity)
    with store.acting() as acting:
        check_actor(acting, actor, Tier.OBSERVE)
        known = next((one for one in acting.standings(0) if one.id == key), None)
        if known is None:
            return _exempted(acting, entity, for_s, actor, reason, now, key)
        if (known.scope, known.value) != (entity.scope, entity.value):
            raise ActRefused(No.OTHER_CONTENT, f"this key is that of the exemption of {known.scope} {known.value}")
        return Lifted(decisions=(), exemption=known)


def _exempted(
    acting: Acting, entity: Entity, for_s: int, actor: str, reason: str, now: int, key: str | None = None
) -> Lifted:
    if not 0 < for_s <= EXEMPTION_S_MAX:
        raise ActRefused(No.TOO_LONG, f"an exemption lasts from a second to {EXEMPTION_S_MAX // 86_400} days")
    standing = Standing(
        id=key or secrets.token_hex(8),
        kind=StandingKind.EXEMPTION,
        scope=entity.scope.value,
        value=entity.value,
        reason=reason,
        actor=actor,
        created=now,
        expires=now + for_s * MICROSECONDS,
    )
    about = Exemptions([Exemption(scope=entity.scope, value=entity.value, expires=standing.expires)])
    protected = [one for one in acting.all_standing() if about.until(one.entity, one.owner, now) is not None]
    lifted = [_lifted(decision, actor, reason, now) for decision in protected]
    acting.add_standing(standing)
    acting.write([decision for decision, _ in lifted], [entry for _, entry in lifted])
    return Lifted(decisions=tuple(decision for decision, _ in lifted), exemption=standing)


def _lifted(decision: Decision, actor: str, reason: str, now: int) -> tuple[Decision, AuditEntry]:
    if decision.state in WAITING:
        return moved("reject", decision, DecisionState.REJECTED, actor, reason, now)
    return moved("revoke", decision, DecisionState.REVOKED, actor, reason, now)
