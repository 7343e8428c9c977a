"""The loop: ask Miniwatch what has changed, and make HAProxy's maps so.

Nothing of it is kept beside the maps. An agent that starts asks for all that is in force; until it knows that, and as long as
Miniwatch does not answer, the maps stay as they are, and each decision in them ends at its own time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from miniwatch_gateway.decisions import Answer, InForce
from miniwatch_gateway.haproxy import HaproxyError, MapFiles, Runtime
from miniwatch_gateway.miniwatch import Unreachable
from miniwatch_gateway.registry import Developers
from miniwatch_gateway.tables import Tables, tables

TURN_S_MAX: Final = 5.0
"""How long a turn waits for changes: so soon a HAProxy that was started anew is noticed, too."""

READ_ANEW_S: Final = 600.0
"""How often all that is in force is asked for again, whatever was said since."""

PAGES_MAX: Final = 10_000


class Changes(Protocol):
    """Whoever knows what has changed: Miniwatch, or a stand-in."""

    def changes(self, after: int, wait_s: float) -> Answer:
        """What has changed after a position, within so many seconds. Raises `Unreachable`."""
        ...


@dataclass(slots=True)
class Agent:
    """One agent. `say` gets each line for the log, `alive` is called after each turn."""

    miniwatch: Changes
    files: MapFiles
    runtime: Runtime
    developers: Developers
    appeal: str
    say: Callable[[str], None]
    alive: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.time
    turn_s_max: float = TURN_S_MAX
    stopping: threading.Event = field(default_factory=threading.Event)
    _known: InForce | None = None
    _read_at: float = 0.0
    _tables: Tables | None = None
    _missed: frozenset[str] = frozenset()
    _troubles: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Until `stopping` is set."""
        while not self.stopping.is_set():
            wait_s = self.turn()
            self.alive()
            if wait_s:
                self.stopping.wait(wait_s)

    def turn(self) -> float:
        """Ask once, and apply what is known. Returns for how many seconds Miniwatch shall be left alone."""
        wait_s, is_new = 0.0, False
        try:
            is_new = self._ask()
            self._well("Miniwatch")
        except Unreachable as error:
            wait_s = error.wait_s
            if wait_s:
                self._trouble("Miniwatch", str(error))
        self._apply(is_new=is_new)
        return wait_s

    def _ask(self) -> bool:
        """Whether anything has changed."""
        known = self._known
        if known is None or time.monotonic() - self._read_at > READ_ANEW_S:
            self._known, self._read_at = self._all(), time.monotonic()
            return True
        answer = self.miniwatch.changes(known.position, self._wait_s(known))
        if answer.anew and known.position:  # the record was restored: what it has lost is not said to have ended
            self._known = self._all()
            return True
        known.take(answer)
        return bool(answer.in_force or answer.ended)

    def _all(self) -> InForce:
        known = InForce()
        for _ in range(PAGES_MAX):
            answer = self.miniwatch.changes(known.position, 0)
            known.take(answer)
            if not answer.more:
                return known
        raise Unreachable("the list of what is in force has no end")

    def _wait_s(self, known: InForce) -> float:
        """Until the next decision ends by itself, within bounds."""
        if known.next_end is None:
            return self.turn_s_max
        return min(max(known.next_end / 1000 - self.clock() + 0.1, 0.1), self.turn_s_max)

    def _apply(self, *, is_new: bool) -> None:
        known = self._known
        if known is None:
            return
        has_ended = known.end(int(self.clock() * 1000))
        has_other_apps = self._look()
        if self._tables is None or is_new or has_ended or has_other_apps:
            self._tables, missed = tables(known.decisions.values(), self.developers.apps, self.appeal)
            for one in missed:
                if one.decision not in self._missed:
                    self.say(f"decision {one.decision} is not enforced here: {one.why}")
            self._missed = frozenset(one.decision for one in missed)
        try:
            self.runtime.apply(self._tables)
            self._well("HAProxy")
        except HaproxyError as error:
            self._trouble("HAProxy", str(error))
        try:
            self.files.write(self._tables)
            self._well("the folder of maps")
        except OSError as error:
            self._trouble("the folder of maps", str(error))

    def _look(self) -> bool:
        try:
            is_new = self.developers.look()
            self._well("the registry")
        except (OSError, ValueError) as error:
            self._trouble("the registry", str(error))
            return False
        return is_new

    def _trouble(self, where: str, what: str) -> None:
        if self._troubles.get(where) != what:
            self.say(f"{where}: {what}")
        self._troubles[where] = what

    def _well(self, where: str) -> None:
        if self._troubles.pop(where, None) is not None:
            self.say(f"{where}: well again")
