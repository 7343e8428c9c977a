"""The columns of a batch as dictionaries: each distinct value once, so that a predicate is answered once per value.

A column of mostly different values is taken as it stands, which is cheaper than finding that out value by value.
Lists (JSON text that begins with ``[``) become their elements: a predicate is true of a list when it is true of some
element. A list that holds more than plain values also counts as the text it is, because a request body may be such a
list and rules look for text in bodies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.sigma.arguments import mended
from detectors.sigma.condition import fold
from detectors.sigma.distinct import Rows, distinct, is_mostly_distinct
from detectors.sigma.fields import ARGUMENTS
from detectors.sigma.members import Members

if TYPE_CHECKING:
    from collections.abc import Callable

Truth = npt.NDArray[np.bool_]

SMALL_MAX: Final = 512
"""Distinct values up to which a column is small enough to be asked value by value."""

LIST_ELEMENTS_MAX: Final = 1_000
"""A longer list is taken as the text it is: a line may hold hundreds of thousands of elements."""

LISTS_REMEMBERED_MAX: Final = 8_192
"""Lists whose elements are remembered: those that come with the registry are the same in every batch."""

LIST_CHARACTERS_MAX: Final = 512
"""A longer list is not remembered."""

TEXT, FOLDED = "text", "folded"
"""The forms of a column's texts: as they stand, and without case."""

IPV4: Final = r"\A(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\z"
"""An address of the fourth version; leading zeros are read as octal by some and not by others, so they make it none."""


