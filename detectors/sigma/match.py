"""Finds the rows of a batch that each rule is about, asking each question at most once.

Rows are cut into slices by dataset, so that a rule only meets events of its logsource. A predicate shared by many rules
is answered once per batch for the distinct values of its column, and spread over a slice's rows once; a rule stops at
the first part that leaves it no row. When few rows are left, columns that nobody has read yet are read for those alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import polars as pl

from detectors.sigma.arguments import keys_of
from detectors.sigma.columns import Columns, Truth
from detectors.sigma.condition import All, AnyOf, Node, Not, Op, Predicate, fields_of
from detectors.sigma.distinct import Rows
from detectors.sigma.fields import ARGUMENTS, column_of, covers
from detectors.sigma.memory import Memory
from detectors.sigma.predicates import compare_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from detectors.sigma.rule import Rule

DATASETS_REMEMBERED_MAX: Final = 10_000
"""Names of datasets whose rules are remembered; past it they are looked up anew."""

Mask: TypeAlias = Truth | bool
"""Rows of a slice: one answer each, or the same for all."""

DATASET: Final = "event.dataset"

SHRINK: Final = 16
"""A part with at most one in so many of the batch's rows reads columns for itself."""

SHRINK_ROWS_MIN: Final = 1_024
"""Rows of a batch below which every column is read whole: too little is saved."""


@dataclass(slots=True)
class _Step:
    """One node of some rules' trees, told by its number; equal nodes are one step."""

    node: Node
    children: tuple[int, ...]


