"""The bounds of machines' acts: budgets of an hour, shares of those who are active, and what guards compare with."""

from __future__ import annotations

from typing import Final

import msgspec

from playbooks.decision import Tier
from playbooks.surroundings import Crowd

_DAY_S: Final = 86_400


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many acts may be put in force in any hour; what is above is held for a person.

    Counts are of each tier, of all, and of one rule. Shares are parts of the apps, and of the people, that were active in
    the hour: each bounds the acts on apps (on people) of one rule, of one tier and of all. A share holds once so many were active
    (`apps_min`, `people_min`); of fewer, one is a large part whatever is done.
    """

    warn_per_hour: int = 1_000
    throttle_per_hour: int = 300
    remove_per_hour: int = 20
    ban_per_hour: int = 5
    all_per_hour: int = 1_000
    rule_per_hour: int = 200
    rule_share: float = 0.02
    tier_share: float = 0.05
    all_share: float = 0.1
    apps_min: int = 1_000
    people_min: int = 10_000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")

    def per_hour(self, tier: Tier) -> int:
        """The bound of one tier. Watching costs nobody anything."""
        return self.all_per_hour if tier is Tier.OBSERVE else int(getattr(self, f"{tier.value}_per_hour"))

    def counts_from(self, crowd: Crowd) -> int:
        """How many must be active before shares hold."""
        return self.apps_min if crowd is Crowd.APPS else self.people_min


class GuardConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What guards compare with. The first four are about ourselves: beyond one of them nothing above a warning happens by itself."""

    input_late_s: float = 900.0
    clock_off_s: float = 60.0
    store_stalled_s: float = 30.0
    dead_letter_share: float = 0.05
    new_rule_s: float = 3_600.0
    learned_h: int = 72
    """For how long what is usual must have been learned."""
    new_rule_acts: int = 10
    """Acts held because their rule is new after which the rule is moved to shadow."""
    duration_s: int = 30 * _DAY_S
    """The longest act that a machine may put in force."""
    shared_people: int = 10
    shared_apps: int = 20
    shared_throttle_s: int = _DAY_S
    """The longest throttle of an address that many share."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
