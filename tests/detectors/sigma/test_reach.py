"""What is said of predicates and of idle parts is so, by a reference that looks at one value at a time."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.sigma.columns import encode
from detectors.sigma.condition import All, AnyOf, Node, Not, Op, Predicate, all_of, any_of, negation
from detectors.sigma.implication import excludes, implies
from detectors.sigma.predicates import answer
from detectors.sigma.reach import idle_parts

VALUES = ["", "a", "b", "ab", "ba", "aB", "A", "B", "abc", "5", "7", "10", "10.0.0.1", "10.1.0.1", '["a", "b"]', '["5"]']  # fmt: skip
TEXTS = st.sampled_from(["a", "b", "ab", "ba", "c", ""])

texts = st.builds(
    lambda op, operands, cased: Predicate("f", op, tuple(sorted(operands)), cased),
    st.sampled_from([Op.EQUAL, Op.STARTS, Op.ENDS, Op.CONTAINS]),
    st.sets(TEXTS, min_size=1, max_size=2),
    st.booleans(),
)
numbers = st.builds(
    lambda sign, value: Predicate("f", Op.NUMBER, (value,), detail=sign),
    st.sampled_from(["==", "<", "<=", ">", ">="]),
    st.sampled_from([5, 7, 10]),
)
networks = st.builds(
    lambda net: Predicate("f", Op.NETWORK, (net,)), st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.0.0.1/32"])
)
PREDICATES = st.one_of(texts, numbers, networks, st.just(Predicate("f", Op.PRESENT)))
CONDITIONS = st.recursive(
    PREDICATES,
    lambda inner: st.one_of(
        st.builds(all_of, st.lists(inner, min_size=2, max_size=3)),
        st.builds(any_of, st.lists(inner, min_size=2, max_size=3)),
        st.builds(negation, inner),
    ),
    max_leaves=6,
)


def _truth(predicate: Predicate) -> list[bool]:
    """For each value, and for none, whether the predicate is true of it."""
    if predicate.op is Op.PRESENT:
        return [*([True] * len(VALUES)), False]
    return [bool(one) for one in answer(predicate, encode(pl.Series(VALUES)))]


@settings(max_examples=600, deadline=None)
@given(PREDICATES, PREDICATES)
def test_what_is_implied_is_true_wherever_the_other_is_and_what_is_excluded_is_not(one, other):
    first, second = _truth(one), _truth(other)
    if implies(one, other):
        assert all(b for a, b in zip(first, second, strict=True) if a), f"{one} / {other}"
    if excludes(one, other):
        single = [not value.startswith("[") for value in VALUES]
        assert not any(a and b for a, b, alone in zip(first, second, single, strict=False) if alone), f"{one} / {other}"


@settings(max_examples=600, deadline=None)
@given(CONDITIONS)
def test_parts_that_are_idle_can_be_left_out_all_at_once(condition):
    left: list[Node | bool] = [condition]
    found = idle_parts(condition)
    for idle in found:
        left = [
            without
            for one in left
            if not isinstance(one, bool)
            for without in _without(one, idle.part, always=idle.always)
        ]
    assert _answers(condition) in [_answers(one) for one in left], f"{condition}: {found}"


@pytest.mark.parametrize("always", [True, False])
def test_the_whole_condition_is_told_when_it_is_idle(always):
    part = Predicate("f", Op.EQUAL, ("a",))
    condition = any_of([part, Not(part)]) if always else all_of([part, Not(part)])
    assert [(idle.part, idle.always) for idle in idle_parts(condition)] == [(condition, always)]


def _answers(node: Node | bool) -> list[bool]:
    """For each single value, and for none."""
    return [_holds(node, place) for place, value in enumerate([*VALUES, ""]) if not value.startswith("[")]


def _holds(node: Node | bool, place: int) -> bool:
    match node:
        case bool():
            return node
        case Predicate():
            return _truth(node)[place]
        case Not():
            return not _holds(node.child, place)
        case All():
            return all(_holds(child, place) for child in node.children)
    return any(_holds(child, place) for child in node.children)


def _without(node: Node, part: Node, *, always: bool) -> Iterator[Node | bool]:
    """The condition with one occurrence of a part replaced by its answer."""
    if node == part:
        yield always
    match node:
        case Predicate() if isinstance(part, Predicate) and set(part.operands) < set(node.operands):
            yield Predicate(
                node.field, node.op, tuple(set(node.operands) - set(part.operands)), node.cased, node.detail
            )
        case Not():
            yield from (Not(inner) for inner in _without(node.child, part, always=always))
        case All() | AnyOf():
            for place, child in enumerate(node.children):
                for inner in _without(child, part, always=always):
                    yield type(node)((*node.children[:place], inner, *node.children[place + 1 :]))
