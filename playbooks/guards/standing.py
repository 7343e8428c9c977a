"""Guards that go by what people have laid down: who is left alone, and when nothing begins."""

from __future__ import annotations

from detectors.finding import Entity, Scope
from playbooks.action import ForceUpdate
from playbooks.decision import Mode
from playbooks.guards.proposal import Proposal
from playbooks.policy import Policy
from playbooks.versions import LATEST


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
    if finding.entity in policy.owners_of_protected:
        return "it owns an app that the registry calls protected"
    return None


def unnamed_version(proposal: Proposal, _policy: Policy) -> str | None:
    """Only an app has versions, and none can be demanded that nobody can name."""
    action = proposal.action
    if not isinstance(action, ForceUpdate):
        return None
    if proposal.finding.entity.scope is not Scope.APP:
        return "only an app has versions"
    return "the registry names no released version" if action.version_min == LATEST else None


def paused(proposal: Proposal, policy: Policy) -> str | None:
    """A person has pulled the stop switch: whatever would be enforced waits."""
    pause = policy.paused
    if proposal.mode is not Mode.LIVE or pause is None or proposal.clock >= pause.expires:
        return None
    return f"{pause.actor} has stopped all acts: {pause.reason.rstrip('.')}"


def in_maintenance(proposal: Proposal, policy: Policy) -> str | None:
    """Work is done on the platform or on this entity, and what is seen meanwhile may be its doing."""
    if proposal.mode is not Mode.LIVE:
        return None
    finding = proposal.finding
    window = policy.maintenance.open_for(finding.entity, finding.owner, proposal.clock)
    return None if window is None else f"there is maintenance: {window.reason.rstrip('.')}"
