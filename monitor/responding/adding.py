"""A person adds a decision; a ban waits until another person agrees."""

from __future__ import annotations

import secrets
from ipaddress import ip_network
from typing import Final

import msgspec

from detectors.finding import Entity, Scope
from monitor.responding.persons import TOKEN, person_of, short_name
from monitor.responding.placing import Acted, put_in_force, put_in_queue
from monitor.responding.protection import check_unprotected, owner_of
from monitor.responding.refusals import ActRefused, No
from monitor.responding.versions import with_version
from monitor.stores.acting import Acting, ActingRecord
from playbooks.action import Action, Bounded, describe
from playbooks.decision import Decision, DecisionState, Mode, Reason, Tier
from playbooks.incident import NOUNS
from playbooks.ladder import ENFORCEABLE
from playbooks.risk import MICROSECONDS
from playbooks.waiting import HeldConfig, asked

VALUE_CHARACTERS_MAX: Final = 512
REASON_CHARACTERS_MAX: Final = 1_000
LABELS_MAX: Final = 20

PREFIX_BITS_MIN: Final = {4: 8, 6: 19}
"""A range is no wider than this: nobody shuts out half of the world by a slip."""


def add(
    store: ActingRecord,
    entity: Entity,
    action: Action,
    *,
    actor: str,
    reason: str,
    now: int,
    held: HeldConfig = HeldConfig(),  # noqa: B008 - frozen
    labels: tuple[str, ...] = (),
    key: str | None = None,
) -> Acted:
    """Put an act in force by a person's word; a ban is only asked for, and waits for another person.

    `key` makes it safe to send again: the same key is the same decision, as it stands now. How long an act lasts is bounded by
    `playbooks.duration.DURATION_S_MAX`.
    """
    check_reason(reason)
    entity = checked_entity(entity)
    with store.acting() as acting:
        check_actor(acting, actor, action.tier)
        known = acting.known(key) if key is not None else None
        if known is not None:
            return Acted(decision=known, changed=False)
        owner = owner_of(acting, entity, now)
        action = with_version(acting, entity, action, now)
        check_unprotected(acting, entity, owner, now)
        decision = _decision(entity, action, owner, actor, reason, now, labels[:LABELS_MAX], key)
        if decision.tier is Tier.BAN:
            return put_in_queue(acting, _asked_for(decision, held), "add", actor, reason, now)
        return put_in_force(acting, None, decision, "add", actor, reason, now)


def check_reason(reason: str) -> None:
    """Raises `ActRefused` where nobody would understand later why something was done."""
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX:
        told = f"say why, in 1 to {REASON_CHARACTERS_MAX:,} characters; it is kept in the audit"
        raise ActRefused(No.NO_REASON, told)


def check_actor(acting: Acting, actor: str, tier: Tier) -> None:
    """Raises `ActRefused` where it is no person who acts; what is nobody's token may act, but has no say in bans."""
    if person_of(actor, acting.token) is not None or (actor.startswith(TOKEN) and tier is not Tier.BAN):
        return
    told = f"{actor} is no person, and only people decide about this"
    advice = "a token that a person made for a person will do (`miniwatch tokens add NAME --role responder`)"
    raise ActRefused(No.NO_PERSON, f"{told}; {advice}")


def checked_entity(entity: Entity) -> Entity:
    """The entity as decisions name it; raises `ActRefused` for what nothing can be done to, and for what is too wide."""
    named = named_entity(entity)
    if named.scope is Scope.RANGE:
        network = ip_network(named.value)
        if network.prefixlen < (least := PREFIX_BITS_MIN[network.version]):
            told = f"{named.value} is wider than /{least}; write several narrower ranges"
            raise ActRefused(No.BAD_ENTITY, told)
    return named


def named_entity(entity: Entity) -> Entity:
    """The entity as exemptions name it, which harm nobody however wide they are; raises `ActRefused` for what nothing is done to."""
    scope, value = entity.scope, entity.value.strip()
    if scope not in ENFORCEABLE:
        words = ", ".join(each.value for each in ENFORCEABLE)
        raise ActRefused(No.BAD_ENTITY, f"nothing can be done to {scope.value}; one of {words} is expected")
    if not 0 < len(value) <= VALUE_CHARACTERS_MAX or not value.isprintable():
        raise ActRefused(No.BAD_ENTITY, f"1 to {VALUE_CHARACTERS_MAX} printable characters say whom")
    if scope in {Scope.ADDRESS, Scope.RANGE}:
        return Entity(scope, _addresses(scope, value))
    return Entity(scope, value)


def _addresses(scope: Scope, value: str) -> str:
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise ActRefused(No.BAD_ENTITY, f"{value!r} is no {'address' if scope is Scope.ADDRESS else 'range'}") from None
    if scope is Scope.RANGE:
        return str(network)
    if network.prefixlen != network.max_prefixlen:
        raise ActRefused(No.BAD_ENTITY, f"{value} is a range; its scope is {Scope.RANGE.value}")
    return str(network.network_address)


def _decision(
    entity: Entity,
    action: Action,
    owner: str | None,
    actor: str,
    reason: str,
    now: int,
    labels: tuple[str, ...],
    key: str | None,
) -> Decision:
    assert isinstance(action, Bounded)  # noqa: S101 - every action is; its bounds were checked when it was made
    told = f"{NOUNS[entity.scope]} {entity.value}: {describe(action)}; decided by {short_name(actor)}: {reason.strip()}"
    return Decision(
        id=key or secrets.token_hex(16),
        time=now,
        scope=entity.scope,
        value=entity.value,
        type=action.type,
        tier=action.tier,
        target=action.aim,
        parameters=action.parameters_at(now),
        duration_s=action.duration_s,
        expires=now + action.duration_s * MICROSECONDS,
        origin=actor,
        reason=Reason.OPERATOR,
        explanation=f"{told.rstrip('.')}.",
        mode=Mode.LIVE,
        state=DecisionState.ACTIVE,
        labels=labels,
        owner=owner,
    )


def _asked_for(decision: Decision, held: HeldConfig) -> Decision:
    """The decision as it waits for another person."""
    waiting = msgspec.structs.replace(
        decision,
        state=DecisionState.AWAITING_APPROVAL,
        reason=Reason.HELD_APPROVAL,
        explanation=f"{decision.explanation[:-1]}; held, because a ban needs a second person.",
    )
    return asked(waiting, held.within_s(decision.tier))
