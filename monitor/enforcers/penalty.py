"""A decision as the platform's own penalty event, `wxa_punish_event`, with everything that has no place there beside it.

Receivers may rely on these keys: later versions add keys and change none.

- The platform's: ``ToUserName`` (the entity), ``FromUserName`` (``miniwatch``), ``CreateTime`` (when this was written),
  ``MsgType`` (``event``), ``Event``, ``punish_id`` (the decision's id), ``appid`` (empty when the entity is no app),
  ``punish_time`` (when it came into force), ``illegal_reason``, ``illegal_content`` (always empty: evidence may name
  people), ``rule_name``, ``rule_url``, ``adjust_guide_url``, ``event_type``, ``detail`` (a JSON text). Times are seconds
  since 1970 UTC, days are rounded up and never 0, which would be for good.
- ``Event`` is ``wxa_punish_event`` for what is in force and ``wxa_punish_end_event``, which is ours, for what has ended.
- ``miniwatch``: ``schema`` (``"miniwatch.penalty/1"``), ``in_force``, ``state``, ``decision`` (its id), ``scope``,
  ``value``, ``type``, ``tier``, ``target``, ``parameters``, ``begun``, ``expires`` (RFC 3339), ``labels``, ``reason``,
  ``origin``, ``incident``, ``owner``

`event_type` above 100 and their details are ours: the platform has no such penalties.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from monitor.enforcers import Enforcer, begins
from monitor.notifiers.alert import told_text, told_time
from playbooks.decision import Act, Decision

BEGUN: Final = "wxa_punish_event"
ENDED: Final = "wxa_punish_end_event"
SENDER: Final = "miniwatch"

WARNED: Final = 1
FUNCTION_BANNED: Final = 2
DELISTED: Final = 3
BANNED: Final = 4
THROTTLED: Final = 101
CAPTCHA: Final = 102
FORCED_UPDATE: Final = 103

WARNED_OF_FUNCTION_BAN: Final = 2
"""What a warning threatens with: the mildest that the platform knows, since a decision does not name its next step."""

DAY_S: Final = 86_400
_SECOND_US: Final = 1_000_000


def penalty(decision: Decision, enforcer: Enforcer, now: int) -> bytes:
    """The body of the message to an enforcer; `now`, in microseconds, is when it is written."""
    event_type, detail = _detail(decision)
    in_force = begins(decision)
    value = told_text(decision.value)
    told: dict[str, Any] = {
        "ToUserName": value,
        "FromUserName": SENDER,
        "CreateTime": now // _SECOND_US,
        "MsgType": "event",
        "Event": BEGUN if in_force else ENDED,
        "punish_id": decision.id,
        "appid": value if decision.scope == "AppId" else "",
        "punish_time": decision.time // _SECOND_US,
        "illegal_reason": told_text(decision.explanation),
        "illegal_content": [],
        "rule_name": decision.rule or decision.origin,
        "rule_url": enforcer.rule_url,
        "adjust_guide_url": enforcer.guide_url,
        "event_type": event_type,
        "detail": msgspec.json.encode(detail).decode(),
        "miniwatch": _own(decision, in_force=in_force),
    }
    return msgspec.json.encode(told)


def _detail(decision: Decision) -> tuple[int, dict[str, Any]]:
    """The platform's number for an act, and what it says of it."""
    functions = [decision.target] if decision.target is not None else []
    days = max(1, -(-decision.duration_s // DAY_S))
    match decision.type:
        case Act.WARN:
            deadline = decision.expires // _SECOND_US
            warned = {"warned_type": WARNED_OF_FUNCTION_BAN, "warned_function_names": functions, "warned_ban_days": []}
            return WARNED, {**warned, "rectify_deadline": deadline}
        case Act.FUNCTION_BAN:
            return FUNCTION_BANNED, {"banned_function_names": functions, "banned_days": [days]}
        case Act.REMOVE:
            return DELISTED, {"suspended_days": days}
        case Act.BAN:
            return BANNED, {"banned_days": days}
        case Act.THROTTLE:
            return THROTTLED, {"throttled_function_names": functions, **decision.parameters}
        case Act.CAPTCHA:
            return CAPTCHA, {}
        case Act.FORCE_UPDATE:
            return FORCED_UPDATE, dict(decision.parameters)


def _own(decision: Decision, *, in_force: bool) -> dict[str, Any]:
    return {
        "schema": "miniwatch.penalty/1",
        "in_force": in_force,
        "state": decision.state,
        "decision": decision.id,
        "scope": decision.scope,
        "value": told_text(decision.value),
        "type": decision.type,
        "tier": decision.tier,
        "target": decision.target,
        "parameters": decision.parameters,
        "begun": told_time(decision.time),
        "expires": told_time(decision.expires),
        "labels": list(decision.labels),
        "reason": decision.reason,
        "origin": decision.origin,
        "incident": decision.incident,
        "owner": decision.owner,
    }