@dataclass(slots=True)
class Column:
    """The distinct values of one field in one batch.

    `codes` gives, for each row, the value's place, or `size` where the row has none; None means that every row is its
    own value. `texts` are the elements of the values: one each and in order, unless `owners` says whose they are.
    """

    size: int
    codes: Rows | None
    values: pl.Series
    remembered: tuple[object, Rows] | None = None  # see `memory`
    _elements: tuple[pl.Series, Rows | None] | None = None
    _frame: pl.DataFrame | None = None
    _places: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    _numbers: tuple[npt.NDArray[Any], Truth] | None = None
    _addresses: npt.NDArray[np.int64] | None = None
    _wide: list[int] | None = None
    _held: npt.NDArray[np.int64] | None = None
    _by_value: tuple[Rows, Rows] | None = None

    @property
    def texts(self) -> pl.Series:
        return self._told[0]

    @property
    def owners(self) -> Rows | None:
        return self._told[1]

    @property
    def _told(self) -> tuple[pl.Series, Rows | None]:
        """Made when first asked for: of some columns only what stands inside of them is looked at."""
        if self._elements is None:
            self._elements = elements(self.values)
        return self._elements

    def frame(self, form: str) -> pl.DataFrame:
        """The elements in the forms made so far, this one among them."""
        frame = self._frame
        if frame is None:
            frame = pl.DataFrame({TEXT: self.texts})
        if form not in frame.columns:
            frame = frame.with_columns(fold(pl.col(TEXT)).alias(FOLDED))
        self._frame = frame
        return frame

    def small(self, form: str) -> dict[str, list[int]] | None:
        """Where each text stands among the elements, when there are few: no engine beats a look into a dictionary."""
        if len(self.texts) > SMALL_MAX:
            return None
        if form not in self._places:
            places: dict[str, list[int]] = {}
            for place, text in enumerate(self.frame(form).get_column(form).to_list()):
                if text is not None:
                    places.setdefault(text, []).append(place)
            self._places[form] = places
        return self._places[form]

    @property
    def numbers(self) -> tuple[npt.NDArray[Any], Truth]:
        """The elements as numbers, and which of them are numbers at all."""
        if self._numbers is None:
            if self.owners is None and self.values.dtype in (pl.Int64, pl.Float64):
                series = self.values
            else:
                series = self.texts.cast(pl.Float64, strict=False)
            valid = series.is_not_null() & (
                series.is_finite().fill_null(value=False) if series.dtype == pl.Float64 else True
            )
            self._numbers = series.fill_null(0).to_numpy(), valid.to_numpy()
        return self._numbers

    @property
    def addresses(self) -> npt.NDArray[np.int64]:
        """The elements as Internet addresses of the fourth version, as numbers; -1 where they are none."""
        if self._addresses is None:
            parts = self.texts.str.extract_groups(IPV4).struct.unnest()
            octets = [parts[name].cast(pl.Int64) for name in parts.columns]
            number = octets[0] * 2**24 + octets[1] * 2**16 + octets[2] * 2**8 + octets[3]
            valid = (octets[0] < 256) & (octets[1] < 256) & (octets[2] < 256) & (octets[3] < 256)
            self._addresses = number.set(~valid, -1).fill_null(-1).to_numpy()
        return self._addresses

    @property
    def wide_addresses(self) -> list[int]:
        """The elements that may be addresses of the sixth version: few, so they are looked at one by one."""
        if self._wide is None:
            self._wide = self.texts.str.contains(":", literal=True).fill_null(value=False).arg_true().to_list()
        return self._wide

    def truth(self, answers: Truth) -> Truth:
        """An answer per element as an answer per value, with "no" at the end for rows without a value."""
        truth = np.zeros(self.size + 1, dtype=np.bool_)
        if self.owners is None:
            truth[: self.size] = answers
        else:
            truth[self.owners[answers]] = True
        return truth

    @property
    def present(self) -> Truth:
        truth = np.zeros(self.size + 1, dtype=np.bool_)
        truth[: self.size] = self.values.is_not_null().to_numpy()
        return truth

    @property
    def rows_held(self) -> npt.NDArray[np.int64]:
        """How many rows hold each value."""
        assert self.codes is not None  # noqa: S101 - where every row is its own value, nobody asks
        if self._held is None:
            self._held = np.bincount(self.codes, minlength=self.size + 1)
        return self._held

    @property
    def rows_by_value(self) -> tuple[Rows, Rows]:
        """The rows in the order of their values, and where those of each value begin."""
        assert self.codes is not None  # noqa: S101 - where every row is its own value, nobody asks
        if self._by_value is None:
            narrow = self.codes.astype(np.uint16) if self.size < 2**16 else self.codes
            order = np.argsort(narrow, kind="stable")  # of sixteen bits by radix, a tenth of the time
            self._by_value = order, np.concatenate([[0], np.cumsum(self.rows_held)])
        return self._by_value

    def codes_at(self, rows: Rows) -> Rows:
        return rows if self.codes is None else self.codes.take(rows)


class Columns:
    """The columns of one batch, or of its rows `at`, each made when first asked for.

    `rows_of` says which rows any rule will ask about in a column; None means all. `keys` are those of the arguments that
    any rule will ask for.
    """

    def __init__(
        self,
        frame: pl.DataFrame,
        rows_of: Callable[[str], Rows | None],
        keys: frozenset[str],
        at: Rows | None = None,
    ) -> None:
        self._frame = frame
        self._keys = keys
        self._arguments: Members | None = None
        self._rows_of = rows_of
        self.at = at
        self._at = None if at is None else pl.Series(at, dtype=pl.UInt32)
        self._columns: dict[str, Column | None] = {}

    @property
    def height(self) -> int:
        return self._frame.height if self.at is None else len(self.at)

    def is_small(self, field: str) -> bool:
        """Whether a column has been read and has so few values that any question about them costs little."""
        column = self._columns.get(field)
        return field in self._columns and (column is None or column.size <= SMALL_MAX)

    def get(self, field: str) -> Column | None:
        """The column, or None when no row of the batch has the field."""
        if field not in self._columns:
            self._columns[field] = self._make(field)
        return self._columns[field]

    def present(self, field: str) -> Truth | None:
        """For each row whether it has the field at all; None when no row has. A column of the frame need not be read for it."""
        if field in self._frame.columns:
            series = self._series(field)
            return None if series.null_count() == len(series) else series.is_not_null().to_numpy()
        column = self.get(field)
        return None if column is None else column.present[column.codes_at(np.arange(self.height))]

    def _series(self, field: str) -> pl.Series:
        series = self._frame.get_column(field)
        return series if self._at is None else series[self._at]

    def _make(self, field: str) -> Column | None:
        if field in self._frame.columns:
            series = self._series(field)
            if series.null_count() == len(series):
                return None
            if self.at is not None:  # few rows: to look for what repeats costs more than it spares
                return Column(len(series), None, series)
            return encode(series, self._rows_of(field))
        if field.startswith(ARGUMENTS + "."):
            return self._nested(field[len(ARGUMENTS) + 1 :])
        return None

    def _nested(self, path: str) -> Column | None:
        """A value inside the arguments, read once from each distinct text of arguments."""
        outer = self.get(ARGUMENTS)
        if outer is None:
            return None
        if self._arguments is None:
            self._arguments = Members(outer.values.cast(pl.String), self._keys)
        values = self._arguments.at(path)
        if values.null_count() == len(values):
            return None
        # A text of arguments without the value is a value that is not there: its truth stays "no".
        return Column(outer.size, outer.codes, values)


