"""Guards of what evidence and a machine's word are worth: how high, how long, and on how many behind one address."""

from __future__ import annotations

from typing import Final

import msgspec

from detectors.finding import Scope
from playbooks.action import Action
from playbooks.decision import Act, Tier
from playbooks.duration import duration_text
from playbooks.guards.proposal import Proposal
from playbooks.incident import Incident
from playbooks.policy import Policy

STATISTICAL_DURATION_S_MAX: Final = 24 * 3600
"""How long an act may last that rests on statistics alone."""


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


def too_long(proposal: Proposal, policy: Policy) -> str | None:
    """What has no end in sight is a person's decision."""
    longest = policy.guards.duration_s
    if proposal.action.duration_s <= longest:
        return None
    return f"a machine decides for {duration_text(longest)} at most"


def shared(proposal: Proposal, policy: Policy) -> str | None:
    """Who blocks an address that many share blocks the many; a throttle of it may be short."""
    action, entity, bounds = proposal.action, proposal.finding.entity, policy.guards
    if entity.scope not in {Scope.ADDRESS, Scope.RANGE} or action.tier.rank < Tier.THROTTLE.rank:
        return None
    behind = proposal.behind
    if behind.people < bounds.shared_people and behind.apps < bounds.shared_apps:
        return None
    is_mild = action.act in {Act.THROTTLE, Act.CAPTCHA}
    if is_mild and action.duration_s <= bounds.shared_throttle_s:
        return None
    return f"many share it: about {behind.people:,} people and {behind.apps:,} apps were seen behind it"


def shortened(action: Action, incident: Incident) -> Action:
    """The act, no longer than the evidence allows."""
    alone = set(incident.kinds) == {"statistical"}
    if alone and action.tier is Tier.THROTTLE and action.duration_s > STATISTICAL_DURATION_S_MAX:
        return msgspec.structs.replace(action, duration_s=STATISTICAL_DURATION_S_MAX)
    return action
