"""What is known before findings are weighed, and what has become of it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from playbooks.decision import UNCOUNTED, Considered, Decision, DecisionState
from playbooks.risk import MICROSECONDS, Risk
from playbooks.surroundings import Active, Behind
from playbooks.trip import Trip

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectors.finding import Entity
    from playbooks.incident import Incident

RECENT_S: Final = 86_400
"""How far back `carry` keeps decisions for the budget; it counts the last hour, findings may be late."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The past that matters to some findings.

    `decisions` are each entity's, newest first; `owners` those about any app of a developer, by the developer's id,
    newest first; `recent` all those of the last hour, of whatever entity, for the budget. Entities that no
    finding names may be left out. `active` is who was about, and `behind` who stood behind an address, each by the finding's id.
    `shadowed` are rules that were moved to shadow, and why.
    """

    risks: Mapping[Entity, Risk] = msgspec.field(default_factory=dict)
    incidents: Mapping[Entity, Incident] = msgspec.field(default_factory=dict)
    decisions: Mapping[Entity, Sequence[Decision]] = msgspec.field(default_factory=dict)
    owners: Mapping[str, Sequence[Decision]] = msgspec.field(default_factory=dict)
    recent: Sequence[Decision] = ()
    active: Mapping[str, Active] = msgspec.field(default_factory=dict)
    behind: Mapping[str, Behind] = msgspec.field(default_factory=dict)
    shadowed: Mapping[str, str] = msgspec.field(default_factory=dict)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What findings have led to: new values of everything they touched, and a word on each finding, in its order.

    `decisions` holds new ones and earlier ones whose state has changed, each once, as it stands in the end.
    `trips` are the guards that spoke of something wrong with us.
    """

    risks: list[Risk] = []
    incidents: list[Incident] = []
    decisions: list[Decision] = []
    considered: list[Considered] = []
    trips: list[Trip] = []


def began(decision: Decision) -> bool:
    """Whether a decision was ever put in force, and not taken back as a mistake: it counts as an earlier act."""
    return decision.has_begun and decision.state is not DecisionState.REVOKED and UNCOUNTED not in decision.labels


def carry(known: Known, outcome: Outcome) -> Known:
    """What is known after an outcome. Costs as much as all that is known: for replay and tests, not for every turn."""
    incidents = dict(known.incidents)
    for incident in outcome.incidents:
        earlier = incidents.get(incident.entity)
        if earlier is None or incident.last_finding >= earlier.last_finding:
            incidents[incident.entity] = incident
    everything = {decision.id: decision for decision in _oldest_first(known.decisions.values())}
    everything |= {decision.id: decision for decision in outcome.decisions}
    decisions: dict[Entity, list[Decision]] = {}
    owners: dict[str, list[Decision]] = {}
    for decision in outcome.decisions:
        decisions[decision.entity] = []
        if decision.owner is not None:
            owners[decision.owner] = []
    recent = {decision.id: decision for decision in (*known.recent, *outcome.decisions)}
    newest = max((decision.time for decision in recent.values()), default=0)
    oldest_first = sorted(everything.values(), key=lambda decision: decision.time)
    for decision in reversed(oldest_first):
        if decision.entity in decisions:
            decisions[decision.entity].append(decision)
        if decision.owner in owners:
            owners[decision.owner].append(decision)
    return Known(
        risks={**known.risks, **{risk.entity: risk for risk in outcome.risks}},
        incidents=incidents,
        decisions={**known.decisions, **decisions},
        owners={**known.owners, **owners},
        recent=[d for d in recent.values() if d.time > newest - RECENT_S * MICROSECONDS],
        active=known.active,
        behind=known.behind,
        shadowed={**known.shadowed, **{trip.rule: trip.because for trip in outcome.trips if trip.rule is not None}},
    )


def _oldest_first(histories: Iterable[Sequence[Decision]]) -> Iterable[Decision]:
    for history in histories:
        yield from reversed(history)