def encode(series: pl.Series, rows: Rows | None = None) -> Column:
    """One column, as distinct values where they repeat, of the given rows only."""
    height = len(series)
    if rows is not None:
        series = series[pl.Series(rows, dtype=pl.UInt32)]
    values, codes = (series, None) if is_mostly_distinct(series) else distinct(series)
    if rows is not None:
        inner = np.arange(len(series)) if codes is None else codes
        codes = np.full(height, len(values), dtype=np.intp)
        codes[rows] = inner
    return Column(len(values), codes, values)


def elements(values: pl.Series) -> tuple[pl.Series, Rows | None]:
    """The texts that predicates are asked of, and whose they are when some value is a list."""
    if values.dtype != pl.String:
        return values.cast(pl.String), None
    places = _lists_in(values)
    if not places:
        return values, None
    texts: list[str] = []
    owners: list[int] = []
    lists: list[int] = []
    for place, text in zip(places, values.gather(places).to_list(), strict=True):
        found = _remembered_elements(text) if len(text) <= LIST_CHARACTERS_MAX else _elements(text)
        if found is not None:
            lists.append(place)
            texts.extend(found)
            owners.extend([place] * len(found))
    if not lists:
        return values, None
    plain = np.setdiff1d(np.arange(len(values)), np.array(lists))
    everything = pl.concat([values.gather(plain), pl.Series(values.name, texts, dtype=pl.String)])
    return everything, np.concatenate([plain, np.array(owners, dtype=np.intp)])


def _lists_in(values: pl.Series) -> list[int]:
    """Where a text begins like a list."""
    if len(values) <= SMALL_MAX:
        return [place for place, text in enumerate(values.to_list()) if text is not None and text[:1] == "["]
    starts = values.str.starts_with("[")
    return starts.fill_null(value=False).arg_true().to_list() if starts.any() else []


@lru_cache(LISTS_REMEMBERED_MAX)
def _remembered_elements(text: str) -> tuple[str, ...] | None:
    return _elements(text)


def _elements(text: str) -> tuple[str, ...] | None:
    """The distinct elements of a JSON list as texts, or None when the text is no such list, or one too long."""
    try:
        parsed = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        whole = mended(text)
        parsed = None if whole is None else msgspec.json.decode(whole)
    if parsed is None or len(parsed) > LIST_ELEMENTS_MAX:
        return None
    try:
        found = dict.fromkeys(_plain(one) for one in parsed if one is not None)
    except RecursionError:  # read with more of the stack left than there is now
        return None
    if any(isinstance(one, (list, dict)) for one in parsed):
        found[text] = None
    return tuple(found)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
