"""What is going on around a finding: who else is active, who is behind an address, and how we ourselves are."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from detectors.finding import Scope


class Crowd(StrEnum):
    """Of whom an act is a part: of all apps, or of all people."""

    APPS = "apps"
    PEOPLE = "people"


CROWDS: Final = {
    Scope.APP: Crowd.APPS,
    Scope.DEVELOPER: Crowd.APPS,
    Scope.USER: Crowd.PEOPLE,
    Scope.DEVICE: Crowd.PEOPLE,
    Scope.SESSION: Crowd.PEOPLE,
    Scope.ADDRESS: Crowd.PEOPLE,
    Scope.RANGE: Crowd.PEOPLE,
}
"""An act on a developer meets at least one app, and one on an address at least one person."""


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """How many different apps and people were seen in an hour, about (`monitor.surroundings.activity`); 0 is unknown."""

    apps: int = 0
    people: int = 0

    def of(self, crowd: Crowd) -> int:
        return self.apps if crowd is Crowd.APPS else self.people


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """How many different people and apps were seen lately from an address or a range, about."""

    people: int = 0
    apps: int = 0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How our own telemetry is; gathered by the daemon, judged by a guard.

    `input_late_s` is how far behind the present the input is that findings come from; `clock_off_s` how far this machine's clock has jumped,
    or is behind what arrives; `store_stalled_s` how long the record refused just now; `dead_letter_share` the part of the
    latest lines that could not be read. `new_rules` says of rules that came into force lately when that was, in microseconds;
    a rule that is not named is established.
    """

    input_late_s: float = 0.0
    clock_off_s: float = 0.0
    store_stalled_s: float = 0.0
    dead_letter_share: float = 0.0
    new_rules: Mapping[str, int] = msgspec.field(default_factory=dict)
