"""What a refused caller is told: what holds, until when, how to object; nothing of how it was found out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from miniwatch_gateway.decisions import Decision

_ERRORS: Final = {
    "throttle": "limited",
    "captcha": "challenge-required",
    "function-ban": "function-switched-off",
    "force-update": "update-required",
    "remove": "removed",
    "ban": "banned",
}
_WHO: Final = {
    "AppId": "this app",
    "DeveloperId": "apps of this developer",
    "OpenId": "this person",
    "DeviceId": "this device",
    "Ip": "this address",
    "Range": "this network",
    "Domain": "this domain",
}


def told(decision: Decision, appeal: str) -> str:
    """The body of a refusal: JSON in ASCII, on one line, without the two characters that separate things in the maps."""
    content = {
        "error": _ERRORS[decision.type],
        "decision": decision.id,
        "message": _sentence(decision),
        "until": moment(decision.expires),
        "appeal": appeal,
    }
    return json.dumps(content, separators=(",", ":")).replace("|", "\\u007c").replace("^", "\\u005e")


def lowest_version(decision: Decision) -> str:
    """The oldest version that an update leaves in use, as text; empty where it is not said."""
    return str(decision.parameter("version_min") or "")


def moment(milliseconds: int) -> str:
    """RFC 3339, in whole seconds, UTC."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sentence(decision: Decision) -> str:
    who = _WHO[decision.scope]
    what = decision.target or "all calls"
    match decision.type:
        case "throttle":
            limit, per_s = decision.parameter("limit"), decision.parameter("per_s")
            return f"For {who}, {what} may be called {limit} times in {per_s} seconds."
        case "captcha":
            return f"For {who}, the platform asks for proof that a person is there."
        case "function-ban":
            return f"For {who}, {what} is switched off."
        case "force-update":
            return f"Versions of {who} before {lowest_version(decision)} are not served any more."
        case "remove":
            return f"The platform does not serve {who} for now."
        case _:
            return f"The platform has banned {who}."
