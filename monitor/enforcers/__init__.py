"""Who carries decisions out and is told of each by a push: what it takes, and which channel of the outbox leads to it."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import msgspec

from detectors.finding import Entity, Scope
from playbooks.decision import Act, Decision, DecisionState, Mode, Tier

CHANNEL: Final = "enforcer"
"""What the names of enforcers' channels begin with."""


class Taker(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told of decisions, and which of them; an empty choice takes all.

    Of `labels`, a decision must have at least one.
    """

    name: str
    scopes: tuple[str, ...] = ()
    types: tuple[Act, ...] = ()
    tiers: tuple[Tier, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def channel(self) -> str:
        """The channel of the outbox that leads to it."""
        raise AssertionError("each kind has channels of its own")

    def takes(self, decision: Decision) -> bool:
        """Whether a decision is for this one at all, whatever its state."""
        return (
            (not self.scopes or decision.scope in self.scopes)
            and (not self.types or decision.type in self.types)
            and (not self.tiers or decision.tier in self.tiers)
            and (not self.labels or not set(self.labels).isdisjoint(decision.labels))
        )


class Enforcer(Taker, frozen=True, kw_only=True):
    """One enforcer that is told over HTTP."""

    scopes: tuple[str, ...] = ("AppId",)
    rule_url: str = ""
    guide_url: str = ""

    @property
    def channel(self) -> str:
        return f"{CHANNEL}:{self.name}"


class Slot(NamedTuple):
    """What at most one live decision is about at a time."""

    scope: Scope
    value: str
    type: Act
    target: str | None

    @property
    def entity(self) -> Entity:
        return Entity(self.scope, self.value)

    @property
    def line(self) -> str:
        """The line in which messages stand about all decisions that can supersede or be superseded by one another."""
        text = "\x1f".join((self.scope, self.value, self.type, self.target or ""))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def slot_of(decision: Decision) -> Slot:
    """The slot that a decision takes."""
    return Slot(decision.scope, decision.value, decision.type, decision.target)


def begins(decision: Decision) -> bool:
    """Whether a decision is carried out from now on, as it was just written."""
    return decision.mode is Mode.LIVE and decision.state is DecisionState.ACTIVE


def has_ended(decision: Decision) -> bool:
    """Whether a decision is no longer carried out, and was before."""
    return decision.mode is Mode.LIVE and decision.has_begun and decision.state is not DecisionState.ACTIVE
