"""A decision: one act on one entity, with its reason; and every way of doing nothing, with the same."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import msgspec

from detectors.finding import Entity, Scope


class Tier(StrEnum):
    """A rung of the ladder."""

    OBSERVE = "observe"
    WARN = "warn"
    THROTTLE = "throttle"
    REMOVE = "remove"
    BAN = "ban"

    @property
    def rank(self) -> int:
        """0 (observe) to 4 (ban)."""
        return _TIER_RANK[self]


_TIER_RANK: Final = {tier: rank for rank, tier in enumerate(Tier)}


class Act(StrEnum):
    """What a decision does."""

    WARN = "warn"
    THROTTLE = "throttle"
    CAPTCHA = "captcha"
    FUNCTION_BAN = "function-ban"
    FORCE_UPDATE = "force-update"
    REMOVE = "remove"
    BAN = "ban"


class Mode(StrEnum):
    """Live decisions are enforced; shadow ones only recorded; replay ones belong to a stream's own past."""

    LIVE = "live"
    SHADOW = "shadow"
    REPLAY = "replay"


class DecisionState(StrEnum):
    PROPOSED = "proposed"
    HELD = "held"
    AWAITING_APPROVAL = "awaiting-approval"
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    REJECTED = "rejected"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Reason(StrEnum):
    """Why an outcome is what it is: the one list, for acting, holding back and doing nothing."""

    PLAYBOOK = "playbook"  # a playbook's step was reached
    OPERATOR = "operator"  # a person decided
    RISK_BELOW_STEP = "risk-below-step"  # nothing: no step of the playbook is reached
    NO_PLAYBOOK = "no-playbook"  # nothing: no playbook speaks of this finding
    ALREADY_DECIDED = "already-decided"  # nothing: the same act is in force
    RULE_EXCEPTED = (
        "rule-excepted"  # nothing: an exception, or a benign-known mark, says that this rule does not apply there
    )
    HELD_EXEMPT = "held-exempt"  # held: an allow-list or exemption protects the entity
    HELD_EVIDENCE = "held-evidence"  # held: removal and more need proof or two kinds of detector
    HELD_APPROVAL = "held-approval"  # held: a ban waits for a second person
    HELD_BUDGET = "held-budget"  # held: too many acts of this kind in the hour
    HELD_VERSION = "held-version"  # held: nobody knows which version could be demanded
    HELD_PROTECTED = "held-protected"  # held: the registry calls the app protected
    HELD_PAUSED = "held-paused"  # held: a person has stopped all acts
    HELD_MAINTENANCE = "held-maintenance"  # held: a window of maintenance is open
    HELD_DURATION = "held-duration"  # held: longer than a machine may decide
    HELD_SHARED = "held-shared"  # held: many people or apps stand behind the address
    HELD_HEALTH = "held-health"  # held: our own telemetry is unhealthy
    HELD_BASELINE = "held-baseline"  # held: what is usual was learned for too short a time
    HELD_NEW_RULE = "held-new-rule"  # held: the rule came into force only just now
    HELD_LOOP = "held-loop"  # held: the findings may be effects of what we enforce
    HELD_RULE_BUDGET = "held-rule-budget"  # held: one rule brings about too much
    HELD_SHARE = "held-share"  # held: too large a part of all active apps or people
    RULE_IN_SHADOW = "rule-in-shadow"  # nothing: the rule was moved to shadow, what it leads to is only recorded
    HELD_UNDO = "held-undo"  # held: it would have been decided without what was undone, and waits for a person
    DISCOUNTED = "discounted"  # nothing: the finding was marked as false or benign-known, or its rule's part was undone


class Unanswered(StrEnum):
    """What becomes of a decision that waits for a person when nobody has answered in time."""

    LAPSE = "lapse"  # nothing is done
    DECIDE_AGAIN = "decide-again"  # all guards are asked once more, and if none objects it is put in force


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One act on one entity. Times are microseconds since 1970 UTC; `expires` is never absent while in force.

    At most one decision is in force per (scope, value, type, target). `answer_by` and `unanswered` are of live ones that
    wait for a person: until when, and what becomes of them when nobody has answered by then.
    """

    id: str
    time: int
    scope: Scope
    value: str
    type: Act
    tier: Tier
    target: str | None = None  # the one API or function meant
    parameters: dict[str, int | str] = msgspec.field(default_factory=dict)
    duration_s: int
    expires: int
    origin: str  # "playbook:NAME", or the person: "operator:NAME", "token:ID (NAME)"
    reason: Reason
    explanation: str  # one sentence for people: what was seen, by which rule, how often
    incident: str | None = None
    finding: str | None = None  # the one that brought it about
    rule: str | None = None  # its rule's id
    mode: Mode
    state: DecisionState
    labels: tuple[str, ...] = ()
    owner: str | None = None  # developer of the app, so that an owner's acts can be counted together
    answer_by: int | None = None
    unanswered: Unanswered = Unanswered.LAPSE

    @property
    def entity(self) -> Entity:
        return Entity(self.scope, self.value)

    @property
    def has_begun(self) -> bool:
        """Whether it is or was in force: what was held may end without ever having begun."""
        return self.reason in _IN_FORCE and (self.state is DecisionState.ACTIVE or self.state in _ENDED)

    def is_in_force(self, now: int) -> bool:
        """Whether it is carried out at a time, in microseconds."""
        return self.state is DecisionState.ACTIVE and self.expires > now


_IN_FORCE: Final = frozenset({Reason.PLAYBOOK, Reason.OPERATOR})
_ENDED: Final = frozenset({DecisionState.EXPIRED, DecisionState.REVOKED, DecisionState.SUPERSEDED})


RELEASED: Final = "released"
"""The label of a decision that was lifted because of what it rested on, not for what its own rule had said."""

UNCOUNTED: Final = "uncounted"
"""The label of a decision that was over when its finding ceased to count: it is no earlier offence."""


def decision_id(incident: str, act: Act, target: str | None, finding: str) -> str:
    """The id of a decision: the same finding in the same incident always proposes the same one."""
    text = "\x1f".join((incident, act, target or "", finding))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one finding: the decision it brought about, held or not, or why there is none.

    `clock` is the time at which it was weighed: the present (mode live), or in a run over the past (mode replay) its own.
    """

    finding: str
    incident: str | None
    decision: str | None
    reason: Reason
    detail: str  # one sentence for people
    clock: int = 0
    mode: Mode = Mode.LIVE
