"""The policy under which a turn decided: its playbooks as the control log has them, and the exemptions of its time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from detectors.finding import Scope
from monitor.content.control_log import PLAYBOOKS, Answering
from monitor.rules.lineup import ForeignContent
from monitor.stores import StandingKind
from playbooks.policy import Exemption, Exemptions, Policy

if TYPE_CHECKING:
    from monitor.stores.sql import SqlStore


def policies(store: SqlStore, policy: Policy) -> Callable[[int, int], Policy]:
    """Gives for a turn, and a time in it, the policy with the playbooks and exemptions that were in force then.

    Playbooks that another version of the program wrote down cannot be read again: there the next ones that can stand for them, or
    else the present ones.
    """
    policy = msgspec.structs.replace(policy, shadowed={})
    turns: list[int] = []
    found: list[Policy] = []
    for control in store.controls(PLAYBOOKS):
        try:
            answering = Answering.made_of(store.content(control.digest) or b"")
        except ForeignContent:
            continue
        turns.append(control.turn)
        found.append(msgspec.structs.replace(policy, playbooks=answering.playbooks, trial=answering.trial))
    found = found or [policy]
    standings = [one for one in store.standings(0) if one.kind is StandingKind.EXEMPTION]
    created = [one.created for one in standings]

    @cache
    def made(place: int, exempted: int) -> Policy:
        exemptions = Exemptions(
            Exemption(scope=Scope(one.scope), value=one.value, expires=one.expires) for one in standings[:exempted]
        )
        return msgspec.structs.replace(found[place], exemptions=exemptions)

    def policy_at(turn: int, clock: int) -> Policy:
        return made(max(bisect_right(turns, turn) - 1, 0), bisect_right(created, clock))

    return policy_at
