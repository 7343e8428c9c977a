"""What people lay down against acts: exemptions, the stop switch, windows of maintenance, rules in shadow; each until it ends or is lifted."""

from __future__ import annotations

import secrets
from typing import Protocol

from detectors.event import END_OF_TIME
from detectors.finding import Entity
from monitor.refusal import StoreError
from monitor.responding.adding import named_entity
from monitor.stores import Standing, StandingKind, Store
from monitor.tripping import shadow_id, shadow_of

PAUSE_ID = "pause"
"""There is one stop switch."""


class Holding(Store, Protocol):
    """A record in which standing words can be laid down and lifted."""

    def add_standing(self, standing: Standing) -> None: ...
    def remove_standing(self, key: str, actor: str, reason: str, now: int) -> Standing: ...


class AlreadySo(StoreError):
    """There is nothing to change: it is as it was asked to be."""

    def __init__(self, what: str) -> None:
        super().__init__(what, retryable=False)


def stopped(store: Store, now: int) -> Standing | None:
    """The stop that holds all acts now, if there is one."""
    return next((one for one in store.standings(now) if one.kind is StandingKind.PAUSE), None)


def held_words(store: Store, now: int) -> tuple[str, ...]:
    """Why acts do not begin, for people; nothing where the record does not answer."""
    try:
        stop, shadowed = stopped(store, now), in_shadow(store, now)
    except StoreError:
        return ()
    paused = () if stop is None else (f"acts are paused by {stop.actor}: {stop.reason}",)
    return (*paused, *(f"rule {rule} is in shadow: {laid.reason}" for rule, laid in shadowed.items()))


def pause(store: Holding, actor: str, reason: str, now: int, until: int = END_OF_TIME) -> Standing:
    """Begin no act from now on, whatever is found; a stop that is there already is replaced by this one."""
    added = Standing(
        id=PAUSE_ID,
        kind=StandingKind.PAUSE,
        reason=reason,
        actor=actor,
        created=now,
        expires=until,
    )
    store.add_standing(added)
    return added


def resume(store: Holding, actor: str, reason: str, now: int) -> Standing:
    """Let acts begin again; raises `AlreadySo` when nothing is stopped."""
    if stopped(store, now) is None:
        raise AlreadySo("acts are not paused")
    return store.remove_standing(PAUSE_ID, actor, reason, now)


def open_window(
    store: Holding,
    actor: str,
    reason: str,
    now: int,
    *,
    begins: int,
    expires: int,
    scope: str = "",
    value: str = "",
    key: str | None = None,
) -> Standing:
    """Hold what would be done to an entity, or to anybody, from one time to another. `key` is its id, where it has one."""
    added = Standing(
        id=key or secrets.token_hex(8),
        kind=StandingKind.MAINTENANCE,
        scope=scope,
        value=value,
        reason=reason,
        actor=actor,
        created=now,
        begins=begins,
        expires=expires,
    )
    store.add_standing(added)
    return added


def spare(
    store: Holding,
    entity: Entity,
    actor: str,
    reason: str,
    now: int,
    *,
    expires: int,
    rule: str | None = None,
    key: str | None = None,
) -> Standing:
    """Leave an entity alone until a time, or spare it one rule. What is in force on it stays. `key` is the word's id, where it has one.

    Raises `ActRefused` for an exemption of what nothing is done to.
    """
    entity = named_entity(entity) if rule is None else entity
    added = Standing(
        id=key or secrets.token_hex(8),
        kind=StandingKind.EXEMPTION if rule is None else StandingKind.EXCEPTION,
        scope=entity.scope.value,
        value=entity.value,
        rule=rule,
        reason=reason,
        actor=actor,
        created=now,
        expires=expires,
    )
    store.add_standing(added)
    return added


def in_shadow(store: Store, now: int) -> dict[str, Standing]:
    """The rules whose findings are only recorded, with who moved them and why."""
    return {one.rule or "": one for one in store.standings(now) if one.kind is StandingKind.SHADOW}


def shadow(store: Holding, rule: str, actor: str, reason: str, now: int, until: int = END_OF_TIME) -> Standing:
    """Only record what a rule leads to, from now on; raises `AlreadySo` when that is so."""
    if rule in in_shadow(store, now):
        raise AlreadySo(f"rule {rule} is in shadow already")
    added = shadow_of(rule, reason, actor, now, until)
    store.add_standing(added)
    return added


def unshadow(store: Holding, rule: str, actor: str, reason: str, now: int) -> Standing:
    """Let a rule act again; raises `AlreadySo` when it is not in shadow."""
    if rule not in in_shadow(store, now):
        raise AlreadySo(f"rule {rule} is not in shadow")
    return store.remove_standing(shadow_id(rule), actor, reason, now)
