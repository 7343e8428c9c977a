"""Parts of a condition that can never be true, or never false, where they stand.

A part of a conjunction is judged knowing that the other parts hold; a part of a disjunction knowing that the others do
not, for only then does it matter. What follows from that by comparing two predicates is found; nothing else is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from detectors.event import LINE
from detectors.sigma.condition import All, AnyOf, Node, Not, Op, Predicate
from detectors.sigma.implication import excludes, implies, singles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Fact: TypeAlias = tuple[Predicate, bool, bool]
"""A predicate, whether it is known to hold or not to, and whether that is so because another alternative says it already."""

COMPARISONS_MAX: Final = 300_000
"""Pairs of values of one rule that are compared; past it nothing more is found in that rule."""


@dataclass(frozen=True, slots=True)
class Idle:
    """A part of a condition that does nothing where it stands."""

    part: Node
    always: bool  # true; else it never is
    why: str
    among: bool  # of several alternatives, another one says it already


def idle_parts(condition: Node) -> list[Idle]:
    """The largest parts that can never be true or never be false; the condition itself, if it is one."""
    walk = _Walk()
    verdict = walk.judge(condition, ())
    return [Idle(condition, *verdict)] if verdict is not None else walk.found


_Verdict: TypeAlias = tuple[bool, str, bool]
"""The answer, why it is so, and whether that is because another alternative says it already."""


class _Walk:
    """Goes through a condition from outside in, with what is known on the way."""

    def __init__(self) -> None:
        self.found: list[Idle] = []
        self._left = COMPARISONS_MAX

    def judge(self, node: Node, facts: Sequence[Fact]) -> _Verdict | None:
        """Whether a part always has the same answer, and why; what is idle inside of it is noted."""
        before = len(self.found)
        match node:
            case Predicate():
                verdict = self._known(node, facts)
                if verdict is None:
                    self._operands(node, facts)
            case Not():
                inner = self.judge(node.child, facts)
                verdict = None if inner is None else (not inner[0], *inner[1:])
            case All():
                verdict = self._joined(node.children, facts, hold=True)
            case AnyOf():
                verdict = self._joined(node.children, facts, hold=False)
        if verdict is not None:
            del self.found[before:]  # the larger part says it all
        return verdict

    def _joined(self, children: Sequence[Node], facts: Sequence[Fact], *, hold: bool) -> _Verdict | None:
        """A conjunction (`hold`), decided by one part that is never true, or a disjunction by one that always is."""
        left = list(children)
        idle: list[Idle] = []
        for child in children:
            others = [
                (fact, holds, not hold)
                for other in left
                if other is not child
                for fact, holds in _facts(other, holds=hold)
            ]
            verdict = self.judge(child, (*facts, *others))
            if verdict is None:
                continue
            if verdict[0] is not hold:
                return verdict
            left.remove(child)
            idle.append(Idle(child, *verdict))
        if not left:
            return hold, idle[-1].why, False
        self.found += idle
        return None

    def _operands(self, node: Predicate, facts: Sequence[Fact]) -> None:
        """Values of a predicate that can be left out."""
        if len(node.operands) < 2 or node.op is Op.SAME:
            return
        values = singles(node)
        for value in values:
            if (verdict := self._known(value, facts)) is not None and not verdict[0]:
                self.found.append(Idle(value, *verdict))
                continue
            self._left -= len(values)
            if self._left < 0:
                return
            wider = next((other for other in values if other is not value and implies(value, other)), None)
            if wider is not None:
                self.found.append(Idle(value, always=False, why=f"{wider} is true wherever it is", among=True))

    def _known(self, predicate: Predicate, facts: Sequence[Fact]) -> _Verdict | None:
        """What follows for a predicate from some facts."""
        for fact, holds, among in facts:
            self._left -= 1 + (len(fact.operands) * len(predicate.operands) if fact.field == predicate.field else 0)
            if self._left < 0:
                return None
            if holds and implies(fact, predicate):
                same = "else its opposite is" if among else "it stands there twice"
                return True, same if fact == predicate else f"{fact} must be true with it", among
            if not holds and implies(predicate, fact):
                wider = next((one for one in singles(fact) if implies(predicate, one)), fact)
                return False, f"{wider} {'is true wherever it is' if among else 'must not be true with it'}", among
            if holds and _has_one_value(predicate.field) and excludes(fact, predicate):
                return False, f"{fact} must be true with it, and one value cannot meet both", False
        return None


def _has_one_value(field: str) -> bool:
    """Whether a field is expected to hold one value: lines hold anything, and much of the registry is lists."""
    return field != LINE and not field.startswith("app.")


def _facts(node: Node, *, holds: bool) -> Iterator[tuple[Predicate, bool]]:
    """What is known of predicates when a whole part holds, or does not."""
    match node:
        case Predicate():
            yield node, holds
        case Not():
            yield from _facts(node.child, holds=not holds)
        case All() if holds:
            for child in node.children:
                yield from _facts(child, holds=True)
        case AnyOf() if not holds:
            for child in node.children:
                yield from _facts(child, holds=False)
