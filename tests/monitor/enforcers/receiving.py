"""What a good receiver of penalties does: it takes each key once, and knows what is in force."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Penalties:
    """Penalties by their id. A key that was seen before changes nothing; of one key there must be one body."""

    in_force: dict[str, str] = field(default_factory=dict)
    """When each expires."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    repeats: int = 0
    taken: list[tuple[str, str]] = field(default_factory=list)
    """Id and state, in their order."""

    def take(self, key: str, body: bytes) -> None:
        if key in self.bodies:
            assert self.bodies[key] == body, f"{key} came with another body"
            self.repeats += 1
            return
        self.bodies[key] = body
        told: dict[str, Any] = json.loads(body)
        own = told["miniwatch"]
        self.taken.append((told["punish_id"], own["state"]))
        if told["Event"] == "wxa_punish_event":
            self.in_force[told["punish_id"]] = own["expires"]
        else:
            assert told["Event"] == "wxa_punish_end_event"
            self.in_force.pop(told["punish_id"], None)
