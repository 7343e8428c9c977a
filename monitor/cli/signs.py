"""What ``miniwatch doctor`` has to say: one sign for each thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Sign:
    """What one look at the installation showed."""

    what: str
    state: State
    found: str
    advice: str = ""
    said: tuple[str, ...] = ()  # parts of `found` that are people's words: left out where strangers read it
