"""A guard that tripped: something is wrong with us, not with whom it spared."""

from __future__ import annotations

import msgspec

from playbooks.decision import Reason


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """A guard that spoke of something wrong with us: people are told. With a rule, that rule is in shadow from here on.

    `name` says whose bound it was: the rule's, the tier's.
    """

    reason: Reason
    name: str
    rule: str | None
    because: str
    at: int
