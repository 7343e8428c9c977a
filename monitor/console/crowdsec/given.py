"""What cscli sends to have something decided, read: an alert with decisions in it."""

from __future__ import annotations

from typing import Final

import msgspec

from detectors.finding import Entity, Scope
from monitor.console.access import Refused
from monitor.console.crowdsec.durations import read
from monitor.spool.aside import Body
from playbooks.action import Action

ALERTS_BYTES_MAX: Final = 4 << 20
"""So many bytes a body with alerts may have, as it comes and unpacked."""

ALERTS_MAX: Final = 100
"""Alerts in one request."""

DECISIONS_MAX: Final = 100
"""Decisions in one request."""

TYPES: Final = "captcha, ban, remove, function-ban:FUNCTION, throttle:LIMIT/SECONDS or throttle:LIMIT/SECONDS:API"

NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a body raises that is none, or is not what is expected."""

NOTHING: Final = "only alerts with decisions are taken here, as `cscli decisions add` sends them: what is seen is seen by our own rules"


class GivenDecision(msgspec.Struct):
    """A decision that is asked for."""

    scope: str
    value: str
    type: str
    duration: str
    scenario: str = ""


class GivenAlert(msgspec.Struct):
    """An alert, of which only its decisions matter."""

    decisions: list[GivenDecision] | None = None


def given(body: Body) -> list[GivenDecision]:
    """The decisions of a body. Raises `Refused` for one that has none."""
    try:
        alerts = msgspec.json.decode(body, type=list[GivenAlert])
    except NO_JSON as error:
        raise Refused(400, f"a list of alerts is expected: {error}") from None
    if not alerts or not all(alert.decisions for alert in alerts):
        raise Refused(422, NOTHING)
    found = [decision for alert in alerts for decision in alert.decisions or ()]
    if len(alerts) > ALERTS_MAX or len(found) > DECISIONS_MAX:
        raise Refused(413, f"more than {DECISIONS_MAX} decisions; send them in parts")
    return found


def entity_of(asked: GivenDecision) -> Entity:
    """Whom it is about: `ip` and `range` in any case, other scopes as we write them."""
    name = {"ip": Scope.ADDRESS.value, "range": Scope.RANGE.value}.get(asked.scope.lower(), asked.scope)
    if name not in {scope.value for scope in Scope}:
        raise Refused(422, f"scope {asked.scope[:32]!r} is none of {', '.join(Scope)}")
    return Entity(Scope(name), asked.value)


def action_of(asked: GivenDecision) -> Action:
    """What is to be done. Raises `Refused` for a type that is none, or is not whole."""
    seconds = read(asked.duration)
    if seconds is None or seconds <= 0:
        raise Refused(422, f"duration {asked.duration[:32]!r} is none, such as 4h or 30m")
    kind, _, rest = asked.type.partition(":")
    fields: dict[str, object] = {"type": kind, "duration_s": int(seconds)}
    if kind == "throttle":
        pace, _, target = rest.partition(":")
        limit, _, per_s = pace.partition("/")
        if not (pace.isascii() and limit.isdigit() and per_s.isdigit() and len(pace) < 20):
            raise Refused(422, f"a throttle says how much: one of {TYPES} is expected")
        fields |= {"limit": int(limit), "per_s": int(per_s), **({"target": target} if target else {})}
    elif kind == "function-ban":
        fields |= {"target": rest} if rest else {}
    elif rest or kind not in {"captcha", "ban", "remove"}:
        raise Refused(422, f"type {asked.type[:64]!r} is none of {TYPES}")
    try:
        action: Action = msgspec.convert(fields, Action)
    except (msgspec.ValidationError, ValueError) as error:
        raise Refused(422, f"type {asked.type[:64]!r}: {error}") from None
    return action
