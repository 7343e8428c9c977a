"""Guards that count: too many acts mean that something is wrong with us as likely as with them."""

from __future__ import annotations

from playbooks.decision import Tier
from playbooks.guards.proposal import Proposal
from playbooks.policy import Policy
from playbooks.surroundings import CROWDS


def rule_budget(proposal: Proposal, policy: Policy) -> str | None:
    """One rule that acts on many is more likely poisoned than right."""
    mode, clock, spent, rule = proposal.mode, proposal.clock, proposal.spent, proposal.finding.rule.id
    budget = policy.budget
    if spent.of_rule(mode, rule, clock) >= budget.rule_per_hour:
        return f"the hour's budget of {budget.rule_per_hour:,} acts by one rule is spent"
    bound = _bound(proposal, policy, budget.rule_share)
    if bound is not None and spent.of_rule(mode, rule, clock, CROWDS[proposal.finding.entity.scope]) >= bound:
        return f"one rule acts on no more than {_part(proposal, budget.rule_share)} in an hour"
    return None


def budget(proposal: Proposal, policy: Policy) -> str | None:
    """The hour's acts of one tier, and of all."""
    mode, clock, spent = proposal.mode, proposal.clock, proposal.spent
    tier = proposal.action.tier
    if spent.of_tier(mode, tier, clock) >= policy.budget.per_hour(tier):
        return f"the hour's budget of {policy.budget.per_hour(tier):,} acts of tier {tier} is spent"
    if spent.in_all(mode, clock) >= policy.budget.all_per_hour:
        return f"the hour's budget of {policy.budget.all_per_hour:,} acts in all is spent"
    return None


def share(proposal: Proposal, policy: Policy) -> str | None:
    """The part of all active apps, or people, on which acts of one tier, and of all, begin in an hour."""
    mode, clock, spent, tier = proposal.mode, proposal.clock, proposal.spent, proposal.action.tier
    crowd, budget = CROWDS.get(proposal.finding.entity.scope), policy.budget
    bound = _bound(proposal, policy, budget.tier_share)
    if bound is not None and tier is not Tier.OBSERVE and spent.of_tier(mode, tier, clock, crowd) >= bound:
        return f"acts of tier {tier} begin on no more than {_part(proposal, budget.tier_share)} in an hour"
    bound = _bound(proposal, policy, budget.all_share)
    if bound is not None and spent.in_all(mode, clock, crowd) >= bound:
        return f"acts begin on no more than {_part(proposal, budget.all_share)} in an hour"
    return None


def _bound(proposal: Proposal, policy: Policy, part: float) -> int | None:
    """How many acts a share comes to; None where too few are active, or nobody knows how many."""
    crowd = CROWDS.get(proposal.finding.entity.scope)
    if crowd is None:
        return None
    active = proposal.active.of(crowd)
    return int(active * part) if active and active >= policy.budget.counts_from(crowd) else None


def _part(proposal: Proposal, part: float) -> str:
    crowd = CROWDS[proposal.finding.entity.scope]
    return f"{part:.3g} of the {proposal.active.of(crowd):,} {crowd} that are active"
