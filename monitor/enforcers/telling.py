"""What leaves for enforcers because decisions have changed, whoever changed them: the one place that makes it of the configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from monitor.config import Config
from monitor.enforcers import Enforcer, Taker, begins, has_ended, slot_of
from monitor.enforcers.penalty import penalty
from monitor.enforcers.topic import Publication, publishing
from monitor.stores import Message
from monitor.stores.deciding import InForce, Tell, nothing
from playbooks.decision import Act, Decision, Tier


def tell_of(config: Config, clock: Callable[[], int]) -> Tell:
    """What the record has to know to tell whom the configuration names; a message has the time of this clock."""
    posted, written = telling(enforcers_of(config), clock), publishing(publications_of(config), clock)
    if not config.topics:
        return posted

    def tell(decisions: Sequence[Decision], in_force: InForce) -> Sequence[Message]:
        return [*posted(decisions, in_force), *written(decisions, in_force)]

    return tell


def telling(enforcers: Sequence[Enforcer], clock: Callable[[], int]) -> Tell:
    """The messages of a change: what comes into force first and what has ended afterwards.

    So an act that a longer one supersedes is never without either of them. All messages about one entity, act and target
    have one line to a receiver, in which none overtakes another.
    """
    if not enforcers:
        return nothing

    def tell(decisions: Sequence[Decision], _in_force: InForce) -> Sequence[Message]:
        changed = [*filter(begins, decisions), *filter(has_ended, decisions)]
        now = clock() if changed else 0
        return [
            _message(decision, enforcer, now)
            for decision in changed
            for enforcer in enforcers
            if enforcer.takes(decision)
        ]

    return tell


def enforcers_of(config: Config) -> tuple[Enforcer, ...]:
    """The enforcers of a configuration."""
    return tuple(
        Enforcer(
            name=keys.name,
            scopes=keys.scopes,
            types=tuple(Act(name) for name in keys.types),
            tiers=tuple(Tier(name) for name in keys.tiers),
            labels=keys.labels,
            rule_url=keys.rule_url,
            guide_url=keys.guide_url,
        )
        for keys in config.enforcers
    )


def publications_of(config: Config) -> tuple[Publication, ...]:
    """The topics of decisions of a configuration."""
    return tuple(
        Publication(
            name=keys.name,
            scopes=keys.scopes,
            types=tuple(Act(name) for name in keys.types),
            tiers=tuple(Tier(name) for name in keys.tiers),
            labels=keys.labels,
        )
        for keys in config.topics
        if keys.of == "decisions"
    )


def taste(enforcer: Taker) -> str:
    """What an enforcer takes, as a digest: when it changes, what is in force must be told again."""
    return hashlib.sha256(msgspec.json.encode(enforcer)).hexdigest()[:32]


def _message(decision: Decision, enforcer: Enforcer, now: int) -> Message:
    return Message(
        key=f"{enforcer.channel}:{decision.id}:{decision.state}:{decision.expires}",
        channel=enforcer.channel,
        body=penalty(decision, enforcer, now),
        created=now,
        line=slot_of(decision).line,
        about=decision.id,
    )
