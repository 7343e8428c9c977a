"""Which version of an app is demanded, and when what demands it has been followed."""

from __future__ import annotations

from typing import Final

import msgspec

from detectors.finding import Entity, Scope
from monitor.audit import AuditEntry
from monitor.registry import released_version
from monitor.responding.refusals import ActRefused, No
from monitor.stores.acting import Acting, ActingRecord
from monitor.stores.entries import moved
from playbooks.action import Action, ForceUpdate
from playbooks.decision import Act, Decision, DecisionState
from playbooks.versions import LATEST, is_below, is_version

ACTOR: Final = "system:registry"

LOOK_S: Final = 60.0
"""How often is looked whether updates have been followed."""


def with_version(acting: Acting, entity: Entity, action: Action, now: int) -> Action:
    """The act with the version that `latest` means now; raises `ActRefused` where nobody can name one."""
    if not isinstance(action, ForceUpdate):
        return action
    if entity.scope is not Scope.APP:
        raise ActRefused(No.NO_VERSION, f"only an app has versions, and {entity.scope.value} {entity.value} is none")
    if action.version_min != LATEST:
        return action
    released = _released(acting, entity.value, now)
    if released is None or not is_version(released):
        told = f"the registry names no released version of {entity.value} that has an order"
        raise ActRefused(No.NO_VERSION, f"{told}; say which one is meant, such as 2.1.0")
    return msgspec.structs.replace(action, version_min=released)


def end_followed(store: ActingRecord, now: int) -> list[Decision]:
    """End forced updates that have been followed: the registry now calls a version released that is no longer below the one
    demanded, and did not when the decision began.

    Where it did so from the beginning, as of the version `latest`, what is refused are old copies on devices, and time ends it.
    """
    with store.acting() as acting:
        ended = [
            found for one in acting.in_force(Act.FORCE_UPDATE) if (found := _followed(acting, one, now)) is not None
        ]
        if ended:
            acting.write([decision for decision, _ in ended], [entry for _, entry in ended])
        return [decision for decision, _ in ended]


def _followed(acting: Acting, decision: Decision, now: int) -> tuple[Decision, AuditEntry] | None:
    demanded = str(decision.parameters.get("version_min"))
    released, before = (_released(acting, decision.value, at) for at in (now, decision.time))
    if released is None or not is_version(released) or not is_version(demanded) or is_below(released, demanded):
        return None
    if before is not None and not is_below(before, demanded):
        return None
    reason = f"version {released} is released, and {demanded} was demanded"
    return moved("follow", decision, DecisionState.EXPIRED, ACTOR, reason, now)


def _released(acting: Acting, app: str, at: int) -> str | None:
    line = acting.app(app, at)
    return None if line is None else released_version(line.document, at)
