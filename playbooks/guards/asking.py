"""All guards, in the order in which they are asked."""

from __future__ import annotations

from typing import Final

from playbooks.decision import Reason
from playbooks.guards.budgets import budget, rule_budget, share
from playbooks.guards.evidence import second_person, shared, thin_evidence, too_long
from playbooks.guards.health import loop, new_rule, unhealthy, young_baseline
from playbooks.guards.proposal import Guard, Proposal
from playbooks.guards.standing import exempt, in_maintenance, paused, protected, unnamed_version
from playbooks.policy import Policy
from playbooks.trip import Trip

GUARDS: Final[tuple[tuple[Reason, Guard], ...]] = (
    (Reason.HELD_EXEMPT, exempt),
    (Reason.HELD_PROTECTED, protected),
    (Reason.HELD_VERSION, unnamed_version),
    (Reason.HELD_PAUSED, paused),
    (Reason.HELD_MAINTENANCE, in_maintenance),
    (Reason.HELD_EVIDENCE, thin_evidence),
    (Reason.HELD_APPROVAL, second_person),
    (Reason.HELD_DURATION, too_long),
    (Reason.HELD_SHARED, shared),
    (Reason.HELD_HEALTH, unhealthy),
    (Reason.HELD_BASELINE, young_baseline),
    (Reason.HELD_NEW_RULE, new_rule),
    (Reason.HELD_LOOP, loop),
    (Reason.HELD_RULE_BUDGET, rule_budget),
    (Reason.HELD_BUDGET, budget),
    (Reason.HELD_SHARE, share),
)
"""The first that objects gives the reason."""

LETS_LOWER_STEP_ACT: Final = frozenset(
    {
        Reason.HELD_EVIDENCE,
        Reason.HELD_APPROVAL,
        Reason.HELD_DURATION,
        Reason.HELD_SHARED,
        Reason.HELD_HEALTH,
        Reason.HELD_BASELINE,
        Reason.HELD_NEW_RULE,
        Reason.HELD_LOOP,
    }
)
"""Objections to how much is done, not to doing anything: where all of a step is held so, the step below acts."""

TELLS_A_PERSON: Final = frozenset(
    {Reason.HELD_HEALTH, Reason.HELD_RULE_BUDGET, Reason.HELD_BUDGET, Reason.HELD_SHARE, Reason.HELD_NEW_RULE}
)
"""Objections that say more about us than about whom they spare."""


def objection(proposal: Proposal, policy: Policy) -> tuple[Reason, str] | None:
    """The first guard's objection to an act, or None when it may be put in force."""
    for reason, guard in GUARDS:
        because = guard(proposal, policy)
        if because is not None:
            return reason, because
    return None


def tripped(proposal: Proposal, policy: Policy, reason: Reason, because: str) -> Trip | None:
    """What people must know beside the held act, if anything. Only what would be enforced trips a guard."""
    if reason not in TELLS_A_PERSON or not proposal.is_live:
        return None
    rule, tier = proposal.finding.rule.id, proposal.action.tier
    if reason is Reason.HELD_NEW_RULE:
        held = proposal.spent.held_as_new(rule, proposal.clock) + 1
        if held <= policy.guards.new_rule_acts:
            return None
        because = f"{because}, and it would have acted {held:,} times"
    of_rule = reason in {Reason.HELD_RULE_BUDGET, Reason.HELD_NEW_RULE}
    return Trip(
        reason=reason,
        name=rule if of_rule else tier.value,
        rule=rule if of_rule else None,
        because=because,
        at=proposal.clock,
    )
