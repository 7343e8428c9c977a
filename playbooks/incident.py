"""Findings about one entity, joined in time: worth a person's attention, with a deadline."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from detectors.finding import Entity, Severity


class IncidentState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Times are microseconds since 1970 UTC. `due` is when a first answer is owed."""

    id: str
    entity: Entity
    owner: str | None = None
    opened: int
    last_finding: int
    due: int
    state: IncidentState = IncidentState.OPEN
    severity: Severity
    risk: float
    tier: str
    findings: int
    rules: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    title: str
