"""Answers a predicate for every distinct value of a column at once."""

from __future__ import annotations

import ipaddress
import operator
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.sigma.columns import FOLDED, TEXT, Column, Columns, Truth
from detectors.sigma.condition import Op, Predicate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from detectors.sigma.distinct import Rows

MEETINGS_MAX: Final = 1_000_000
"""Texts of one field compared with texts of another at a time; a single pair of lists may have as many."""

SORTED_SHARE: Final = 8
"""Pairs of values are sorted where there could be more than so many times as many as there are; otherwise a table of all of them costs less."""

LITERALS_MAX: Final = 3
"""Up to so many literals are looked for one by one; more are looked for in one pass."""

_COMPARE: Final[dict[str, Callable[[Any, Any], Truth]]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def answer(predicate: Predicate, column: Column) -> Truth:
    """Which of a column's values the predicate is true of (`Column.truth`)."""
    match predicate.op:
        case Op.NETWORK:
            return column.truth(_in_networks(column, predicate.operands))
        case Op.NUMBER:
            numbers, valid = column.numbers
            return column.truth(_COMPARE[predicate.detail](numbers, predicate.operands[0]) & valid)
        case Op.TIME:
            return column.truth(_at(column, predicate))
    form = TEXT if predicate.cased else FOLDED
    places = column.small(form)
    if places is not None and predicate.op is not Op.PATTERN:
        return column.truth(_one_by_one(predicate, places, len(column.texts)))
    texts = column.frame(form).select(_question(predicate, pl.col(form)).fill_null(value=False))
    return column.truth(texts.to_series().to_numpy())


def _one_by_one(predicate: Predicate, places: dict[str, list[int]], size: int) -> Truth:
    """Answers for a column of few values."""
    operands = tuple(str(operand) for operand in predicate.operands)
    match predicate.op:
        case Op.EQUAL:
            found = [text for text in operands if text in places]
        case Op.STARTS:
            found = [text for text in places if text.startswith(operands)]
        case Op.ENDS:
            found = [text for text in places if text.endswith(operands)]
        case _:
            found = [text for text in places if any(operand in text for operand in operands)]
    truth = np.zeros(size, dtype=np.bool_)
    truth[[place for text in found for place in places[text]]] = True
    return truth


def _question(predicate: Predicate, value: pl.Expr) -> pl.Expr:
    """A question about texts as an expression on all of them."""
    operands = [str(operand) for operand in predicate.operands]
    match predicate.op:
        case Op.EQUAL:
            return value == operands[0] if len(operands) == 1 else value.is_in(operands)
        case Op.STARTS:
            return _either([value.str.starts_with(text) for text in operands])
        case Op.ENDS:
            return _either([value.str.ends_with(text) for text in operands])
        case Op.CONTAINS:
            if len(operands) > LITERALS_MAX:
                return value.str.contains_any(operands)
            return _either([value.str.contains(text, literal=True) for text in operands])
        case Op.PATTERN:
            return _either([value.str.contains(text) for text in operands])
    raise AssertionError(predicate)


def _either(questions: Sequence[pl.Expr]) -> pl.Expr:
    return reduce(operator.or_, questions)


def _at(column: Column, predicate: Predicate) -> Truth:
    """A part of a time, in UTC, compared with a number."""
    if column.values.dtype != pl.Int64:
        return np.zeros(len(column.texts), dtype=np.bool_)
    part, _, comparison = predicate.detail.partition(" ")
    moments = column.values.cast(pl.Datetime("us", "UTC")).dt
    numbers = getattr(moments, part)().cast(pl.Int64)
    valid: Truth = numbers.is_not_null().to_numpy()
    return _COMPARE[comparison](numbers.fill_null(0).to_numpy(), predicate.operands[0]) & valid


def _in_networks(column: Column, operands: Sequence[object]) -> Truth:
    """Whether each text is an address in one of the networks.

    Addresses of the fourth version, nearly all, are compared as numbers in one go; the others one by one, and one of
    the sixth that merely wraps one of the fourth counts as that.
    """
    networks = [ipaddress.ip_network(str(operand)) for operand in operands]
    numbers = column.addresses
    inside = np.zeros(len(numbers), dtype=np.bool_)
    for network in networks:
        if network.version == 4:
            inside |= (numbers >= int(network.network_address)) & (numbers <= int(network.broadcast_address))
    wide = column.wide_addresses
    if wide:
        texts = column.texts.gather(wide)
        holds = {text: _holds(networks, text) for text in texts.unique().to_list()}
        inside[wide] = [holds[text] for text in texts.to_list()]
    return inside


def _holds(networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network], text: str) -> bool:
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text)
    except ValueError:
        return False
    wrapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any(address in network or (wrapped is not None and wrapped in network) for network in networks)


