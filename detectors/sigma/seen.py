"""What of a value answers a predicate: which of the operands, in which element of a list, beside what other field."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from detectors.event import Kind, kind_of
from detectors.sigma.columns import elements, encode
from detectors.sigma.condition import Op, Predicate, fold_text
from detectors.sigma.entity import texts_at
from detectors.sigma.implication import singles
from detectors.sigma.predicates import answer

if TYPE_CHECKING:
    from collections.abc import Iterator

FOUND_CHARACTERS_MAX: Final = 200
"""Of a value that an explanation shows: of a longer one its beginning, or what is about the place that fits."""

MATCHED_MAX: Final = 5
"""Operands that are named when more fit."""

_FIRST: Final = pl.Series([0], dtype=pl.UInt32)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FOLDING: Final = frozenset({Op.EQUAL, Op.STARTS, Op.ENDS, Op.CONTAINS, Op.SAME})


@dataclass(frozen=True, slots=True)
class Seen:
    """What an event says where a predicate looks: None for nothing."""

    found: str | None
    matched: tuple[str, ...] = ()
    element: str | None = None  # of a list: the one that fits
    other: str | None = None  # what the field says that it is compared with
    folded: bool = False  # it fits only because case makes no difference


def seen(predicate: Predicate, frame: pl.DataFrame, *, true: bool) -> Seen:
    """What the first row of a frame says to a predicate that is or is not true of it."""
    text = texts_at(frame, predicate.field, _FIRST)[0]
    if text is None:
        return Seen(None, other=_other(predicate, frame))
    if predicate.op is Op.SAME:
        other = _other(predicate, frame)
        return Seen(_short(text), other=other, folded=true and predicate.detail == "is" and text != other)
    if predicate.op is Op.PRESENT or not true:
        return Seen(_told(predicate, text))
    matched, element = _matched(predicate, _value(frame, predicate.field, text))
    folded = predicate.op in _FOLDING and not predicate.cased and not any(one in text for one in matched)
    about = next(iter(matched), "") if predicate.op is Op.CONTAINS else ""
    return Seen(_told(predicate, text, about), matched, element, folded=folded)


def _other(predicate: Predicate, frame: pl.DataFrame) -> str | None:
    if predicate.op is not Op.SAME:
        return None
    text = texts_at(frame, str(predicate.operands[0]), _FIRST)[0]
    return None if text is None else _short(text)


def _value(frame: pl.DataFrame, field: str, text: str) -> pl.Series:
    """The value with its type, a column of one."""
    return frame.get_column(field)[:1] if field in frame.columns else pl.Series([text])


def _matched(predicate: Predicate, value: pl.Series) -> tuple[tuple[str, ...], str | None]:
    """The operands that the value answers, and the first element of a list that does."""
    for one in _elements(value):
        column = encode(one)
        found = [str(each.operands[0]) for each in singles(predicate) if answer(each, column)[0]]
        if found:
            return tuple(found[:MATCHED_MAX]), str(one[0]) if one is not value else None
    return (), None


def _elements(value: pl.Series) -> Iterator[pl.Series]:
    texts, owners = elements(value)
    if owners is None:
        yield value
    else:
        yield from (texts[place : place + 1] for place in range(len(texts)))


def _told(predicate: Predicate, text: str, about: str = "") -> str:
    """A value for people: times as RFC 3339, long texts cut about the place that fits."""
    if kind_of(predicate.field) is Kind.TIME and predicate.op is Op.TIME:
        return (_EPOCH + timedelta(microseconds=int(text))).isoformat().replace("+00:00", "Z")
    return _short(text, about)


def _short(text: str, about: str = "") -> str:
    if len(text) <= FOUND_CHARACTERS_MAX:
        return text
    place = fold_text(text).find(fold_text(about)) if about else 0
    first = max(0, place - FOUND_CHARACTERS_MAX // 2)
    last = first + FOUND_CHARACTERS_MAX
    return ("…" if first else "") + text[first:last] + ("…" if last < len(text) else "")
