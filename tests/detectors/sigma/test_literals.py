"""Literals are found all at once where one by one they would be, by the kernel and by Polars alike."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import kernel
from detectors.sigma.condition import Op, Predicate, fold_text
from detectors.sigma.literals import Literals, required

LETTERS = "abAB/.İK\u212aſsςΣé中 "
texts = st.lists(st.one_of(st.none(), st.text(LETTERS, max_size=16)), max_size=30)
literals = st.lists(st.text(LETTERS, max_size=4), min_size=1, max_size=5)
TRUE_OF = {
    Op.EQUAL: lambda text, literal: text == literal,
    Op.STARTS: str.startswith,
    Op.ENDS: str.endswith,
    Op.CONTAINS: lambda text, literal: literal in text,
}


@st.composite
def questions(draw, *, cased):
    op = draw(st.sampled_from(sorted(TRUE_OF)))
    told = draw(literals) if op is Op.EQUAL else [one for one in draw(literals) if one] or ["a"]
    return Predicate("field", op, tuple(one if cased else fold_text(one) for one in told), cased)


def one_by_one(asked, column, *, cased):
    folded = [text if text is None or cased else fold_text(text) for text in column]
    return [
        [
            place
            for place, text in enumerate(folded)
            if text is not None and any(TRUE_OF[question.op](text, str(literal)) for literal in question.operands)
        ]
        for question in asked
    ]


@pytest.mark.parametrize("by", ["kernel", "polars"])
@pytest.mark.parametrize("cased", [True, False])
@settings(deadline=None)
@given(st.data(), texts)
def test_all_at_once_finds_what_one_by_one_does(by, cased, data, column):
    if by == "kernel" and not kernel.available():
        pytest.skip(reason="the kernel is not installed: make native")
    asked = data.draw(st.lists(questions(cased=cased), min_size=1, max_size=6))
    series = pl.Series("field", column, dtype=pl.String)
    found = Literals(asked, cased=cased)
    hits = found.hits(series) if by == "kernel" else found.by_polars(series)
    assert [hits.of(place).tolist() for place in range(len(asked))] == one_by_one(asked, column, cased=cased)


def test_a_part_of_a_column_is_looked_through_by_itself():
    question = Predicate("field", Op.CONTAINS, ("needle in a long text",))
    column = pl.Series("field", ["nothing", "a NEEDLE in a long text", None, "needle in a long text, too", "é"])
    assert Literals([question], cased=False).hits(column[1:4]).of(0).tolist() == [0, 2]


LETTER = st.sampled_from("abkKsſ1é\u212a ")
ATOM = st.one_of(LETTER, st.sampled_from([".", "[ab]", "(?i:kab)", "(?i:sak)", r"\b", "[^a]", r"\d", "^", "$"]))


def _joined(parts):
    pieces = st.lists(parts, min_size=1, max_size=5).map("".join)
    repeated = st.tuples(parts, st.sampled_from(["*", "+", "?", "{2}", "{0,2}"])).map(
        lambda one: f"(?:{one[0]}){one[1]}"
    )
    return st.one_of(pieces, repeated, st.lists(parts, min_size=2, max_size=3).map(lambda some: f"({'|'.join(some)})"))


patterns = st.recursive(st.lists(ATOM, min_size=1, max_size=4).map("".join), _joined, max_leaves=8)


@pytest.mark.skipif(not kernel.available(), reason="the kernel is not installed: make native")
@settings(deadline=None, max_examples=500)
@given(
    patterns,
    st.sampled_from(["", "(?i)", "(?s)", "(?m)"]),
    st.lists(st.text("abkKsſ1é\u212a \n", max_size=14), max_size=20),
)
def test_a_text_that_a_pattern_matches_holds_what_the_pattern_requires(pattern, flags, column):
    question = required(Predicate("field", Op.PATTERN, (flags + pattern,)))
    if question is not None:
        texts = pl.Series(column, dtype=pl.String)
        matched = texts.filter(texts.str.contains(flags + pattern)).to_list()
        assert all(any(literal in fold_text(text) for literal in question.operands) for text in matched)


@pytest.mark.skipif(not kernel.available(), reason="the kernel is not installed: make native")
@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        ("abc[0-9]+def", ("abc",)),
        ("(foo|bars)+x", ("bars", "foo")),
        ("(?i)^/Admin", ("/admin",)),
        ("a|b", None),
        ("(abc)?", None),
    ],
)
def test_the_longest_text_that_must_stand_is_required(pattern, literals):
    question = required(Predicate("field", Op.PATTERN, (pattern,)))
    assert (question.operands if question else None) == literals
