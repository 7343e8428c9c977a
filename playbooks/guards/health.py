"""Guards that doubt ourselves: our input, our clock, our record, our newest rules, and the effects of our own acts."""

from __future__ import annotations

import msgspec

from playbooks.bounds import GuardConfig
from playbooks.decision import Mode, Tier
from playbooks.duration import about_text
from playbooks.guards.proposal import Proposal
from playbooks.policy import Policy
from playbooks.risk import MICROSECONDS
from playbooks.surroundings import Health


def unhealthy(proposal: Proposal, policy: Policy) -> str | None:
    """Who sees badly warns, and does no more."""
    if not _is_heavy(proposal):
        return None
    late_s = max(policy.health.input_late_s, (proposal.clock - proposal.finding.time) / MICROSECONDS)
    return ailment(msgspec.structs.replace(policy.health, input_late_s=late_s), policy.guards)


def ailment(health: Health, bounds: GuardConfig) -> str | None:
    """What is wrong with our own telemetry, in a clause; None when it is well."""
    late_s = health.input_late_s
    if health.clock_off_s > bounds.clock_off_s:
        return f"this machine's clock is off by {about_text(health.clock_off_s)}"
    if late_s > bounds.input_late_s:
        return f"the input is {about_text(late_s)} late"
    if health.store_stalled_s > bounds.store_stalled_s:
        return f"the record has stalled for {about_text(health.store_stalled_s)}"
    if health.dead_letter_share > bounds.dead_letter_share:
        return f"{health.dead_letter_share:.0%} of the latest lines could not be read"
    return None


def new_rule(proposal: Proposal, policy: Policy) -> str | None:
    """A rule that came into force only just now has shown nothing yet; the built-in ones are established."""
    since = policy.health.new_rules.get(proposal.finding.rule.id)
    if since is None or not _is_heavy(proposal):
        return None
    age_s = max(0, proposal.clock - since) / MICROSECONDS
    if age_s >= policy.guards.new_rule_s:
        return None
    return f"its rule came into force {about_text(age_s)} ago"


def young_baseline(proposal: Proposal, policy: Policy) -> str | None:
    """What is unusual by what was learned yesterday may be tomorrow's usual."""
    measured = proposal.finding.measured
    if not measured or not _is_heavy(proposal):
        return None
    learned = min(one.learned_h for one in measured)
    if learned >= policy.guards.learned_h:
        return None
    return f"what is usual was learned for {about_text(learned * 3600)} only"


def loop(proposal: Proposal, _policy: Policy) -> str | None:
    """What is only seen while we enforce something may be what our enforcing looks like: it lifts nobody to a higher rung."""
    finding = proposal.finding
    if not _is_heavy(proposal) or finding.proof or finding.kind == "integrity":
        return None
    if finding.rule.id not in proposal.incident.under_act or not proposal.enforced:
        return None
    highest = max(act.tier.rank for act in proposal.enforced)
    again = any((act.type, act.target) == (proposal.action.act, proposal.action.aim) for act in proposal.enforced)
    if proposal.action.tier.rank <= highest and not again:
        return None
    return (
        f"its rule has spoken only while an act is in force ({proposal.enforced[0].type}), and may see what that does"
    )


def _is_heavy(proposal: Proposal) -> bool:
    """Whether something would really happen to somebody, and more than a word to the owner."""
    return proposal.mode is Mode.LIVE and proposal.action.tier.rank > Tier.WARN.rank
