"""Rules and playbooks taken up while the daemon runs: read, tested and compiled beside those in force, changed between two turns.

Whatever is wrong with the new, the old goes on as if nobody had asked: with all its rules and all that its windows remember.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Final

import msgspec

from monitor.content.in_force import InForce
from monitor.rules.lineup import Lineup, Offer, Taken
from monitor.sources.messages import position_told
from monitor.stores import StoreError
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


class CaughtUp(Enum):
    """Whether what is in force is as the record says: that, or somebody else is changing it just now, or it could not be had."""

    DONE = "done"
    NOT_NOW = "not now"
    FAILED = "failed"


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
        self.during: Callable[[], AbstractContextManager[None]] = nullcontext
        """What is entered for as long as a reload takes: whoever wants to know of it."""
        self._one_at_a_time = threading.RLock()

    def alone(self) -> threading.RLock:
        """Within this nobody else changes what is in force, nor what the record says of it: for those who read it, have it taken up and write."""
        return self._one_at_a_time

    def reload(self, why: str, load: Callable[[], InForce] | None = None) -> Reloaded:
        """Read everything again and put it in force, or leave everything as it is and say why.

        `load` reads something else than what is configured.
        """
        with self._one_at_a_time, self.during():
            begun = time.monotonic()
            try:
                fresh = (load or self._load)()
                problems = _news(self.in_force, fresh)
                done = Reloaded(problems=problems) if problems else self._change_to(fresh)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong with the new, the old goes on and it is told
                done = Reloaded(problems=(f"{type(error).__name__}: {error}",))
            self._tell(done, why, time.monotonic() - begun)
            return done

    def catch_up(self, why: str, take_up: Callable[[Lineup], int]) -> CaughtUp:
        """Put in force what the record says now, whatever this process began with: for who comes to lead, in the pipeline's own thread
        between two turns, where `take_up` changes the lineup and says from which turn on. Raises `StoreError`.

        Rules and playbooks with new problems are left as they are, all of them, and that is told; models come all the same, as at a start.
        Who waits for the pipeline just now, with a change of his own, is not waited for.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            return CaughtUp.NOT_NOW
        try:
            begun = time.monotonic()
            done = self._caught_up(take_up)
            self._tell(done, why, time.monotonic() - begun)
            return CaughtUp.FAILED if done.problems else CaughtUp.DONE
        finally:
            self._one_at_a_time.release()

    def _caught_up(self, take_up: Callable[[Lineup], int]) -> Reloaded:
        before = self.in_force
        problems: tuple[str, ...] = ()
        try:
            fresh = self._load()
            known = before.models.problems
            for problem in fresh.models.problems:
                if problem not in known:
                    self._telemetry.emit(upkeep.ModelChangeRefused(model=problem.model, reason=problem.message))
            problems = _news(before, msgspec.structs.replace(fresh, models=before.models))
            if problems:
                fresh = msgspec.structs.replace(before, models=fresh.models)
            turn = take_up(self._compiled(fresh))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what is there now, what was there goes on and it is told
            return Reloaded(problems=(*problems, f"{type(error).__name__}: {error}"))
        self.take(fresh)
        return Reloaded(problems=problems) if problems else _compared(before, fresh, Taken(turn, {}))

    def _change_to(self, fresh: InForce) -> Reloaded:
        """Have the pipeline change over, and wait until it has."""
        before, waiting = self.in_force, _Waiting()
        lineup, enter = self._compiled(fresh), lambda: self.take(fresh)
        self._offer(Offer(lineup, waiting.claim, waiting.taken, waiting.refused, enter))
        return _compared(before, fresh, waiting.result(TAKEN_S_MAX))

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


def _compared(before: InForce, after: InForce, taken: Taken) -> Reloaded:
    """What has come of a change."""
    had = {rule.id: rule.version for rule in before.rules.rules}
    has = {rule.id: rule.version for rule in after.rules.rules}
    return Reloaded(
        turn=taken.turn,
        positions=taken.positions,
        rules=len(has),
        added=len(has.keys() - had.keys()),
        changed=sum(had[key] != has[key] for key in has.keys() & had.keys()),
        removed=len(had.keys() - has.keys()),
    )


def _news(before: InForce, fresh: InForce) -> tuple[str, ...]:
    """Problems that what is in force does not have, whatever the line they have moved to."""
    known = before.problems
    return tuple(text for key, text in fresh.problems.items() if key not in known)
