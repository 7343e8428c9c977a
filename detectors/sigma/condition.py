"""What a rule asks of an event, as a tree: predicates on one field joined by all, any and not.

Logic is two-valued: a predicate on a field the event does not carry is false, so its negation is true. Missing and null
are one and the same (a column cannot tell them apart): ``field: null`` and ``field|exists: false`` both mean that there
is no value.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import polars as pl

from detectors.event import LINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Op(StrEnum):
    """What a predicate asks of a field."""

    EQUAL = "is"
    PRESENT = "is present"
    NUMBER = "as a number is"
    TIME = "at"
    STARTS = "starts with"
    ENDS = "ends with"
    CONTAINS = "contains"
    NETWORK = "is in the network"
    PATTERN = "matches"
    SAME = "compared with the field"


COSTS: Final = {op: cost for cost, op in enumerate(Op)}
"""Predicates are tried in this order, so that cheap ones that few events meet can spare dear ones."""

NEGATION_COST: Final = len(Op)
"""What is not so is tried later: it is true of nearly every event."""

Operand: TypeAlias = str | int | float

_MERGED: Final = frozenset({Op.EQUAL, Op.STARTS, Op.ENDS, Op.CONTAINS, Op.NETWORK, Op.PATTERN})


class Predicate(msgspec.Struct, frozen=True, tag="ask"):
    """One question about one field: true when any of the operands answers it.

    `cased` compares texts as they stand; otherwise both sides are folded. `detail` is the comparison of numbers (``==``,
    ``<`` …), of times with its part in front (``hour >=``), or how two fields are compared.
    """

    field: str
    op: Op
    operands: tuple[Operand, ...] = ()
    cased: bool = False
    detail: str = ""

    def __str__(self) -> str:
        values = " or ".join(repr(value) for value in self.operands[:5])
        more = f" or {len(self.operands) - 5} more" if len(self.operands) > 5 else ""
        case = " (case matters)" if self.cased and self.op not in (Op.PATTERN, Op.PRESENT) else ""
        field = "the line" if self.field == LINE else self.field
        return " ".join(part for part in (field, self.op, self.detail, values + more) if part) + case


class All(msgspec.Struct, frozen=True, tag="all"):
    """True when every child is."""

    children: tuple[Node, ...]


class AnyOf(msgspec.Struct, frozen=True, tag="any"):
    """True when some child is."""

    children: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """True when its child is not."""

    child: Node


Node: TypeAlias = Predicate | All | AnyOf | Not


def all_of(nodes: Iterable[Node]) -> Node:
    """The conjunction, flat, without repeats, cheapest first."""
    flat = dict.fromkeys(child for node in nodes for child in (node.children if isinstance(node, All) else (node,)))
    children = tuple(sorted(flat, key=_cost))
    return children[0] if len(children) == 1 else All(children)


def any_of(nodes: Iterable[Node]) -> Node:
    """The disjunction, flat, without repeats; the same question about one field is asked once, with all its operands."""
    flat = dict.fromkeys(child for node in nodes for child in (node.children if isinstance(node, AnyOf) else (node,)))
    merged: dict[tuple[str, Op, bool, str], set[Operand]] = {}
    others: list[Node] = []
    for node in flat:
        if isinstance(node, Predicate) and node.op in _MERGED:
            merged.setdefault((node.field, node.op, node.cased, node.detail), set()).update(node.operands)
        else:
            others.append(node)
    joined: list[Node] = [
        Predicate(field, op, tuple(sorted(operands, key=str)), cased, detail)
        for (field, op, cased, detail), operands in merged.items()
    ]
    children = tuple(sorted((*joined, *others), key=_cost))
    return children[0] if len(children) == 1 else AnyOf(children)


def negation(node: Node) -> Node:
    return node.child if isinstance(node, Not) else Not(node)


def predicates(node: Node) -> Iterator[Predicate]:
    """Every predicate of a tree, in order."""
    if isinstance(node, Predicate):
        yield node
    elif isinstance(node, Not):
        yield from predicates(node.child)
    else:
        for child in node.children:
            yield from predicates(child)


def fields_of(node: Node) -> Iterator[str]:
    """Every field a tree looks at, those it compares with included; names may repeat."""
    for predicate in predicates(node):
        yield predicate.field
        if predicate.op is Op.SAME:
            yield from (str(operand) for operand in predicate.operands)


def _cost(node: Node) -> int:
    if isinstance(node, Predicate):
        return 1 + COSTS[node.op]
    if isinstance(node, Not):
        return NEGATION_COST + _cost(node.child)
    return sum(_cost(child) for child in node.children)


def fold(texts: pl.Expr) -> pl.Expr:
    """Texts without case, the same for rules and events.

    Lower case alone would depend on the place of a capital sigma in its word, so both lower sigmas become one.
    """
    return texts.str.to_lowercase().str.replace_all("ς", "σ", literal=True)


def fold_text(text: str) -> str:
    """One text without case: by the same code that folds events, so that both sides always agree."""
    if text.isascii():
        return text.lower()
    return str(pl.select(fold(pl.lit(text))).item())
