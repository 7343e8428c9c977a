"""What people lay down over the API: exemptions and exceptions, the stop of all acts, rules in shadow; each lifted again by a word."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from detectors.event import END_OF_TIME
from detectors.finding import Scope
from monitor.console.access import Refused
from monitor.console.api import shapes
from monitor.console.api.acting import (
    SECONDS_MAX,
    Reason,
    Seconds,
    Value,
    entity_of,
    key_of,
    other_content,
    refusals_told,
)
from monitor.console.api.acts import Exempting, Why
from monitor.console.api.objects import rule_named, standing_named
from monitor.console.api.operation import OBJECT_ERRORS, Api, Call, Operation, Reply
from monitor.holding import open_window, pause, resume, shadow, spare, stopped, unshadow
from monitor.listing import lists
from monitor.listing.wire import wire
from monitor.moments import MICROSECONDS
from monitor.responding.adding import named_entity
from monitor.tokens import Role


class Excepting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which rule and where, for how long, and why."""

    rule: Value
    scope: Scope
    value: Value
    for_s: Seconds
    reason: Reason


class Stopping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, and for how long: without `for_s`, until somebody lifts it."""

    reason: Reason
    for_s: Seconds | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long, and in how many seconds it begins; about whom, or about everything."""

    for_s: Seconds
    in_s: Annotated[int, msgspec.Meta(ge=0, le=SECONDS_MAX)] = 0
    scope: Scope | None = None
    value: Value | None = None
    reason: Reason


def _add_exemption(api: Api, call: Call) -> Reply:
    return _added(api, call, "exemption", None)


def _add_exception(api: Api, call: Call) -> Reply:
    recorded = api.store.rules_starting(call.body.rule)
    if call.body.rule in recorded:  # what detectors measure or learn is in no file
        return _added(api, call, "exception", call.body.rule)
    return _added(api, call, "exception", rule_named(api, call.body.rule, missing=422).id)


def _added(api: Api, call: Call, kind: str, rule: str | None) -> Reply:
    asked: Exempting | Excepting = call.body
    entity, now, key = entity_of(api, asked.scope, asked.value), api.clock(), key_of(call, kind)
    there = next((one for one in api.store.standings(0) if one.id == key), None)
    with refusals_told():
        entity = named_entity(entity) if rule is None else entity
        if there is None:
            expires = now + asked.for_s * MICROSECONDS
            return Reply(
                wire(spare(api.store, entity, call.actor, asked.reason, now, expires=expires, rule=rule, key=key))
            )
    if (there.scope, there.value, there.rule) != (entity.scope.value, entity.value, rule):
        raise other_content(kind)
    return Reply(wire(there), status=200)


def _open_window(api: Api, call: Call) -> Reply:
    asked: Window = call.body
    if (asked.scope is None) != (asked.value is None):
        raise Refused(422, "say whom with scope and value, or leave both out")
    whom = None if asked.scope is None or asked.value is None else entity_of(api, asked.scope, asked.value)
    scope, value = ("", "") if whom is None else (whom.scope.value, whom.value)
    key, now = key_of(call, "window"), api.clock()
    there = next((one for one in api.store.standings(0) if one.id == key), None)
    if there is not None:
        if (there.scope, there.value) != (scope, value):
            raise other_content("window")
        return Reply(wire(there), status=200)
    begins = now + asked.in_s * MICROSECONDS
    expires = begins + asked.for_s * MICROSECONDS
    laid = open_window(
        api.store,
        call.actor,
        asked.reason,
        now,
        begins=begins,
        expires=expires,
        scope=scope,
        value=value,
        key=key,
    )
    return Reply(wire(laid))


def _close_window(api: Api, call: Call) -> Reply:
    laid = standing_named(api, lists.MAINTENANCE, "window", call.path["id"])
    if laid.id not in {one.id for one in api.store.standings(0)}:
        raise Refused(409, f"window {laid.id} is of the configuration; take it out there")
    with refusals_told():
        return Reply(wire(api.store.remove_standing(laid.id, call.actor, call.body.reason, api.clock())))


