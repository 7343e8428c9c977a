"""What a happening is: one small record that is a log line and says what it counts.

A field never holds a person's raw value, a secret or a line of the stream: what stands here is written to the log.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import msgspec

if TYPE_CHECKING:
    from monitor.telemetry.meter import Meter

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Final[dict[Level, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. Its fields are the log line's; `count` says what it does to metrics."""

    level: ClassVar[Level] = "info"

    @classmethod
    def name(cls) -> str:
        """``turn_committed`` for `TurnCommitted`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def count(self, meter: Meter) -> None:
        """Most happenings count something; a few are only told."""
