"""Whether anything may be done to an entity at all: not while the registry protects it, nor while an exemption stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from detectors.finding import Entity, Scope
from monitor.responding.refusals import ActRefused, No
from monitor.stores import StandingKind
from monitor.stores.acting import Acting
from playbooks.incident import NOUNS
from playbooks.policy import Exemption, Exemptions

SECOND_US: Final = 1_000_000


class _Line(msgspec.Struct, frozen=True):
    """Of a registry line what matters here."""

    developer_id: str | None = None
    protected: bool | None = None


def check_unprotected(acting: Acting, entity: Entity, owner: str | None, now: int) -> None:
    """Raises `ActRefused` where the entity, its developer or its network is protected or exempt."""
    called = f"{NOUNS[entity.scope].lower()} {entity.value}"
    protected = _protected_app(acting, entity, now)
    if protected is not None:
        why = called if protected == entity.value else f"app {protected} of {called}"
        lift = "import a line of the registry that does not say so, then act"
        raise ActRefused(No.PROTECTED, f"the registry calls {why} protected, so nothing is done to it; {lift}")
    for standing in acting.standings(now):
        if standing.kind is StandingKind.EXEMPTION and _is_about(standing.scope, standing.value, entity, owner):
            ends = f"{datetime.fromtimestamp(standing.expires / SECOND_US, UTC):%Y-%m-%d %H:%M} UTC"
            by = f"{standing.actor} ({standing.reason})"
            lift = f"`miniwatch allowlists remove {standing.id}` lifts it"
            raise ActRefused(No.EXEMPT, f"an exemption by {by} protects {called} until {ends}; {lift}")


def owner_of(acting: Acting, entity: Entity, now: int) -> str | None:
    """The developer behind an entity, as far as the registry knows."""
    if entity.scope is Scope.DEVELOPER:
        return entity.value
    line = _line(acting, entity.value, now) if entity.scope is Scope.APP else None
    return None if line is None else line.developer_id


def _is_about(scope: str, value: str, entity: Entity, owner: str | None) -> bool:
    exemption = Exemption(scope=Scope(scope), value=value, expires=1)
    return Exemptions([exemption]).until(entity, owner, 0) is not None


def _protected_app(acting: Acting, entity: Entity, now: int) -> str | None:
    if entity.scope is Scope.DEVELOPER:
        return acting.protected_app_of(entity.value, now)
    line = _line(acting, entity.value, now) if entity.scope is Scope.APP else None
    return entity.value if line is not None and line.protected else None


def _line(acting: Acting, app: str, now: int) -> _Line | None:
    record = acting.app(app, now)
    return None if record is None else msgspec.json.decode(record.document, type=_Line)
