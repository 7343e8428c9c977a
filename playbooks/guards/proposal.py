"""What is proposed, with all that a guard may look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from detectors.finding import Finding
from playbooks.action import Action
from playbooks.decision import Decision, Mode
from playbooks.incident import Incident
from playbooks.policy import Policy
from playbooks.spent import Spent
from playbooks.surroundings import Active, Behind


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """An act that a playbook's step asks for. `clock` is now, or then in replay.

    `enforced` are the acts above a warning that were in force on the entity or its owner when the finding was made. `active` is who was about
    then, `behind` who stands behind the address that is meant.
    """

    finding: Finding
    incident: Incident
    action: Action
    mode: Mode
    clock: int
    spent: Spent
    enforced: Sequence[Decision] = ()
    active: Active = Active()
    behind: Behind = Behind()

    @property
    def is_live(self) -> bool:
        """Whether it would be enforced."""
        return self.mode is Mode.LIVE


Guard = Callable[[Proposal, Policy], "str | None"]
"""Says in a clause why the act must not be, or None when it may."""
