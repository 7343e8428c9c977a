"""What happens to a decision after it was made: it ends, or a person takes it back or approves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from playbooks.decision import Decision, DecisionState, Reason
from playbooks.risk import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

_OPEN: Final = frozenset(
    {DecisionState.PROPOSED, DecisionState.HELD, DecisionState.AWAITING_APPROVAL, DecisionState.ACTIVE}
)
_WAITING: Final = frozenset({DecisionState.HELD, DecisionState.AWAITING_APPROVAL})
_NOT_BY_APPROVAL: Final = frozenset({Reason.HELD_EXEMPT, Reason.HELD_PROTECTED})


class ReviewError(Exception):
    """A person asked for something that cannot be done to this decision; trying again makes no sense."""


class WrongStateError(ReviewError):
    """The decision is over, or not one that waits."""


class SamePersonError(ReviewError):
    """Who asked for an act may not approve it."""


class StillProtectedError(ReviewError):
    """An exemption or the registry protects the entity: that must be lifted first."""


def expire(decisions: Iterable[Decision], now: int) -> list[Decision]:
    """Those of the decisions that have come to their end, in their new state; also what waited too long for a person."""
    return [
        msgspec.structs.replace(decision, state=DecisionState.EXPIRED)
        for decision in decisions
        if decision.state in _OPEN and decision.expires <= now
    ]


def revoke(decision: Decision, actor: str, reason: str, now: int) -> Decision:
    """Take back a decision that is in force or waits. It ends now, and no longer counts as repetition."""
    if decision.state not in _OPEN or decision.expires <= now:
        raise WrongStateError(f"decision {decision.id} is {decision.state}: there is nothing to take back")
    return _said(decision, f"Taken back by {actor}: {reason}", state=DecisionState.REVOKED)


def approve(decision: Decision, actor: str, reason: str, now: int) -> Decision:
    """Put a decision that waits in force, from now on for its whole duration, in the name of a second person.

    The caller sees to it that what is in force in its place gives way.
    """
    if decision.state not in _WAITING or decision.expires <= now:
        raise WrongStateError(f"decision {decision.id} is {decision.state}: it does not wait for anybody")
    if asked_by(decision) == actor:
        raise SamePersonError(f"{actor} asked for decision {decision.id}; another person must approve it")
    if decision.reason in _NOT_BY_APPROVAL:
        raise StillProtectedError(f"decision {decision.id} is held as {decision.reason}: lift that first")
    return _said(
        decision,
        f"Approved by {actor}: {reason}",
        state=DecisionState.ACTIVE,
        reason=Reason.OPERATOR,
        time=now,
        expires=now + decision.duration_s * MICROSECONDS,
    )


def asked_by(decision: Decision) -> str | None:
    """The person who asked for a decision; None when a playbook did."""
    kind, _, name = decision.origin.partition(":")
    return name if kind == "operator" else None


def _said(decision: Decision, remark: str, **changes: object) -> Decision:
    """The decision, changed, with a remark for people at the end of its explanation."""
    explanation = f"{decision.explanation} {remark.rstrip('.')}."
    return msgspec.structs.replace(decision, explanation=explanation, **changes)
