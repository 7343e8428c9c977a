"""What one predicate on a field says about another: that it holds too, or that it cannot.

Implications hold for lists as well, where a predicate is true when it is true of some element. Exclusions hold for single
values only: a list may hold both. Where nothing is known the answer is no.
"""

from __future__ import annotations

import ipaddress
import math
from typing import TYPE_CHECKING, Final

import polars as pl

from detectors.sigma.condition import Op, Predicate, fold_text

if TYPE_CHECKING:
    from collections.abc import Callable

_STARTS, _ENDS, _CONTAINS, _EQUAL = Op.STARTS, Op.ENDS, Op.CONTAINS, Op.EQUAL
_TEXTS: Final = frozenset({_STARTS, _ENDS, _CONTAINS, _EQUAL})
_IMPLIED: Final[dict[tuple[Op, Op], Callable[[str, str], bool]]] = {
    (_EQUAL, _EQUAL): str.__eq__,
    (_EQUAL, _STARTS): str.startswith,
    (_EQUAL, _ENDS): str.endswith,
    (_EQUAL, _CONTAINS): str.__contains__,
    (_STARTS, _STARTS): str.startswith,
    (_STARTS, _CONTAINS): str.__contains__,
    (_ENDS, _ENDS): str.endswith,
    (_ENDS, _CONTAINS): str.__contains__,
    (_CONTAINS, _CONTAINS): str.__contains__,
}
"""Whether a text that the first is true of is one that the second is true of."""

_EXCLUDED: Final[dict[tuple[Op, Op], Callable[[str, str], bool]]] = {
    (_EQUAL, _EQUAL): str.__ne__,
    (_EQUAL, _STARTS): lambda one, other: not one.startswith(other),
    (_EQUAL, _ENDS): lambda one, other: not one.endswith(other),
    (_EQUAL, _CONTAINS): lambda one, other: other not in one,
    (_STARTS, _STARTS): lambda one, other: not (one.startswith(other) or other.startswith(one)),
    (_ENDS, _ENDS): lambda one, other: not (one.endswith(other) or other.endswith(one)),
}


def implies(one: Predicate, other: Predicate) -> bool:
    """Whether the other is true of every event that the one is true of."""
    if one == other:
        return True
    if one.field != other.field:
        return other.op is Op.PRESENT and one.op is Op.SAME and other.field in one.operands
    if other.op is Op.PRESENT:
        return True
    against = singles(other)
    return all(any(_implies(each, some) for some in against) for each in singles(one))


def excludes(one: Predicate, other: Predicate) -> bool:
    """Whether no single value of the field can meet both."""
    if one.field != other.field:
        return False
    return all(_excludes(each, against) for each in singles(one) for against in singles(other))


def singles(predicate: Predicate) -> list[Predicate]:
    """The same question for each operand by itself."""
    if len(predicate.operands) < 2:
        return [predicate]
    return [
        Predicate(predicate.field, predicate.op, (operand,), predicate.cased, predicate.detail)
        for operand in predicate.operands
    ]


def _implies(one: Predicate, other: Predicate) -> bool:
    """Of predicates of one field with an operand each."""
    if one == other:
        return True
    if one.op in _TEXTS and other.op in _TEXTS:
        told = _IMPLIED.get((one.op, other.op))
        if told is None or (other.cased and not one.cased):
            return False
        return told(_text(one, other), str(other.operands[0]))
    if one.op is Op.EQUAL and other.op is Op.PATTERN and not one.cased and not other.cased:
        return bool(pl.Series([str(one.operands[0])]).str.contains(str(other.operands[0]))[0])
    if other.op is Op.NETWORK and one.op in (Op.NETWORK, Op.EQUAL):
        inner, outer = _network(one), _network(other)
        return inner is not None and outer is not None and inner.version == outer.version and _is_in(inner, outer)
    ranges = _ranges(one, other)
    return ranges is not None and _covers(ranges[1], ranges[0])


def _excludes(one: Predicate, other: Predicate) -> bool:
    """Of predicates of one field with an operand each."""
    if one.op in _TEXTS and other.op in _TEXTS:
        folded = not (one.cased and other.cased)
        first, second = (fold_text(str(each.operands[0])) if folded else str(each.operands[0]) for each in (one, other))
        if (told := _EXCLUDED.get((one.op, other.op))) is not None:
            return told(first, second)
        told = _EXCLUDED.get((other.op, one.op))
        return told is not None and told(second, first)
    if Op.NETWORK in (one.op, other.op) and {one.op, other.op} <= {Op.NETWORK, Op.EQUAL}:
        inner, outer = _network(one), _network(other)
        return inner is not None and outer is not None and not inner.overlaps(outer)
    ranges = _ranges(one, other)
    return ranges is not None and _are_apart(*ranges)


def _text(one: Predicate, other: Predicate) -> str:
    """The one's text in the form that the other compares."""
    text = str(one.operands[0])
    return fold_text(text) if one.cased and not other.cased else text


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(predicate: Predicate) -> _Network | None:
    try:
        return ipaddress.ip_network(str(predicate.operands[0]))
    except ValueError:
        return None


def _is_in(inner: _Network, outer: _Network) -> bool:
    return outer.supernet_of(inner)  # type: ignore[arg-type] # of one version, as the caller has seen


_Range = tuple[float, bool, float, bool]
"""Lower end, whether it belongs, upper end, whether it belongs."""


def _ranges(one: Predicate, other: Predicate) -> tuple[_Range, _Range] | None:
    """What numbers two predicates of one kind allow."""
    if one.op is not other.op or one.op not in (Op.NUMBER, Op.TIME):
        return None
    (first, sign), (second, other_sign) = (_comparison(each) for each in (one, other))
    if first != second:
        return None
    return _range(sign, float(one.operands[0])), _range(other_sign, float(other.operands[0]))


def _comparison(predicate: Predicate) -> tuple[str, str]:
    """The part of a time, if it is one, and the sign."""
    part, _, sign = predicate.detail.rpartition(" ")
    return part, sign


def _range(sign: str, value: float) -> _Range:
    lower = (-math.inf, False) if sign in ("<", "<=") else (value, sign != ">")
    upper = (math.inf, False) if sign in (">", ">=") else (value, sign != "<")
    return (*lower, *upper)


def _covers(outer: _Range, inner: _Range) -> bool:
    low = inner[0] > outer[0] or (inner[0] == outer[0] and (outer[1] or not inner[1]))
    high = inner[2] < outer[2] or (inner[2] == outer[2] and (outer[3] or not inner[3]))
    return low and high


def _are_apart(one: _Range, other: _Range) -> bool:
    first, second = sorted((one, other))
    return first[2] < second[0] or (first[2] == second[0] and not (first[3] and second[1]))
