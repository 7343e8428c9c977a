"""Literals are found all at once where one by one they would be, by the kernel and by Polars alike."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import kernel
from detectors.sigma.condition import Op, Predicate, fold_text
from detectors.sigma.literals import Literals

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
