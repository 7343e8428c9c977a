"""The event that comes nearest to making a rule true, and what of the rule it does not meet.

How far an event is from meeting a condition is what would have to be otherwise: of a conjunction all of its parts that
do not hold, of a disjunction the least of its parts. Each predicate counts as one; among as many, that one weighs less
which many events meet, so that an event that meets the rare ones comes first, and that one whose field is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.event import TIME
from detectors.sigma.condition import All, Node, Not, Predicate, predicates
from detectors.sigma.entity import texts_at
from detectors.sigma.match import Matcher

if TYPE_CHECKING:
    from detectors.sigma.rule import Rule

RARITY: Final = 1 / 64
"""What a halving of the events that meet a predicate adds to its weight: never as much as a predicate more."""

MISSING: Final = 1 / 4
"""What a field that a row does not carry adds: of two rows that fail as much, the one comes first that says something there."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Unmet:
    """A predicate that would have to be otherwise: true where `must`, else not."""

    predicate: Predicate
    must: bool


@dataclass(frozen=True, slots=True)
class Miss:
    """A row of a frame, what it does not meet, and how many rows a rule is true of."""

    row: int
    unmet: tuple[Unmet, ...]
    true_of: int


def nearest_miss(rule: Rule, frame: pl.DataFrame) -> Miss | None:
    """The row that comes nearest, the latest of several; all rows are of the rule's datasets. None without rows."""
    if rule.condition is None or not frame.height:
        return None
    far = _Distance(rule, frame)
    distance = far.to(rule.condition, must=True)
    time = frame.get_column(TIME).to_numpy()
    row = int(np.lexsort((-time, distance))[0])
    return Miss(row, tuple(dict.fromkeys(far.unmet(rule.condition, row, must=True))), int((distance == 0).sum()))


class _Distance:
    """How far each row is from meeting parts of a condition."""

    def __init__(self, rule: Rule, frame: pl.DataFrame) -> None:
        asked = list(dict.fromkeys(predicates(rule.condition))) if rule.condition else []
        alone = [msgspec.structs.replace(rule, id=str(place), condition=one) for place, one in enumerate(asked)]
        found = Matcher(alone).match(frame)
        self._height = frame.height
        self._truth: dict[Predicate, npt.NDArray[np.bool_]] = {}
        for place, one in enumerate(asked):
            truth = np.zeros(frame.height, dtype=np.bool_)
            truth[found.get(str(place), [])] = True
            self._truth[one] = truth
        rows = pl.Series(np.arange(frame.height), dtype=pl.UInt32)
        fields = {one.field for one in asked}
        self._missing = {name: texts_at(frame, name, rows).is_null().to_numpy() for name in fields}

    def to(self, node: Node, *, must: bool) -> Numbers:
        """Of each row: what would have to be otherwise for a part to be true, or not to be."""
        match node:
            case Predicate():
                truth = self._truth[node] if must else ~self._truth[node]
                share = (np.count_nonzero(truth) + 1) / (self._height + 2)
                lack = MISSING * (self._missing[node.field] & must)
                return np.where(truth, 0.0, 1.0 - RARITY * np.log2(share) + lack)
            case Not():
                return self.to(node.child, must=not must)
        parts = [self.to(child, must=must) for child in node.children]
        together: Any = np.sum if isinstance(node, All) is must else np.min
        found: Numbers = together(parts, axis=0)
        return found

    def unmet(self, node: Node, row: int, *, must: bool) -> list[Unmet]:
        """The predicates of which a row's distance is made."""
        match node:
            case Predicate():
                return [] if bool(self._truth[node][row]) is must else [Unmet(node, must)]
            case Not():
                return self.unmet(node.child, row, must=not must)
        if isinstance(node, All) is must:
            return [one for child in node.children for one in self.unmet(child, row, must=must)]
        nearest = min(node.children, key=lambda child: float(self.to(child, must=must)[row]))
        return self.unmet(nearest, row, must=must)
