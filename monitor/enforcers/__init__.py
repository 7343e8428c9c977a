"""Who carries decisions out and is told of each by a push: what it takes, and which channel of the outbox leads to it."""

from __future__ import annotations

from typing import Final

import msgspec

from playbooks.decision import Act, Decision, DecisionState, Mode, Tier

CHANNEL: Final = "enforcer"
"""What the names of enforcers' channels begin with."""


class Enforcer(msgspec.Struct, frozen=True, kw_only=True):
    """One enforcer, and which decisions it takes; an empty choice of types, tiers or labels takes all.

    Of `labels`, a decision must have at least one.
    """

    name: str
    scopes: tuple[str, ...] = ("AppId",)
    types: tuple[Act, ...] = ()
    tiers: tuple[Tier, ...] = ()
    labels: tuple[str, ...] = ()
    rule_url: str = ""
    guide_url: str = ""

    @property
    def channel(self) -> str:
        return f"{CHANNEL}:{self.name}"

    def takes(self, decision: Decision) -> bool:
        """Whether a decision is for this enforcer at all, whatever its state."""
        return (
            decision.scope in self.scopes
            and (not self.types or decision.type in self.types)
            and (not self.tiers or decision.tier in self.tiers)
            and (not self.labels or not set(self.labels).isdisjoint(decision.labels))
        )


def begins(decision: Decision) -> bool:
    """Whether a decision is carried out from now on, as it was just written."""
    return decision.mode is Mode.LIVE and decision.state is DecisionState.ACTIVE


def has_ended(decision: Decision) -> bool:
    """Whether a decision is no longer carried out, and was before."""
    return decision.mode is Mode.LIVE and decision.has_begun and decision.state is not DecisionState.ACTIVE