def _remove(listed: Any, what: str) -> Any:
    def answer(api: Api, call: Call) -> Reply:
        laid = standing_named(api, listed, what, call.path["id"])
        with refusals_told():
            return Reply(wire(api.store.remove_standing(laid.id, call.actor, call.body.reason, api.clock())))

    return answer


def _stop(api: Api, _call: Call) -> Reply:
    laid = stopped(api.store, api.clock())
    return Reply({"stop": None if laid is None else wire(laid)})


def _pause(api: Api, call: Call) -> Reply:
    now = api.clock()
    return Reply(wire(pause(api.store, call.actor, call.body.reason, now, _until(call.body, now))))


def _resume(api: Api, call: Call) -> Reply:
    with refusals_told():
        return Reply(wire(resume(api.store, call.actor, call.body.reason, api.clock())))


def _shadow(api: Api, call: Call) -> Reply:
    rule, now = rule_named(api, call.path["id"]), api.clock()
    with refusals_told():
        return Reply(wire(shadow(api.store, rule.id, call.actor, call.body.reason, now, _until(call.body, now))))


def _unshadow(api: Api, call: Call) -> Reply:
    rule = rule_named(api, call.path["id"])
    with refusals_told():
        return Reply(wire(unshadow(api.store, rule.id, call.actor, call.body.reason, api.clock())))


def _until(asked: Stopping, now: int) -> int:
    return END_OF_TIME if asked.for_s is None else now + asked.for_s * MICROSECONDS


def _word(
    path: str, name: str, summary: str, answer: Any, body: Any, errors: tuple[int, ...], **more: Any
) -> Operation:
    return Operation(
        path, name, Role.RESPONDER, summary, answer, shapes.STANDING, method="POST", body=body, errors=errors, **more
    )


_MADE: Final[dict[str, Any]] = {"keyed": True, "status": 201, "also": (200,)}
_CONTENT: Final = (400, 422)
_SWITCH: Final = (400, 409, 422)
_ONE: Final = (*OBJECT_ERRORS, 422)
_ONE_SWITCH: Final = (*OBJECT_ERRORS, 409, 422)

OPERATIONS: Final = (
    _word(
        "/allowlists",
        "add_exemption",
        "Exempt an entity: what would be done to it is held. `POST /decisions/exempt` lifts what is in force on it, too.",
        _add_exemption,
        Exempting,
        _CONTENT,
        **_MADE,
    ),
    _word(
        "/allowlists/{id}/remove",
        "remove_exemption",
        "End an exemption before its time.",
        _remove(lists.ALLOWLISTS, "exemption"),
        Why,
        _ONE,
    ),
    _word(
        "/exceptions",
        "add_exception",
        "Except an entity from a rule: its findings there are recorded, and lead to nothing.",
        _add_exception,
        Excepting,
        _CONTENT,
        **_MADE,
    ),
    _word(
        "/exceptions/{id}/remove",
        "remove_exception",
        "End an exception before its time.",
        _remove(lists.EXCEPTIONS, "exception"),
        Why,
        _ONE,
    ),
    _word(
        "/maintenance",
        "open_window",
        "Hold acts while work is done: on everything, or on one entity.",
        _open_window,
        Window,
        _CONTENT,
        **_MADE,
    ),
    _word(
        "/maintenance/{id}/remove",
        "close_window",
        "End a window of maintenance before its time.",
        _close_window,
        Why,
        _ONE_SWITCH,
    ),
    Operation(
        "/pause", "show_pause", Role.VIEWER, "The stop that holds all acts now, if there is one.", _stop, shapes.STOP
    ),
    _word(
        "/pause",
        "pause_acts",
        "Stop all acts: what would be put in force is held. What is in force stays. A stop before is replaced.",
        _pause,
        Stopping,
        _CONTENT,
    ),
    _word("/resume", "resume_acts", "Let acts begin again. What was held stays held.", _resume, Why, _SWITCH),
    _word(
        "/rules/{id}/shadow",
        "shadow_rule",
        "Only record what a rule's findings lead to, from now on.",
        _shadow,
        Stopping,
        _ONE_SWITCH,
    ),
    _word("/rules/{id}/unshadow", "unshadow_rule", "Let a rule act again.", _unshadow, Why, _ONE_SWITCH),
)
