"""Finds the rows of a batch that each rule is about, asking each question at most once.

Rows are cut into slices by dataset, so that a rule only meets events of its logsource. All literals of a column are looked
for in one pass over its distinct values; what they show decides which rules can be true at all, and of which rows
(`witness`). Those rules meet those rows alone; the few without a witness meet all. A rule stops at the first part that
leaves it no row, and what only few rows are asked is read for those alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import polars as pl

from detectors.sigma.arguments import keys_of
from detectors.sigma.columns import SMALL_MAX, Columns, Truth
from detectors.sigma.condition import All, AnyOf, Node, Not, Op, Predicate, fields_of
from detectors.sigma.distinct import Rows
from detectors.sigma.fields import ARGUMENTS, column_of, covers
from detectors.sigma.literals import PLACES, Literals
from detectors.sigma.memory import Memory
from detectors.sigma.predicates import compare_fields
from detectors.sigma.witness import UNKNOWN, Witnesses, clauses_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detectors.sigma.columns import Column
    from detectors.sigma.literals import Hits, Integers
    from detectors.sigma.rule import Rule

DATASETS_REMEMBERED_MAX: Final = 10_000
"""Names of datasets whose rules are remembered; past it they are looked up anew."""

Mask: TypeAlias = Truth | bool
"""Rows of a slice: one answer each, or the same for all."""

TURNED_MIN: Final = 12
"""Times that the rows of some values are looked for in a column before it is sorted by value, which costs about as much."""

DATASET: Final = "event.dataset"


@dataclass(frozen=True, slots=True)
class Bounds:
    """From where on it pays to ask less; whatever they are, the same rows are found."""

    few_share: int = 16
    """At most one in so many of the batch's rows are few: they are asked by themselves what nobody knows yet."""
    rows_min: int = 1_024
    """Rows of a batch below which every column is read whole: too little is saved."""
    rules_min: int = 4
    """Rules about the same datasets from which on witnesses are worth their price."""


@dataclass(slots=True)
class _Step:
    """One node of some rules' trees, told by its number; equal nodes are one step."""

    node: Node
    children: tuple[int, ...]


@dataclass(slots=True)
class _Questions:
    """Questions about the literals of one field, which all compare case or none does, by their numbers."""

    cased: bool
    numbers: list[int] = field(default_factory=list)
    predicates: list[Predicate] = field(default_factory=list)
    _literals: Literals | None = None

    def hits(self, column: Column) -> Hits:
        """The elements of a column in which their literals stand."""
        if self._literals is None:
            self._literals = Literals(self.predicates, cased=self.cased)
        return self._literals.hits(column.texts)


def _add(sets: list[_Questions], predicate: Predicate, number: int) -> None:
    """Put a question with those of its kind."""
    fitting = [one for one in sets if one.cased == predicate.cased]
    if not fitting:
        sets.append(_Questions(predicate.cased))
    questions = (fitting or sets)[-1]
    questions.numbers.append(number)
    questions.predicates.append(predicate)


