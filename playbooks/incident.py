"""Findings about one entity, joined in time: worth a person's attention, with a deadline."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import msgspec

from detectors.finding import Entity, Finding, Scope, Severity
from playbooks.risk import MICROSECONDS

NAMES_MAX: Final = 50
"""Rules and tags named in an incident; findings beyond are counted all the same."""

NOUNS: Final = {
    Scope.APP: "App",
    Scope.DEVELOPER: "Developer",
    Scope.USER: "User",
    Scope.DEVICE: "Device",
    Scope.SESSION: "Session",
    Scope.ADDRESS: "Address",
    Scope.RANGE: "Range",
    Scope.DOMAIN: "Domain",
    Scope.API: "API",
    Scope.ORDER: "Order",
    Scope.MERCHANT: "Merchant",
    Scope.HOST: "Host",
    Scope.DATASET: "Dataset",
}


class IncidentState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Times are microseconds since 1970 UTC. `due` is when a first answer is owed.

    `tier` is the highest rung of what was put in force for it. `kinds` are the kinds of detector that spoke.
    `under_act` are the rules that have spoken only while an act that was not theirs was in force.
    """

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
    kinds: tuple[str, ...] = ()
    under_act: tuple[str, ...] = ()
    title: str


class IncidentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a silence parts two incidents, and within how many seconds each severity is owed a first answer."""

    gap_s: int = 86_400
    critical_due_s: int = 86_400
    high_due_s: int = 3 * 86_400
    medium_due_s: int = 7 * 86_400
    low_due_s: int = 14 * 86_400
    informational_due_s: int = 30 * 86_400

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")

    def due(self, severity: Severity, at: int) -> int:
        """When a first answer is owed to something of this severity that happened `at`."""
        return at + int(getattr(self, f"{severity.value}_due_s")) * MICROSECONDS


def incident_id(entity: Entity, first_finding: str) -> str:
    """The id of an incident: the same first finding about the same entity always opens the same one."""
    text = f"{entity.scope}\x1f{entity.value}\x1f{first_finding}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def belongs(incident: Incident, finding: Finding, gap_s: int) -> bool:
    """Whether a finding about the incident's entity is part of it: no more than the gap before or after."""
    gap = gap_s * MICROSECONDS
    near = incident.opened - gap <= finding.time <= incident.last_finding + gap
    return incident.state is IncidentState.OPEN and near


def open_incident(finding: Finding, risk: float, config: IncidentConfig, *, under_act: bool = False) -> Incident:
    """The incident that a finding opens; `under_act` as in `join`."""
    return Incident(
        id=incident_id(finding.entity, finding.id),
        entity=finding.entity,
        owner=finding.owner,
        opened=finding.time,
        last_finding=finding.time,
        due=config.due(finding.severity, finding.time),
        severity=finding.severity,
        risk=risk,
        tier="observe",
        findings=1,
        rules=(finding.rule.id,),
        tags=finding.tags[:NAMES_MAX],
        kinds=(finding.kind,),
        under_act=(finding.rule.id,) if under_act else (),
        title=_title(finding),
    )


def join(
    incident: Incident, finding: Finding, risk: float, config: IncidentConfig, *, under_act: bool = False
) -> Incident:
    """The incident with one more finding. Severity only rises, the deadline only comes nearer.

    `under_act`: an act that other rules brought about was in force when it was made.
    """
    worse = finding.severity.rank > incident.severity.rank
    return msgspec.structs.replace(
        incident,
        owner=incident.owner or finding.owner,
        opened=min(incident.opened, finding.time),
        last_finding=max(incident.last_finding, finding.time),
        due=min(incident.due, config.due(finding.severity, finding.time)),
        severity=finding.severity if worse else incident.severity,
        risk=risk,
        findings=incident.findings + 1,
        rules=_named(incident.rules, (finding.rule.id,)),
        tags=_named(incident.tags, finding.tags),
        kinds=_named(incident.kinds, (finding.kind,)),
        under_act=_under_act(incident, finding.rule.id, under_act=under_act),
        title=_title(finding) if worse else incident.title,
    )


def _under_act(incident: Incident, rule: str, *, under_act: bool) -> tuple[str, ...]:
    """The rules that have spoken under acts only, with this one's latest word."""
    if not under_act:
        return tuple(name for name in incident.under_act if name != rule)
    is_new = rule not in incident.rules and len(incident.rules) < NAMES_MAX
    return _named(incident.under_act, (rule,)) if is_new else incident.under_act


def _named(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Each name once, in order of appearance, within the bound."""
    new = tuple(name for name in more if name not in known)
    return (known + new)[:NAMES_MAX] if new else known


def _title(finding: Finding) -> str:
    return f"{NOUNS[finding.entity.scope]} {finding.entity.value}: {finding.title}"
