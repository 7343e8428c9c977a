"""Remembers the answers to predicates for the values of columns that repeat themselves from batch to batch.

An answer depends on the predicate and the value alone, so remembering it changes nothing but the cost: a column of a few
hundred distinct values, the same in nearly every batch, is asked only about values it has not shown before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors.sigma.columns import SMALL_MAX, Column, Truth
from detectors.sigma.distinct import Rows
from detectors.sigma.predicates import answer

if TYPE_CHECKING:
    from detectors.sigma.condition import Predicate

VALUES_MAX: Final = 4_096
"""Values of one field that are remembered; past it that field's memory starts anew."""

BYTES_MAX: Final = 1_048_576
"""Bytes of values of one field that are remembered; past it that field's memory starts anew."""

COLUMN_BYTES_MAX: Final = 65_536
"""Bytes of distinct values in one batch up to which they are worth remembering."""

_EXACT: Final = (pl.String, pl.Int64, pl.Boolean)
"""Types of which equal values are the same value; numbers with fractions have two zeros."""


@dataclass(slots=True)
class _Field:
    """The values that a field has shown, in the order in which it did, and each predicate's answers for the first of them."""

    dtype: pl.DataType
    places: dict[Any, int] = field(default_factory=dict)
    answers: dict[int, Truth] = field(default_factory=dict)
    bytes_seen: int = 0
    fresh: tuple[int, int, Column] | None = None  # the values from one place to another, last asked about

    def between(self, begin: int, end: int) -> Column:
        """The values of some places, as a column."""
        if self.fresh is None or self.fresh[:2] != (begin, end):
            values = pl.Series(list(self.places)[begin:end], dtype=self.dtype)
            self.fresh = begin, end, Column(len(values), None, values)
        return self.fresh[2]

    @property
    def is_full(self) -> bool:
        return len(self.places) > VALUES_MAX or self.bytes_seen > BYTES_MAX

    def places_of(self, values: pl.Series) -> Rows:
        """Where values stand; new ones are taken up."""
        before = len(self.places)
        found = [self.places.setdefault(one, len(self.places)) for one in values.to_list()]
        if len(self.places) > before:
            self.bytes_seen += int(values.estimated_size())
        return np.array(found, dtype=np.intp)


class Memory:
    """Answers by field, value and predicate; predicates are told by their number."""

    def __init__(self) -> None:
        self._fields: dict[str, _Field] = {}

    def answer(self, number: int, predicate: Predicate, column: Column) -> Truth:
        """What `answer` says, asked only about values that are new."""
        known = self._known(predicate.field, column)
        if known is None:
            return answer(predicate, column)
        remembered, places = known
        answers = remembered.answers.get(number)
        if answers is None or len(answers) < len(remembered.places):
            answers = remembered.answers[number] = _completed(remembered, answers, predicate)
        return np.append(answers[places], False)

    def _known(self, name: str, column: Column) -> tuple[_Field, Rows] | None:
        """The field's memory, this column's values among it, and where they stand in it; None for a column too large."""
        values = column.values
        if column.codes is None or column.size > SMALL_MAX or values.dtype not in _EXACT:
            return None
        if values.estimated_size() > COLUMN_BYTES_MAX:
            return None
        remembered = self._fields.get(name)
        if remembered is None or remembered.is_full or remembered.dtype != values.dtype:
            remembered = self._fields[name] = _Field(values.dtype)
        if column.remembered is None or column.remembered[0] is not remembered:
            column.remembered = remembered, remembered.places_of(values)
        return remembered, column.remembered[1]


def _completed(remembered: _Field, answers: Truth | None, predicate: Predicate) -> Truth:
    """A predicate's answers for every value remembered."""
    begin = 0 if answers is None else len(answers)
    found = answer(predicate, remembered.between(begin, len(remembered.places)))[:-1]
    return found if answers is None else np.concatenate([answers, found])
