"""What each rule costs in a set, measured while the engine runs: work that rules share is divided among those who share it.

Three kinds of work are timed, each without what is done inside of it for another: reading a column, looking for the
literals of a column, and answering one part of a condition. The first is divided equally among the rules that look at
the column, the second among the rules by how many of the literals are theirs, the third equally among the rules of
whose conditions it is a part. What is left (cutting the batch, choosing the rules that may be true) is divided equally
among all. So the costs of all rules add up to the whole.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import polars as pl

from detectors.event import Batch
from detectors.sigma import Rule, SigmaDetector
from detectors.sigma.columns import Column
from detectors.sigma.condition import fields_of, predicates
from detectors.sigma.distinct import Rows
from detectors.sigma.literals import PLACES
from detectors.sigma.match import Look, Mask, Matcher

Done = TypeVar("Done")

READ: Final = "read"
SEARCH: Final = "search"
STEP: Final = "step"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rule took, in CPU nanoseconds, and how many events it was true of."""

    rule: Rule
    cpu_ns: float
    hits: int


@dataclass(frozen=True, slots=True)
class Profile:
    """What a set of rules took for some events, in CPU seconds: matching by rule, and all with windows and findings."""

    costs: list[Cost]
    events: int
    match_s: float
    whole_s: float


class Spent:
    """Where time goes; of what is done inside of something else, only the inner counts it."""

    def __init__(self) -> None:
        self.ns: Counter[tuple[str, Any]] = Counter()
        self._inside = 0

    def on(self, kind: str, what: Any, work: Callable[[], Done]) -> Done:
        begun, outer = time.process_time_ns(), self._inside
        self._inside = 0
        try:
            return work()
        finally:
            took = time.process_time_ns() - begun
            self.ns[kind, what] += took - self._inside
            self._inside = outer + took


class _TimedLook(Look):
    """A look at a batch that notes what its parts take; it finds the same."""

    def __init__(self, matcher: Matcher, frame: pl.DataFrame, spent: Spent) -> None:
        self._spent = spent
        super().__init__(matcher, frame)
        columns = self._whole.columns
        make = columns._make

        def timed(field: str) -> Column | None:
            return spent.on(READ, field, lambda: make(field))

        columns._make = timed  # type: ignore[method-assign]

    def _search(self, name: str) -> None:
        self._spent.on(SEARCH, name, lambda: super(_TimedLook, self)._search(name))

    def _evaluate(self, part: Any, number: int) -> Mask:
        if number in part.masks:
            return super()._evaluate(part, number)
        return self._spent.on(STEP, number, lambda: super(_TimedLook, self)._evaluate(part, number))


class TimedMatcher(Matcher):
    """Rules made ready to meet batches, and what they take."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules)
        self.spent = Spent()

    def match(self, frame: pl.DataFrame) -> dict[str, Rows]:
        return self.spent.on("batch", None, lambda: _TimedLook(self, frame, self.spent).matches())

    def shares(self) -> np.ndarray:  # of each rule, in nanoseconds
        users = _Users(self)
        share = np.zeros(len(self.rules))
        for (kind, what), ns in self.spent.ns.items():
            places, weights = users.of(kind, what)
            share[places] += ns * weights / weights.sum()
        return share


class _Users:
    """Which rules share a piece of work, and in what proportion."""

    def __init__(self, matcher: Matcher) -> None:
        self._all = np.arange(len(matcher.rules))
        self._found: dict[tuple[str, Any], Counter[int]] = {}
        for place, rule in enumerate(matcher.rules):
            assert rule.condition is not None  # noqa: S101 - a matcher has no others
            for name in set(fields_of(rule.condition)):
                self._count((READ, name), place, 1)
            for each in predicates(rule.condition):
                if each.op in PLACES:
                    self._count((SEARCH, each.field), place, len(each.operands))
            for number in set(_steps(matcher, matcher.roots[place])):
                self._count((STEP, number), place, 1)

    def _count(self, key: tuple[str, Any], place: int, times: int) -> None:
        self._found.setdefault(key, Counter())[place] += times

    def of(self, kind: str, what: Any) -> tuple[Rows, np.ndarray]:
        users = self._found.get((kind, what))
        if not users:
            return self._all, np.ones(len(self._all))
        return np.array(list(users)), np.array(list(users.values()), dtype=np.float64)


def _steps(matcher: Matcher, number: int) -> Iterator[int]:
    yield number
    for child in matcher.steps[number].children:
        yield from _steps(matcher, child)


def profile(rules: Sequence[Rule], batches: Sequence[Batch], window_events_max: int) -> Profile:
    """What rules take for some batches. Each kind of run begins anew, and is not timed for its first batch's first rows."""
    warm = [Batch(batch.frame[:WARM_ROWS], batch.watermark) for batch in batches[:1]]
    timed = TimedMatcher(rules)
    hits: Counter[str] = Counter()
    for batch in warm:
        timed.match(batch.frame)
    timed.spent = Spent()
    for batch in batches:
        for rule, rows in timed.match(batch.frame).items():
            hits[rule] += len(rows)
    plain, whole = SigmaDetector(rules), SigmaDetector(rules, window_events_max)
    for batch in warm:
        plain.matches(batch)
        whole.matches(batch)
    match_s = _cpu_s(lambda: [plain.matches(batch) for batch in batches])
    whole_s = _cpu_s(lambda: [whole.observe(batch) for batch in batches])
    share = timed.shares()
    total = float(share.sum())
    scale = match_s * 1e9 / total if total else 0.0  # timing takes time too: the whole is what it is without
    costs = [Cost(rule, ns * scale, hits[rule.id]) for rule, ns in zip(timed.rules, share.tolist(), strict=True)]
    costs.sort(key=lambda cost: -cost.cpu_ns)
    return Profile(costs, sum(batch.frame.height for batch in batches), match_s, max(whole_s, match_s))


WARM_ROWS: Final = 1_000
"""Rows of the first batch that are looked at before the clock starts, so that nothing is made ready while it runs."""


def _cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun
