"""What the API does to decisions: each act with its reason, in the audit under the token's name.

The rules, such as the second person for a ban, are those of `monitor.responding`: nothing is decided here.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from detectors.finding import Entity, Scope
from monitor.console.api import shapes
from monitor.console.api.acting import Reason, Seconds, Value, entity_of, key_of, other_content, refusals_told
from monitor.console.api.objects import named
from monitor.console.api.operation import Api, Call, Operation, Reply
from monitor.listing.wire import wire
from monitor.responding.adding import add, checked_entity
from monitor.responding.answering import approve, reject
from monitor.responding.lifting import Lifted, exempt, revoke
from monitor.responding.placing import Acted
from monitor.tokens import Role
from playbooks.action import Action
from playbooks.decision import Decision


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why something is done."""

    reason: Reason


class Addition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to act on, what to do, and why."""

    scope: Scope
    value: Value
    act: Action
    reason: Reason


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a decision is lifted; with `exempt_for_s` its entity is exempt as long, and all else on it is lifted too."""

    reason: Reason
    exempt_for_s: Seconds | None = None


class Exempting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to leave alone, for how long, and why."""

    scope: Scope
    value: Value
    for_s: Seconds
    reason: Reason


def _add(api: Api, call: Call) -> Reply:
    asked: Addition = call.body
    entity, key = entity_of(api, asked.scope, asked.value), key_of(call, "decision")
    with refusals_told():
        acted = add(
            api.store,
            entity,
            asked.act,
            actor=call.actor,
            reason=asked.reason,
            now=api.clock(),
            held=api.held,
            key=key,
        )
    if acted.decision.id == key and not _is_of(acted.decision, entity, asked.act):
        raise other_content("decision")
    return _acted(acted)


def _is_of(decision: Decision, entity: Entity, act: Action) -> bool:
    asked = (act.type, act.aim, act.parameters, act.duration_s)
    is_same = (decision.type, decision.target, decision.parameters, decision.duration_s) == asked
    return is_same and decision.entity == checked_entity(entity)


def _approve(api: Api, call: Call) -> Reply:
    key = named(api, "decision", call.path["id"])
    with refusals_told():
        return _acted(approve(api.store, key, actor=call.actor, reason=call.body.reason, now=api.clock()))


def _reject(api: Api, call: Call) -> Reply:
    key = named(api, "decision", call.path["id"])
    with refusals_told():
        return Reply(wire(reject(api.store, key, actor=call.actor, reason=call.body.reason, now=api.clock())))


def _revoke(api: Api, call: Call) -> Reply:
    asked: Revocation = call.body
    key = named(api, "decision", call.path["id"])
    with refusals_told():
        lifted = revoke(
            api.store,
            key,
            actor=call.actor,
            reason=asked.reason,
            now=api.clock(),
            exempt_for_s=asked.exempt_for_s,
        )
    return _lifted(lifted)


def _exempt(api: Api, call: Call) -> Reply:
    asked: Exempting = call.body
    entity, key = entity_of(api, asked.scope, asked.value), key_of(call, "exemption")
    with refusals_told():
        lifted = exempt(
            api.store,
            entity,
            for_s=asked.for_s,
            actor=call.actor,
            reason=asked.reason,
            now=api.clock(),
            key=key,
        )
    return _lifted(lifted)


def _acted(acted: Acted) -> Reply:
    told = {
        "decision": wire(acted.decision),
        "changed": acted.changed,
        "superseded": [wire(gone) for gone in acted.superseded],
    }
    return Reply(told, status=201 if acted.changed else 200)


def _lifted(lifted: Lifted) -> Reply:
    exemption = None if lifted.exemption is None else wire(lifted.exemption)
    return Reply({"decisions": [wire(one) for one in lifted.decisions], "exemption": exemption})


AGAIN: Final = "Sent again, it is refused with 409, and nothing is done twice."
_ERRORS: Final = (400, 404, 409, 422)


def _act(path: str, name: str, role: Role, summary: str, answer: Any, gives: Any, **more: Any) -> Operation:
    return Operation(path, name, role, summary, answer, gives, method="POST", errors=_ERRORS, **more)


OPERATIONS: Final = (
    _act(
        "/decisions",
        "add_decision",
        Role.RESPONDER,
        "Put an act in force by hand, until its end; a ban waits until another person approves it.",
        _add,
        shapes.ACTED,
        about="What the registry protects, or an exemption, cannot be acted on: lift that first. Where the same act stands "
        "there already, nothing is changed, and the answer is 200 with that one.",
        body=Addition,
        keyed=True,
        status=201,
        also=(200,),
    ),
    _act(
        "/decisions/{id}/approve",
        "approve_decision",
        Role.APPROVER,
        "Put a decision that waits in force from now on; a ban needs another person than the one who asked for it.",
        _approve,
        shapes.ACTED,
        about=f"{AGAIN} Where the same act stands there already, the answer is 200 with that one.",
        body=Why,
        status=201,
        also=(200,),
    ),
    _act(
        "/decisions/{id}/reject",
        "reject_decision",
        Role.APPROVER,
        "Say no to a decision that waits; the same rule does not ask again while it would have lasted.",
        _reject,
        shapes.DECISION,
        about=AGAIN,
        body=Why,
    ),
    _act(
        "/decisions/{id}/revoke",
        "revoke_decision",
        Role.RESPONDER,
        "Lift a decision before its time, or take back one that waits.",
        _revoke,
        shapes.LIFTED,
        about=AGAIN,
        body=Revocation,
    ),
    _act(
        "/decisions/exempt",
        "exempt_entity",
        Role.RESPONDER,
        "Leave an entity alone for some time: what is in force on it is lifted, what waits is refused, nothing new comes.",
        _exempt,
        shapes.LIFTED,
        body=Exempting,
        keyed=True,
    ),
)
