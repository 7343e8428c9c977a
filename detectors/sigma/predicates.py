"""Answers a predicate for every distinct value of a column at once."""

from __future__ import annotations

import ipaddress
import operator
from functools import reduce
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors.sigma.columns import FOLDED, NUMBER, TEXT, Column, Columns, Truth
from detectors.sigma.condition import Op, Predicate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LITERALS_MAX: Final = 3
"""Up to so many literals are looked for one by one; more are looked for in one pass."""

EXACT_MAX: Final = 2**53
"""Above it a float no longer holds every whole number, so equality is asked of the text."""

_COMPARE: Final[dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def answer(predicate: Predicate, column: Column) -> Truth:
    """Which of a column's values the predicate is true of (`Column.truth`)."""
    if predicate.op is Op.PRESENT:
        return column.present
    if predicate.op is Op.NETWORK:
        return column.truth(_in_networks(column.frame(TEXT).get_column(TEXT), predicate.operands))
    if predicate.op is Op.TIME and column.values.dtype != pl.Int64:
        return np.zeros(column.size + 1, dtype=np.bool_)
    form = _form(predicate)
    return column.truth(column.frame(form).select(_question(predicate, form)).to_series())


def _form(predicate: Predicate) -> str:
    if predicate.op is Op.NUMBER:
        return TEXT if _beyond_exact(predicate) else NUMBER
    if predicate.op is Op.TIME:
        return NUMBER
    return TEXT if predicate.cased else FOLDED


def _beyond_exact(predicate: Predicate) -> bool:
    return predicate.detail == "==" and abs(float(predicate.operands[0])) >= EXACT_MAX


def _question(predicate: Predicate, form: str) -> pl.Expr:
    value = pl.col(form)
    operands = predicate.operands
    match predicate.op:
        case Op.NUMBER:
            if form == TEXT:
                return value == str(operands[0])
            return _COMPARE[predicate.detail](value, _literal(operands[0]))
        case Op.TIME:
            part, _, comparison = predicate.detail.partition(" ")
            moment = value.cast(pl.Datetime("us", "UTC")).dt
            return _COMPARE[comparison](getattr(moment, part)(), pl.lit(operands[0]))
        case Op.EQUAL:
            return value == operands[0] if len(operands) == 1 else value.is_in(list(operands))
        case Op.STARTS:
            return _either([value.str.starts_with(str(text)) for text in operands])
        case Op.ENDS:
            return _either([value.str.ends_with(str(text)) for text in operands])
        case Op.CONTAINS:
            if len(operands) > LITERALS_MAX:
                return value.str.contains_any([str(text) for text in operands])
            return _either([value.str.contains(str(text), literal=True) for text in operands])
        case Op.PATTERN:
            return _either([value.str.contains(str(text)) for text in operands])
    raise AssertionError(predicate)


def _literal(number: str | float) -> pl.Expr:
    """A number that any numeric column can be compared with: whole numbers too large for one become floats."""
    return pl.lit(number if isinstance(number, int) and abs(number) < 2**63 else float(number))


def _either(questions: Sequence[pl.Expr]) -> pl.Expr:
    return reduce(operator.or_, questions)


_IPV4: Final = r"\A(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}\z"


def _in_networks(texts: pl.Series, operands: Sequence[object]) -> pl.Series:
    """Whether each text is an address in one of the networks.

    Addresses of the fourth version, nearly all, are compared as numbers in one go; the others one by one, and one of
    the sixth that merely wraps one of the fourth counts as that.
    """
    networks = [ipaddress.ip_network(str(operand)) for operand in operands]
    common = texts.str.contains(_IPV4).fill_null(value=False)
    parts = texts.filter(common).str.split_exact(".", 3).struct.unnest()
    octets = [parts[name].cast(pl.Int64) for name in parts.columns]
    numbers = octets[0] * 2**24 + octets[1] * 2**16 + octets[2] * 2**8 + octets[3]
    valid = (octets[0] < 256) & (octets[1] < 256) & (octets[2] < 256) & (octets[3] < 256)
    inside = pl.repeat(value=False, n=len(numbers), dtype=pl.Boolean, eager=True)
    for network in networks:
        if network.version == 4:
            inside |= numbers.is_between(int(network.network_address), int(network.broadcast_address))
    result = common.scatter(common.arg_true(), inside & valid)
    rare = texts.str.contains(":", literal=True).fill_null(value=False).arg_true()
    if len(rare):
        result = result.scatter(rare, [_holds(networks, text) for text in texts.gather(rare).to_list()])
    return result


def _holds(networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network], text: str) -> bool:
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text)
    except ValueError:
        return False
    wrapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any(address in network or (wrapped is not None and wrapped in network) for network in networks)


def compare_fields(predicate: Predicate, columns: Columns, height: int) -> Truth | None:
    """A row-by-row comparison of two fields, true where some value of one meets some value of the other.

    Each pair of distinct values is compared once. Case does not matter. None when a field is nowhere present.
    """
    left, right = columns.get(predicate.field), columns.get(str(predicate.operands[0]))
    if left is None or right is None:
        return None
    rows = np.arange(height)
    first, second = left.codes_at(rows).astype(np.int64), right.codes_at(rows).astype(np.int64)
    pairs, back = np.unique(first * (right.size + 1) + second, return_inverse=True)
    frame = pl.DataFrame({"pair": np.arange(len(pairs)), "a": pairs // (right.size + 1), "b": pairs % (right.size + 1)})
    texts = frame.join(_texts_of(left, "a"), on="a").join(_texts_of(right, "b"), on="b")
    value, other = pl.col("a_text"), pl.col("b_text")
    question = {
        "is": value == other,
        "starts with": value.str.starts_with(other),
        "ends with": value.str.ends_with(other),
        "contains": value.str.contains(other, literal=True),
    }[predicate.detail]
    hits = texts.filter(question).get_column("pair").to_numpy()
    truth = np.zeros(len(pairs), dtype=np.bool_)
    truth[hits] = True
    return truth[back]


def _texts_of(column: Column, name: str) -> pl.DataFrame:
    """Each value's texts, folded, beside the value's place."""
    owners = column.owners if column.owners is not None else np.arange(column.size)
    texts = column.frame(FOLDED).get_column(FOLDED)
    return pl.DataFrame({name: owners.astype(np.int64), f"{name}_text": texts}).filter(
        pl.col(f"{name}_text").is_not_null()
    )
