"""A decision in CrowdSec's words.

Its type carries the API or function meant, where there is one (``throttle:getLocation``): CrowdSec's programs know a decision
by scope, value and type, and two that differ in their target alone must not be taken for one. Its scenario is our explanation,
which names rule, playbook and what follows.
"""

from __future__ import annotations

from typing import Final

import msgspec

from monitor.console.crowdsec.durations import written
from monitor.moments import MICROSECONDS
from monitor.stores.record import NumberedDecision
from playbooks.decision import Act, Decision

SCENARIO_CHARACTERS_MAX: Final = 255
OPERATOR: Final = "operator"
"""The origin of what people decided: who it was is no enforcer's business."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as CrowdSec's programs read it; `duration` is what is left of it, negative once it is over."""

    id: int
    uuid: str
    origin: str
    type: str
    scope: str
    value: str
    duration: str
    scenario: str
    simulated: bool = False


def told(of: NumberedDecision, now: int) -> Told:
    """A decision in CrowdSec's words."""
    decision = of.decision
    return Told(
        id=of.number,
        uuid=decision.id,
        origin=origin_of(decision),
        type=type_of(decision),
        scope=decision.scope.value,
        value=decision.value,
        duration=written(_left_s(decision, now)),
        scenario=scenario_of(decision),
    )


def type_of(decision: Decision) -> str:
    """The act, and what it is aimed at."""
    return decision.type.value if decision.target is None else f"{decision.type.value}:{decision.target}"


def origin_of(decision: Decision) -> str:
    """The playbook, or that a person decided."""
    return decision.origin if decision.origin.startswith("playbook:") else OPERATOR


def scenario_of(decision: Decision) -> str:
    """The explanation, on one line and cut where it is too long."""
    text = " ".join(decision.explanation.split())
    return text if len(text) <= SCENARIO_CHARACTERS_MAX else text[: SCENARIO_CHARACTERS_MAX - 1] + "…"


def is_for_enforcers(decision: Decision) -> bool:
    """Whether it was ever in force, and asks for more than a word to somebody: a warning is enforced by nobody."""
    return decision.has_begun and decision.type is not Act.WARN


def key_of(decision: Decision) -> tuple[str, str, str]:
    """What CrowdSec's programs know a decision by."""
    return decision.scope.value, decision.value, type_of(decision)


def _left_s(decision: Decision, now: int) -> int:
    """At least a second while it is in force, at most a second ago once it is not."""
    left = -(-(decision.expires - now) // MICROSECONDS)
    return max(left, 1) if decision.is_in_force(now) else min(left, -1)
