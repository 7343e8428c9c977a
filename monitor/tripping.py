"""What follows when a guard speaks of something wrong with us: the rule is moved to shadow, and people are told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from detectors.event import END_OF_TIME
from detectors.finding import Severity
from monitor.alerts import Channel, notices
from monitor.moments import HOUR_US
from monitor.notifiers.notice import Notice
from monitor.stores import Message, Standing, StandingKind
from playbooks.trip import Trip

GUARDS: Final = "system:guards"
"""The actor of what guards do."""


def shadowing(trips: Sequence[Trip]) -> list[Standing]:
    """The words that keep rules in shadow until a person lifts them."""
    return [shadow_of(trip.rule, trip.because, GUARDS, trip.at) for trip in trips if trip.rule is not None]


def shadow_of(rule: str, reason: str, actor: str, now: int, until: int = END_OF_TIME) -> Standing:
    """The word that keeps a rule in shadow."""
    return Standing(
        id=shadow_id(rule),
        kind=StandingKind.SHADOW,
        rule=rule,
        reason=reason,
        actor=actor,
        created=now,
        expires=until,
    )


def shadow_id(rule: str) -> str:
    """There is at most one such word of each rule."""
    return hashlib.sha256(rule.encode()).hexdigest()[:16]


def told(trips: Sequence[Trip], channels: Sequence[Channel]) -> list[Message]:
    """What people are told of tripped guards: of a rule each time, of a budget once in an hour."""
    return [message for trip in trips for message in notices(_notice(trip), channels)]


def _notice(trip: Trip) -> Notice:
    if trip.rule is not None:
        return Notice(
            what="rule-in-shadow",
            key=f"{trip.rule}:{trip.at}",
            severity=Severity.HIGH,
            title=f"Rule {trip.rule} was moved to shadow",
            text=f"What its findings lead to is only recorded from now on, because {trip.because}. Acts that it brought about before stay "
            f"in force. Where the rule is right, lift it: miniwatch rules unshadow {trip.rule} --reason TEXT",
            time=trip.at,
            look=f"miniwatch decisions list --rule {trip.rule}",
        )
    return Notice(
        what="guard-tripped",
        key=f"{trip.reason}:{trip.name}:{trip.at // HOUR_US}",
        severity=Severity.HIGH,
        title=f"Acts of tier {trip.name} are held",
        text=f"Further ones wait for a person, because {trip.because}.",
        time=trip.at,
        look="miniwatch decisions list --state held",
    )
