"""What must be seen for a rule to be true: its witnesses, looked for first, so that most rules never run on most batches.

A clause is a set of questions about literals of which at least one must be answered yes. A rule may have several; of those
whose answers are known, the one that leaves the fewest rows decides which rows the rule is asked about at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from detectors.event import LINE
from detectors.sigma.condition import All, AnyOf, Node, Not, Op, Predicate
from detectors.sigma.literals import PLACES, required

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectors.sigma.literals import Integers

CLAUSES_MAX: Final = 8
"""Clauses of one rule, those with the longest literals first: more would cost more than they spare."""

UNKNOWN: Final = 2**40
"""More rows than there are: for questions that have not been asked."""

Clause = frozenset[Predicate]


def clauses_of(node: Node) -> list[Clause]:
    """The clauses of a condition, the most telling first; none where it can be true without any literal."""
    match node:
        case Predicate():
            question = required(node) if node.op is Op.PATTERN else node if node.op in PLACES else None
            return [frozenset((question,))] if question is not None else []
        case Not():
            return []
        case All():
            found = dict.fromkeys(chain.from_iterable(clauses_of(child) for child in node.children))
            return sorted(found, key=_tells, reverse=True)[:CLAUSES_MAX]
        case AnyOf():
            first = [clauses_of(child)[:1] for child in node.children]
            return [frozenset().union(*chain.from_iterable(first))] if all(first) else []
    raise AssertionError(node)


def _tells(clause: Clause) -> tuple[bool, int, int]:
    """How much a clause tells: little when it is looked for in whole lines, or by short literals, or by many."""
    shortest = min(len(str(operand)) for predicate in clause for operand in predicate.operands)
    return all(predicate.field != LINE for predicate in clause), shortest, -len(clause)


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The clauses of some rules as arrays: a rule's clauses, and a clause's questions, stand one after the other.

    `with_clauses` are the places of the rules that have any; `rule_starts` says where their clauses begin.
    """

    without: tuple[int, ...]
    with_clauses: Integers
    rule_starts: Integers
    clause_starts: Integers
    questions: npt.NDArray[np.intp]
    clauses: tuple[tuple[int, ...], ...]
    fields: tuple[str, ...]
    field_of: npt.NDArray[np.intp]  # by place in `questions`, the place in `fields`

    @staticmethod
    def of(places: Sequence[int], clauses: Sequence[Sequence[Clause]], number_of: Callable[[Node], int]) -> Witnesses:
        """Of the rules at some places."""
        having = [place for place in places if clauses[place]]
        every = [clause for place in having for clause in clauses[place]]
        told = [sorted((number_of(question), question.field) for question in clause) for clause in every]
        numbers = tuple(tuple(number for number, _ in clause) for clause in told)
        fields = tuple(sorted({field for clause in told for _, field in clause}))
        place_of = {field: place for place, field in enumerate(fields)}
        return Witnesses(
            tuple(place for place in places if not clauses[place]),
            np.array(having, dtype=np.int64),
            _starts([len(clauses[place]) for place in having]),
            _starts([len(clause) for clause in numbers]),
            np.array(list(chain.from_iterable(numbers)), dtype=np.intp),
            numbers,
            fields,
            np.array([place_of[field] for clause in told for _, field in clause], dtype=np.intp),
        )

    def sums(self, counts: Integers) -> Integers:
        """How many rows each clause leaves at most; `counts` has the rows of each question, or `UNKNOWN`."""
        return np.add.reduceat(counts[self.questions], self.clause_starts)

    def least(self, sums: Integers) -> Integers:
        """How many rows each rule's best clause leaves at most."""
        return np.minimum.reduceat(sums, self.rule_starts)

    def fields_asked(self, rules: npt.NDArray[np.bool_]) -> list[str]:
        """The fields that the clauses of some rules ask about."""
        clauses = np.repeat(rules, np.diff(np.append(self.rule_starts, len(self.clauses))))
        questions = np.repeat(clauses, np.diff(np.append(self.clause_starts, len(self.questions))))
        return [self.fields[place] for place in np.unique(self.field_of[questions]).tolist()]

    def best(self, rule: int, sums: Integers) -> tuple[int, ...]:
        """The questions of the clause that leaves a rule the fewest rows; `rule` counts those with clauses."""
        start = self.rule_starts[rule]
        end = self.rule_starts[rule + 1] if rule + 1 < len(self.rule_starts) else len(sums)
        return self.clauses[int(start + sums[start:end].argmin())]


def _starts(lengths: Sequence[int]) -> Integers:
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if lengths else np.empty(0, dtype=np.int64)
