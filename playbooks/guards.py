"""What may hold a proposed act back, each with its reason: held is a result that a person sees, not a silence."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from detectors.finding import Entity, Finding, Scope
from playbooks.decision import Decision, Mode, Reason, Tier
from playbooks.policy import Policy
from playbooks.risk import MICROSECONDS

if TYPE_CHECKING:
    from playbooks.action import Action
    from playbooks.incident import Incident

HOUR_US: Final = 3600 * MICROSECONDS
STATISTICAL_DURATION_S_MAX: Final = 24 * 3600
"""How long an act may last that rests on statistics alone."""


class Spent:
    """How many acts of each mode and tier began when: what the budget is counted from."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._times: dict[tuple[Mode, Tier], list[int]] = defaultdict(list)
        for decision in decisions:
            self._times[decision.mode, decision.tier].append(decision.time)
        for times in self._times.values():
            times.sort()

    def add(self, decision: Decision) -> None:
        insort(self._times[decision.mode, decision.tier], decision.time)

    def in_hour(self, mode: Mode, tier: Tier, until: int) -> int:
        """Acts that began in the hour that ends with this time."""
        times = self._times.get((mode, tier), [])
        return bisect_right(times, until) - bisect_right(times, until - HOUR_US)


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """An act that a playbook's step asks for, with all that a guard may look at. `clock` is now, or then in replay."""

    finding: Finding
    incident: Incident
    action: Action
    mode: Mode
    clock: int
    spent: Spent


Guard = Callable[[Proposal, Policy], "str | None"]
"""Says in a clause why the act must not be, or None when it may."""


def exempt(proposal: Proposal, policy: Policy) -> str | None:
    """An allow-list or exemption protects the entity, its owner or its network."""
    finding = proposal.finding
    until = policy.exemptions.until(finding.entity, finding.owner, proposal.clock)
    return None if until is None else "an exemption protects it"


def protected(proposal: Proposal, policy: Policy) -> str | None:
    """The registry says that nobody acts on this app, or on this developer's apps, by machine."""
    finding = proposal.finding
    owner = None if finding.owner is None else Entity(Scope.DEVELOPER, finding.owner)
    if finding.entity in policy.protected or owner in policy.protected:
        return "the registry calls it protected"
    return None


def thin_evidence(proposal: Proposal, _policy: Policy) -> str | None:
    """Learned findings alone allow a warning, statistical ones a throttle; removal and more need proof or two kinds."""
    tier, finding, kinds = proposal.action.tier, proposal.finding, set(proposal.incident.kinds)
    if len(kinds) > 1:
        return None
    if kinds == {"learned"} and tier.rank > Tier.WARN.rank:
        return "learned findings alone allow no more than a warning"
    if tier.rank < Tier.REMOVE.rank or finding.kind == "integrity":
        return None
    if kinds == {"statistical"}:
        return "statistical findings alone allow no more than a throttle"
    if not finding.proof:
        return "it needs a rule that is proof, an integrity check or two kinds of detector"
    return None


def second_person(proposal: Proposal, _policy: Policy) -> str | None:
    """A ban is never a machine's decision."""
    return "a ban is never automatic" if proposal.action.tier is Tier.BAN else None


def budget(proposal: Proposal, policy: Policy) -> str | None:
    """Too many acts within the hour mean that something is wrong with us as likely as with them."""
    mode, clock, spent = proposal.mode, proposal.clock, proposal.spent
    tier = proposal.action.tier
    if spent.in_hour(mode, tier, clock) >= policy.budget.per_hour(tier):
        return f"the hour's budget of {policy.budget.per_hour(tier):,} acts of tier {tier} is spent"
    if sum(spent.in_hour(mode, any_tier, clock) for any_tier in Tier) >= policy.budget.all_per_hour:
        return f"the hour's budget of {policy.budget.all_per_hour:,} acts in all is spent"
    return None


GUARDS: Final[tuple[tuple[Reason, Guard], ...]] = (
    (Reason.HELD_EXEMPT, exempt),
    (Reason.HELD_PROTECTED, protected),
    (Reason.HELD_EVIDENCE, thin_evidence),
    (Reason.HELD_APPROVAL, second_person),
    (Reason.HELD_BUDGET, budget),
)
"""All guards in the order in which they are asked; the first that objects gives the reason."""


def objection(proposal: Proposal, policy: Policy) -> tuple[Reason, str] | None:
    """The first guard's objection to an act, or None when it may be put in force."""
    for reason, guard in GUARDS:
        because = guard(proposal, policy)
        if because is not None:
            return reason, because
    return None


def shortened(action: Action, incident: Incident) -> Action:
    """The act, no longer than the evidence allows."""
    alone = set(incident.kinds) == {"statistical"}
    if alone and action.tier is Tier.THROTTLE and action.duration_s > STATISTICAL_DURATION_S_MAX:
        return msgspec.structs.replace(action, duration_s=STATISTICAL_DURATION_S_MAX)
    return action