class Matcher:
    """Rules made ready to meet batches."""

    def __init__(self, rules: Sequence[Rule], bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
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
        self._clauses = [clauses_of(rule.condition) for rule in self.rules if rule.condition is not None]
        self._witnesses: dict[tuple[int, ...], Witnesses] = {}
        self._columns_for: dict[tuple[int, ...], frozenset[str]] = {}
        for question in {one for clauses in self._clauses for clause in clauses for one in clause}:
            self._number(question)  # that of a pattern stands in no rule
        self._questions: dict[str, list[_Questions]] = {}
        for node, number in self._numbers.items():
            if isinstance(node, Predicate) and node.op in PLACES:
                _add(self._questions.setdefault(node.field, []), node, number)
        self.wide: set[str] = set()
        """Fields that had many distinct values when they were last looked through: the others come first."""
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

    def witnesses(self, places: tuple[int, ...]) -> Witnesses:
        """The witnesses of the rules at some places."""
        found = self._witnesses.get(places)
        if found is None:
            if len(self._witnesses) >= DATASETS_REMEMBERED_MAX:
                self._witnesses.clear()
            found = self._witnesses[places] = Witnesses.of(places, self._clauses, self.number_of)
        return found

    def questions(self, field: str) -> list[_Questions]:
        """The questions about literals of a field."""
        return self._questions.get(field, [])

    def field_of(self, number: int) -> str:
        """The field of the predicate with a number."""
        node = self.steps[number].node
        assert isinstance(node, Predicate)  # noqa: S101 - only predicates are asked about
        return node.field

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

    def columns_for(self, places: tuple[int, ...]) -> frozenset[str]:
        """The columns that the rules at some places look at."""
        found = self._columns_for.get(places)
        if found is None:
            if len(self._columns_for) >= DATASETS_REMEMBERED_MAX:
                self._columns_for.clear()
            found = frozenset().union(*(self._columns_of[place] for place in places))
            self._columns_for[places] = found
        return found

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

    `rows` are rows of the batch. `small` has the columns of these rows alone, once something was asked of them.
    """

    rules: tuple[int, ...]
    rows: Rows
    masks: dict[int, Mask] = field(default_factory=dict)
    codes: dict[str, Rows] = field(default_factory=dict)
    small: _View | None = None


def _rows_asked(matcher: Matcher, slices: Sequence[_Part], height: int, column: str) -> Rows | None:
    """The rows whose rules look at a column; None when that is most of them."""
    if column == DATASET:  # by which the rows are cut in the first place
        return None
    rows = [part.rows for part in slices if column in matcher.columns_for(part.rules)]
    if sum(len(one) for one in rows) * 2 > height:
        return None
    return np.sort(np.concatenate(rows)) if rows else None


class Look:
    """One batch as the rules see it."""

    def __init__(self, matcher: Matcher, frame: pl.DataFrame) -> None:
        self._matcher = matcher
        self._bounds = matcher.bounds
        self._frame = frame
        self.slices: list[_Part] = []
        # No method of ours: what reaches itself keeps its batch until Python looks for such things, many batches later.
        self._whole = _View(Columns(frame, partial(_rows_asked, matcher, self.slices, frame.height), matcher.keys))
        self._counts = np.full(len(matcher.steps), UNKNOWN, dtype=np.int64)
        self._searched: set[str] = set()
        self._values: dict[int, Rows] = {}
        self._turned: dict[str, int] = {}
        self._slice_of: Rows = np.empty(0, dtype=np.intp)
        self.slices += self._cut()

    def matches(self) -> dict[str, Rows]:
        found: dict[int, list[Rows]] = {}
        for number, part in enumerate(self.slices):
            for place, asked in self._asking(number, part):
                mask = self._evaluate(asked, self._matcher.roots[place])
                if mask is False:
                    continue
                rows = asked.rows if mask is True else asked.rows[mask]
                if len(rows):  # a negation's mask may be false everywhere
                    found.setdefault(place, []).append(rows)
        return {
            self._matcher.rules[place].id: rows[0] if len(rows) == 1 else np.sort(np.concatenate(rows))
            for place, rows in sorted(found.items())
        }

    def _asking(self, number: int, part: _Part) -> Iterator[tuple[int, _Part]]:
        """The rules that may be true of some row of a slice, each with the rows of which it may be."""
        if len(part.rules) < self._bounds.rules_min:
            yield from ((place, part) for place in part.rules)
            return
        witnesses = self._matcher.witnesses(part.rules)
        yield from ((place, part) for place in witnesses.without)
        if not witnesses.clauses:
            return
        sums = self._sums(witnesses)
        least = witnesses.least(sums)
        for rule in np.flatnonzero(least).tolist():
            place = int(witnesses.with_clauses[rule])
            if not self._is_few(int(least[rule])):
                yield place, part
                continue
            rows = self._rows_with(witnesses.best(rule, sums))
            if len(part.rows) < self._frame.height:
                rows = rows[self._slice_of[rows] == number]
            if len(rows):
                yield place, _Part(part.rules, rows)

    def _sums(self, witnesses: Witnesses) -> Integers:
        """How many rows each clause leaves at most. Wide columns are searched only for rules whose other witnesses do not suffice."""
        for name in witnesses.fields:
            if name not in self._matcher.wide and name not in self._searched:
                self._search(name)
        sums = witnesses.sums(self._counts)
        needed = witnesses.fields_asked(~self._is_few_of(witnesses.least(sums)))
        missing = [name for name in needed if name not in self._searched]
        for name in missing:
            self._search(name)
        return witnesses.sums(self._counts) if missing else sums

    def _search(self, name: str) -> None:
        """Find all literals of a field, and how many rows each question has then."""
        self._searched.add(name)
        column = self._whole.columns.get(name)
        for questions in self._matcher.questions(name):
            numbers = np.array(questions.numbers)
            if column is None:
                self._counts[numbers] = 0
                continue
            hits = questions.hits(column)
            values = hits.texts if column.owners is None else column.owners[hits.texts]
            held = values if column.codes is None else column.rows_held.take(values)
            sums = np.concatenate([[0], np.cumsum(np.ones_like(held) if column.codes is None else held)])
            self._counts[numbers] = np.diff(sums[hits.ends])
            for place in np.flatnonzero(np.diff(hits.ends)).tolist():
                held = values[hits.ends[place] : hits.ends[place + 1]]
                self._values[questions.numbers[place]] = held if column.owners is None else np.unique(held)
        if column is not None:
            (self._matcher.wide.add if column.size > SMALL_MAX else self._matcher.wide.discard)(name)

    def _rows_with(self, clause: Sequence[int]) -> Rows:
        """The rows of which some question of a clause is true."""
        held: dict[str, list[Rows]] = {}
        for number in clause:
            if (values := self._values.get(number)) is not None:
                held.setdefault(self._matcher.field_of(number), []).append(values)
        found = [self._rows_holding(name, values) for name, values in held.items()]
        return found[0] if len(found) == 1 else _once(np.sort(np.concatenate(found)))

    def _rows_holding(self, name: str, values: Sequence[Rows]) -> Rows:
        """The rows that hold one of a column's values, in order."""
        every = values[0] if len(values) == 1 else _once(np.sort(np.concatenate(values)))
        column = self._whole.columns.get(name)
        if column is None or column.codes is None:
            return every
        self._turned[name] = self._turned.get(name, 0) + 1
        if self._turned[name] <= TURNED_MIN:
            truth = np.zeros(column.size + 1, dtype=np.bool_)
            truth[every] = True
            return np.flatnonzero(truth.take(column.codes))
        order, starts = column.rows_by_value
        return np.sort(np.concatenate([order[starts[value] : starts[value + 1]] for value in every.tolist()]))

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
        self._slice_of = groups = group_of[codes]
        return [_Part(rules, np.flatnonzero(groups == group)) for group, rules in enumerate(kept)]

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
            if not self._is_few(len(part.rows)) and self._is_few(left):
                return self._rest(part, result, children[place + 1 :])
        return result

    def _is_few(self, rows: int) -> bool:
        return self._frame.height >= self._bounds.rows_min and rows * self._bounds.few_share <= self._frame.height

    def _is_few_of(self, rows: Integers) -> Truth:
        if self._frame.height < self._bounds.rows_min:
            return np.zeros(len(rows), dtype=np.bool_)
        few: Truth = rows <= self._frame.height // self._bounds.few_share
        return few

    def _rest(self, part: _Part, mask: Truth, children: Sequence[int]) -> Mask:
        """The other children of a conjunction, asked of the rows that it has left."""
        if not children:
            return mask
        left = np.flatnonzero(mask)
        answers = self._all(_Part(part.rules, part.rows[left]), children)
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
        view, rows = self._whole, part.rows
        if self._is_few(len(rows)) and not self._is_known(number, predicate):
            if part.small is None:
                part.small = _View(Columns(self._frame, lambda _: None, self._matcher.keys, rows))
            view, rows = part.small, np.arange(len(rows))
        if view is self._whole and predicate.op in PLACES and predicate.field in self._searched:
            return self._found(part, number, predicate.field)
        if predicate.op is Op.SAME or predicate.op is Op.PRESENT:
            truth = self._by_row(view, number, predicate)
        else:
            truth = self._by_value(view, number, predicate)
            if truth is not None and view is self._whole:
                rows = self._codes(part, predicate.field, rows)
        if truth is None:
            return False
        mask = truth.take(rows)
        return mask if mask.any() else False

    def _is_known(self, number: int, predicate: Predicate) -> bool:
        """Whether what is known of the whole batch answers a predicate, or will at little cost."""
        if predicate.op is Op.PRESENT or number in self._whole.truths:
            return True
        if predicate.op in PLACES and predicate.field in self._searched:
            return True
        return predicate.op is not Op.SAME and self._whole.columns.is_small(predicate.field)

    def _codes(self, part: _Part, name: str, rows: Rows) -> Rows:
        """The places of a column's values for a part's rows; looked up once, whatever is asked of the column."""
        codes = part.codes.get(name)
        if codes is None:
            column = self._whole.columns.get(name)
            codes = part.codes[name] = rows if column is None else column.codes_at(rows)
        return codes

    def _by_value(self, view: _View, number: int, predicate: Predicate) -> Truth | None:
        """Answers per distinct value; None when there is no value of which it is true."""
        if number not in view.truths:
            column = view.columns.get(predicate.field)
            truth = None if column is None else self._matcher.memory.answer(number, predicate, column)
            view.truths[number] = truth if truth is not None and truth.any() else None
        return view.truths[number]

    def _found(self, part: _Part, number: int, name: str) -> Mask:
        """The answers that a search for literals has given, for a part's rows."""
        values, column = self._values.get(number), self._whole.columns.get(name)
        if values is None or column is None:
            return False
        codes = self._codes(part, name, part.rows)
        if self._is_few(len(codes)):  # to look them up costs less than a table of all values
            mask: Truth = values.take(np.searchsorted(values, codes), mode="clip") == codes
        else:
            truth = np.zeros(column.size + 1, dtype=np.bool_)
            truth[values] = True
            mask = truth.take(codes)
        return mask if mask.any() else False

    def _by_row(self, view: _View, number: int, predicate: Predicate) -> Truth | None:
        if number not in view.truths:
            truth = (
                compare_fields(predicate, view.columns)
                if predicate.op is Op.SAME
                else view.columns.present(predicate.field)
            )
            view.truths[number] = truth
        return view.truths[number]


def _once(rows: Rows) -> Rows:
    """Sorted rows without repeats."""
    return rows[np.diff(rows, prepend=-1) > 0]


def _not(mask: Mask) -> Mask:
    return not mask if isinstance(mask, bool) else ~mask