def compare_fields(predicate: Predicate, columns: Columns) -> Truth | None:
    """A row-by-row comparison of two fields, true where some value of one meets some value of the other.

    Each pair of distinct values is compared once. Case does not matter. None when a field is nowhere present.
    """
    left, right = columns.get(predicate.field), columns.get(str(predicate.operands[0]))
    if left is None or right is None:
        return None
    rows = np.arange(columns.height)
    first, second = left.codes_at(rows), right.codes_at(rows)
    both = np.flatnonzero(left.present[first] & right.present[second])
    if not len(both):
        return None
    pairs, back = _distinct(first[both] * (right.size + 1) + second[both], left.size * (right.size + 1))
    mine, others = pairs // (right.size + 1), pairs % (right.size + 1)
    if left.owners is None and right.owners is None:
        truth = _one_to_one(predicate.detail, left, mine, right, others)
    else:
        truth = _any_to_any(predicate.detail, left, mine, right, others)
    return _at_rows(both[truth[back]], columns.height)


def _one_to_one(detail: str, left: Column, mine: Rows, right: Column, others: Rows) -> Truth:
    """Pairs of values that have one text each."""
    first, second = (
        column.frame(FOLDED).get_column(FOLDED)[pl.Series(places, dtype=pl.UInt32)]
        for column, places in ((left, mine), (right, others))
    )
    met = pl.DataFrame({"a_text": first, "b_text": second}).select(_SAME[detail].fill_null(value=False))
    return met.to_series().to_numpy()


def _any_to_any(detail: str, left: Column, mine: Rows, right: Column, others: Rows) -> Truth:
    """Pairs of values of which some is a list."""
    frame = pl.DataFrame({"pair": np.arange(len(mine)), "a": mine, "b": others})
    truth = np.zeros(len(mine), dtype=np.bool_)
    if detail == "is":
        texts = frame.join(_texts_of(left, "a"), on="a")
        truth[
            texts.join(_texts_of(right, "b"), left_on=["b", "a_text"], right_on=["b", "b_text"]).get_column("pair")
        ] = True
        return truth
    for some in _bounded(frame, left, right):
        texts = some.join(_texts_of(left, "a"), on="a").join(_texts_of(right, "b"), on="b")
        truth[texts.filter(_SAME[detail]).get_column("pair")] = True
    return truth


def _at_rows(rows: Rows, height: int) -> Truth:
    truth = np.zeros(height, dtype=np.bool_)
    truth[rows] = True
    return truth


def _distinct(numbers: Rows, end: int) -> tuple[Rows, Rows]:
    """The distinct ones of numbers below an end, in order, and where each is among them."""
    if end > len(numbers) * SORTED_SHARE:
        return np.unique(numbers, return_inverse=True)
    is_there = np.zeros(end, dtype=np.bool_)
    is_there[numbers] = True
    places = np.cumsum(is_there) - 1
    return np.flatnonzero(is_there), places[numbers]


_VALUE, _OTHER = pl.col("a_text"), pl.col("b_text")
_SAME: Final = {
    "is": _VALUE == _OTHER,
    "starts with": _VALUE.str.starts_with(_OTHER),
    "ends with": _VALUE.str.ends_with(_OTHER),
    "contains": _VALUE.str.contains(_OTHER, literal=True),
}


def _bounded(pairs: pl.DataFrame, left: Column, right: Column) -> Iterator[pl.DataFrame]:
    """The pairs in portions: of two lists every element meets every other, and all of them must not do so at once."""
    meetings = _texts_in(left)[pairs.get_column("a").to_numpy()] * _texts_in(right)[pairs.get_column("b").to_numpy()]
    portion = np.cumsum(meetings) // MEETINGS_MAX
    for start, end in pairwise([*np.flatnonzero(np.diff(portion, prepend=-1)).tolist(), len(meetings)]):
        yield pairs.slice(start, end - start)


def _texts_in(column: Column) -> npt.NDArray[np.int64]:
    """How many texts each value has; none for the place of rows without a value."""
    owners = column.owners if column.owners is not None else np.arange(column.size)
    return np.bincount(owners, minlength=column.size + 1).astype(np.int64)


def _texts_of(column: Column, name: str) -> pl.DataFrame:
    """Each value's texts, folded, beside the value's place."""
    owners = column.owners if column.owners is not None else np.arange(column.size)
    texts = column.frame(FOLDED).get_column(FOLDED)
    return pl.DataFrame({name: owners.astype(np.int64), f"{name}_text": texts}).filter(
        pl.col(f"{name}_text").is_not_null()
    )
