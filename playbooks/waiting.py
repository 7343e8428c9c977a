"""How long a decision waits for a person's answer, and which of those that wait is the most urgent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from playbooks.decision import DecisionState, Reason, Tier
from playbooks.risk import MICROSECONDS

if TYPE_CHECKING:
    from playbooks.decision import Decision

WAITING: Final = frozenset({DecisionState.HELD, DecisionState.AWAITING_APPROVAL})
"""States in which a decision does nothing and a person may answer it."""

BEFORE_APPROVAL: Final = {
    Reason.HELD_EXEMPT: "lift the exemption that protects it",
    Reason.HELD_PROTECTED: "lift its protection: import a line of the registry without it",
    Reason.HELD_VERSION: "import a line of the registry that names a released version, which only an app has",
}
"""Of what was held so, what has to be done before a person can say yes: until then that is refused."""


class HeldConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Within how many seconds a person may answer what was held, by its tier. A playbook's step may say its own."""

    warn_s: int = 86_400
    throttle_s: int = 86_400
    remove_s: int = 3 * 86_400
    ban_s: int = 7 * 86_400

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")

    def within_s(self, tier: Tier) -> int:
        """How long an act of this tier waits."""
        return self.warn_s if tier is Tier.OBSERVE else int(getattr(self, f"{tier.value}_s"))


def asked(decision: Decision, within_s: int) -> Decision:
    """A decision that waits from its time on: so long, and no longer than it would have lasted."""
    return msgspec.structs.replace(decision, answer_by=min(decision.time + within_s * MICROSECONDS, decision.expires))


def until(decision: Decision) -> int:
    """Until when a decision that waits can be answered."""
    return decision.expires if decision.answer_by is None else decision.answer_by


def before_approval(decision: Decision) -> str | None:
    """What has to be done before a decision that waits can be approved; None where a person's word is enough."""
    return BEFORE_APPROVAL.get(decision.reason) if decision.state in WAITING else None


def urgency(decision: Decision) -> tuple[int, int, int, str]:
    """The order of those that wait: what ends first, then the higher tier, then what has waited longer."""
    return until(decision), -decision.tier.rank, decision.time, decision.id