class Matcher:
    """Rules made ready to meet batches."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rule for rule in rules if rule.condition is not None)
        self.steps: list[_Step] = []
        self._numbers: dict[Node, int] = {}
        self.roots = tuple(self._number(rule.condition) for rule in self.rules if rule.condition is not None)
        self._columns_of = [
            frozenset(column_of(name) for name in fields_of(rule.condition)) for rule in self.rules if rule.condition
        ]
        fields = {name for step in self.steps if isinstance(step.node, Predicate) for name in fields_of(step.node)}
        arguments = [name for name in fields if name.startswith(ARGUMENTS + ".")]
        self.keys = frozenset(key for name in arguments for key in keys_of(name[len(ARGUMENTS) + 1 :]))
        self._datasets: dict[str, tuple[int, ...]] = {}
        self.memory = Memory()

    def _number(self, node: Node) -> int:
        known = self._numbers.get(node)
        if known is not None:
            return known
        match node:
            case Predicate():
                children: tuple[int, ...] = ()
            case Not():
                children = (self._number(node.child),)
            case All() | AnyOf():
                children = tuple(self._number(child) for child in node.children)
        self.steps.append(_Step(node, children))
        number = self._numbers[node] = len(self.steps) - 1
        return number

    def number_of(self, node: Node) -> int:
        return self._numbers[node]

    def rules_about(self, dataset: str) -> tuple[int, ...]:
        """The places of the rules that look at a dataset."""
        found = self._datasets.get(dataset)
        if found is None:
            if len(self._datasets) >= DATASETS_REMEMBERED_MAX:
                self._datasets.clear()
            found = tuple(
                place
                for place, rule in enumerate(self.rules)
                if any(covers(pattern, dataset) for pattern in rule.datasets)
            )
            self._datasets[dataset] = found
        return found

    def columns_for(self, places: Iterable[int]) -> frozenset[str]:
        return frozenset().union(*(self._columns_of[place] for place in places))

    def match(self, frame: pl.DataFrame) -> dict[str, Rows]:
        """For each rule that is true of some row, the rows in order."""
        return Look(self, frame).matches()


@dataclass(slots=True)
class _View:
    """The columns of some rows of a batch, and for each predicate the answers: per value of its column, or per row."""

    columns: Columns
    truths: dict[int, Truth | None] = field(default_factory=dict)


@dataclass(slots=True)
class _Part:
    """Rows that the same rules are about, or what a rule has left of them, and what is already known of them.

    `rows` are places in the view whose columns are read.
    """

    rules: tuple[int, ...]
    rows: Rows
    view: _View
    masks: dict[int, Mask] = field(default_factory=dict)
    codes: dict[tuple[str, bool], Rows] = field(default_factory=dict)


class Look:
    """One batch as the rules see it."""

    def __init__(self, matcher: Matcher, frame: pl.DataFrame) -> None:
        self._matcher = matcher
        self._frame = frame
        self._whole = _View(Columns(frame, self._rows_of, matcher.keys))
        self.slices = self._cut()

    def matches(self) -> dict[str, Rows]:
        found: dict[int, list[Rows]] = {}
        for part in self.slices:
            for place in part.rules:
                mask = self._evaluate(part, self._matcher.roots[place])
                if mask is False:
                    continue
                rows = part.rows if mask is True else part.rows[mask]
                if len(rows):  # a negation's mask may be false everywhere
                    found.setdefault(place, []).append(rows)
        return {
            self._matcher.rules[place].id: rows[0] if len(rows) == 1 else np.sort(np.concatenate(rows))
            for place, rows in sorted(found.items())
        }

    def judge(self, node: Node) -> bool:
        """Whether a node of some rule is true of the first row looked at."""
        mask = self._evaluate(self.slices[0], self._matcher.number_of(node))
        return mask if isinstance(mask, bool) else bool(mask[0])

    def _cut(self) -> list[_Part]:
        """Rows by the rules that are about them; datasets without rules are left out."""
        column = self._whole.columns.get(DATASET)
        if column is None:
            return []
        by_rules: dict[tuple[int, ...], list[int]] = {}
        for code, name in enumerate(column.values.cast(pl.String).to_list()):
            if name is not None:
                by_rules.setdefault(self._matcher.rules_about(name), []).append(code)
        codes = column.codes_at(np.arange(self._frame.height))
        group_of = np.full(column.size + 1, -1, dtype=np.int64)
        kept = [rules for rules in by_rules if rules]
        for group, rules in enumerate(kept):
            group_of[by_rules[rules]] = group
        groups = group_of[codes]
        return [_Part(rules, np.flatnonzero(groups == group), self._whole) for group, rules in enumerate(kept)]

    def _rows_of(self, column: str) -> Rows | None:
        """The rows whose rules look at a column; None when that is most of them."""
        if column == DATASET:  # by which the rows are cut in the first place
            return None
        rows = [part.rows for part in self.slices if column in self._matcher.columns_for(part.rules)]
        if sum(len(one) for one in rows) * 2 > self._frame.height:
            return None
        return np.sort(np.concatenate(rows)) if rows else None

    def _evaluate(self, part: _Part, number: int) -> Mask:
        known = part.masks.get(number)
        if known is None:
            step = self._matcher.steps[number]
            match step.node:
                case Predicate():
                    known = self._spread(part, number, step.node)
                case Not():
                    known = _not(self._evaluate(part, step.children[0]))
                case All():
                    known = self._all(part, step.children)
                case AnyOf():
                    known = self._any(part, step.children)
            part.masks[number] = known
        return known

    def _all(self, part: _Part, children: Sequence[int]) -> Mask:
        result: Mask = True
        for place, child in enumerate(children):
            mask = self._evaluate(part, child)
            if mask is False:
                return False
            if mask is True:
                continue
            result = mask if result is True else result & mask
            left = int(np.count_nonzero(result))
            if not left:
                return False
            if part.view is self._whole and self._is_few(left):
                return self._rest(part, result, children[place + 1 :])
        return result

    def _is_few(self, rows: int) -> bool:
        return self._frame.height >= SHRINK_ROWS_MIN and rows * SHRINK <= self._frame.height

    def _rest(self, part: _Part, mask: Truth, children: Sequence[int]) -> Mask:
        """The other children of a conjunction, asked of the rows that it has left."""
        if not children:
            return mask
        left = np.flatnonzero(mask)
        at = part.rows[left]
        rest = _Part(
            part.rules, np.arange(len(at)), _View(Columns(self._frame, lambda _: None, self._matcher.keys, at))
        )
        answers = self._all(rest, children)
        if isinstance(answers, bool):
            return mask if answers else False
        result = np.zeros(len(mask), dtype=np.bool_)
        result[left[answers]] = True
        return result

    def _any(self, part: _Part, children: Iterable[int]) -> Mask:
        result: Mask = False
        for child in children:
            mask = self._evaluate(part, child)
            if mask is True:
                return True
            if mask is not False:
                result = mask if result is False else result | mask
        return result

    def _spread(self, part: _Part, number: int, predicate: Predicate) -> Mask:
        """A predicate's answers for a part's rows."""
        view, rows = part.view, part.rows
        at = view.columns.at
        if at is not None and (predicate.op is Op.PRESENT or self._is_read(predicate)):
            view, rows = self._whole, at  # what is known of the whole costs nothing
        if predicate.op is Op.SAME or predicate.op is Op.PRESENT:
            truth = self._by_row(view, number, predicate)
        else:
            truth = self._by_value(view, number, predicate)
            if truth is not None:
                rows = self._codes(part, view, predicate.field, rows)
        if truth is None:
            return False
        mask = truth.take(rows)
        return mask if mask.any() else False

    def _codes(self, part: _Part, view: _View, name: str, rows: Rows) -> Rows:
        """The places of a column's values for a part's rows; looked up once, whatever is asked of the column."""
        key = name, view is self._whole
        codes = part.codes.get(key)
        if codes is None:
            column = view.columns.get(name)
            codes = part.codes[key] = rows if column is None else column.codes_at(rows)
        return codes

    def _is_read(self, predicate: Predicate) -> bool:
        return predicate.op is not Op.SAME and self._whole.columns.has_read(predicate.field)

    def _by_value(self, view: _View, number: int, predicate: Predicate) -> Truth | None:
        """Answers per distinct value; None when there is no value of which it is true."""
        if number not in view.truths:
            column = view.columns.get(predicate.field)
            truth = None if column is None else self._matcher.memory.answer(number, predicate, column)
            view.truths[number] = truth if truth is not None and truth.any() else None
        return view.truths[number]

    def _by_row(self, view: _View, number: int, predicate: Predicate) -> Truth | None:
        if number not in view.truths:
            truth = (
                compare_fields(predicate, view.columns)
                if predicate.op is Op.SAME
                else view.columns.present(predicate.field)
            )
            view.truths[number] = truth
        return view.truths[number]


def _not(mask: Mask) -> Mask:
    return not mask if isinstance(mask, bool) else ~mask
