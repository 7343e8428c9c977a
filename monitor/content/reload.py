"""Rules and playbooks taken up while the daemon runs: read, tested and compiled beside those in force, changed between two turns.

Whatever is wrong with the new, the old goes on as if nobody had asked: with all its rules and all that its windows remember.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from monitor.content.in_force import InForce
from monitor.rules.lineup import Lineup, Offer, Taken
from monitor.sources.messages import position_told
from monitor.telemetry import Telemetry, upkeep

TAKEN_S_MAX: Final = 60.0
"""How long rules that are sound may wait for the turn under way; then they are given up, and the old go on."""

PROBLEMS_MAX: Final = 100
"""Problems of a refused reload that are told one by one."""


PLACES_TOLD_MAX: Final = 3
"""Partitions whose positions an answer names; the log and `miniwatch rules history` have all."""


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a reload. With problems, all stays as it was; else `turn` is the first under the new rules, and
    `positions` says where in each partition its first line lies.
    """

    turn: int = 0
    positions: Mapping[str, int] = {}
    rules: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    problems: tuple[str, ...] = ()


def places_told(positions: Mapping[str, int]) -> str:
    """Where new rules hold, for people: the first few partitions with their positions; who reads none answers workers, who take them up."""
    shown = [
        f"{name} from {position_told(name, position)} on"
        for name, position in sorted(positions.items())[:PLACES_TOLD_MAX]
    ]
    more = len(positions) - len(shown)
    return ", ".join([*shown, f"{more} more"] if more > 0 else shown) or "in workers within a second"


class Reloader:
    """Changes what is in force. `reload` may be called from any thread but the pipeline's; one call waits for the other."""

    def __init__(
        self,
        in_force: InForce,
        load: Callable[[], InForce],
        compiled: Callable[[InForce], Lineup],
        offer: Callable[[Offer], None],
        taken: Callable[[InForce], None],
        telemetry: Telemetry,
    ) -> None:
        """`taken` is called in the pipeline's thread, between two turns, with what is in force from then on."""
        self.in_force = in_force
        self._load = load
        self._compiled = compiled
        self._offer = offer
        self._taken = taken
        self._telemetry = telemetry
        self._one_at_a_time = threading.RLock()

    def alone(self) -> threading.RLock:
        """Within this nobody else changes what is in force, nor what the record says of it: for those who read it, have it taken up and write."""
        return self._one_at_a_time

    def reload(self, why: str, load: Callable[[], InForce] | None = None) -> Reloaded:
        """Read everything again and put it in force, or leave everything as it is and say why.

        `load` reads something else than what is configured.
        """
        with self._one_at_a_time:
            begun = time.monotonic()
            try:
                fresh = (load or self._load)()
                problems = _news(self.in_force, fresh)
                done = Reloaded(problems=problems) if problems else self._change_to(fresh)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong with the new, the old goes on and it is told
                done = Reloaded(problems=(f"{type(error).__name__}: {error}",))
            self._tell(done, why, time.monotonic() - begun)
            return done

    def _change_to(self, fresh: InForce) -> Reloaded:
        """Have the pipeline change over, and wait until it has."""
        before = {rule.id: rule.version for rule in self.in_force.rules.rules}
        waiting = _Waiting()
        lineup, enter = self._compiled(fresh), lambda: self.take(fresh)
        self._offer(Offer(lineup, waiting.claim, waiting.taken, waiting.refused, enter))
        taken = waiting.result(TAKEN_S_MAX)
        after = {rule.id: rule.version for rule in fresh.rules.rules}
        return Reloaded(
            turn=taken.turn,
            positions=taken.positions,
            rules=len(after),
            added=len(after.keys() - before.keys()),
            changed=sum(before[key] != after[key] for key in after.keys() & before.keys()),
            removed=len(before.keys() - after.keys()),
        )

    def take(self, fresh: InForce) -> None:
        """They are in force from now on; in the pipeline's thread."""
        self.in_force = fresh
        self._taken(fresh)

    def _tell(self, done: Reloaded, why: str, seconds: float) -> None:
        if done.problems:
            for problem in done.problems[:PROBLEMS_MAX]:
                self._telemetry.emit(upkeep.ReloadRefused(why=why, problem=problem))
            self._telemetry.emit(upkeep.ReloadFailed(why=why, problems=len(done.problems)))
            return
        self._telemetry.emit(
            upkeep.Reloaded(
                why=why,
                turn=done.turn,
                positions=done.positions,
                rules=done.rules,
                added=done.added,
                changed=done.changed,
                removed=done.removed,
                refused=len(self.in_force.rules.problems),
                seconds=seconds,
            )
        )


class _Waiting:
    """The thread that asked, until the pipeline has answered. An offer that is given up is never taken up later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_claimed = self._is_given_up = False
        self._answered = threading.Event()
        self._taken = Taken(0, {})
        self._problem = ""

    def claim(self) -> bool:
        """Whether the offer still stands; once it is claimed, it is no longer given up."""
        with self._lock:
            self._is_claimed = not self._is_given_up
            return self._is_claimed

    def taken(self, taken: Taken) -> None:
        self._taken = taken
        self._answered.set()

    def refused(self, problem: str) -> None:
        self._problem = problem
        self._answered.set()

    def result(self, wait_s: float) -> Taken:
        """Since when what was offered is in force; raises `TimeoutError` or `ValueError` when it was not taken up."""
        if not self._answered.wait(wait_s):
            with self._lock:
                self._is_given_up = not self._is_claimed
            if self._is_given_up:
                raise TimeoutError(f"the turn under way has not ended for {wait_s:g} s")
            self._answered.wait()
        if self._problem:
            raise ValueError(self._problem)
        return self._taken


def _news(before: InForce, fresh: InForce) -> tuple[str, ...]:
    """Problems that what is in force does not have, whatever the line they have moved to."""
    known = before.problems
    return tuple(text for key, text in fresh.problems.items() if key not in known)
