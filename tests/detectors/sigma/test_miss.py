"""The event that comes nearest to making a rule true, and what it does not meet."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.sigma.miss import nearest_miss
from detectors.testing import batch

VALUES = st.sampled_from(["x", "y", None])
CONDITIONS = [
    "a and b",
    "a or b",
    "a and not b",
    "not (a or b)",
    "not (a and b)",
    "(a and b) or c",
    "(a or b) and not c",
]


def missed(sigma, detection, *events):
    rule = sigma.load(sigma.text(detection)).rules[0]
    frame = batch(*({"event.dataset": "miniprogram.api", **event} for event in events)).frame
    miss = nearest_miss(rule, frame)
    return miss.row, [(str(one.predicate), one.must) for one in miss.unmet], miss.true_of


def test_the_event_that_meets_most_is_nearest(sigma):
    detection = {"s": {"f": "x", "g": "x", "h": "x"}}
    events = [{"f": "x"}, {"f": "x", "g": "x", "h": "y"}, {"h": "x"}]
    assert missed(sigma, detection, *events) == (1, [("h is 'x'", True)], 0)


def test_of_as_many_that_one_is_nearest_that_meets_what_few_do(sigma):
    events = [{"f": "x", "g": "n"}] * 5 + [{"f": "n", "g": "x"}] + [{"f": "x", "g": "n"}] * 5
    assert missed(sigma, {"s": {"f": "x", "g": "x"}}, *events) == (5, [("f is 'x'", True)], 0)


def test_of_as_many_that_one_is_nearest_that_says_something_there(sigma):
    events = [{"f": "x", "g": "n"}, {"f": "x"}]
    assert missed(sigma, {"s": {"f": "x", "g": "x"}}, *events) == (0, [("g is 'x'", True)], 0)


def test_what_must_not_be_so_is_told_as_such(sigma):
    detection = {"s": {"f": "x"}, "t": {"g": ["x", "y"]}, "condition": "s and not t"}
    assert missed(sigma, detection, {"f": "x", "g": "y"}) == (0, [("g is 'x' or 'y'", False)], 0)


def test_of_equal_ones_the_latest_is_told(sigma):
    assert missed(sigma, {"s": {"f": "x"}}, {"f": "n"}, {"f": "n"})[0] == 1


def test_a_rule_that_is_true_of_some_says_of_how_many(sigma):
    assert missed(sigma, {"s": {"f": "x"}}, {"f": "x"}, {"f": "n"}, {"f": "x"})[1:] == ([], 2)


@pytest.mark.parametrize("condition", CONDITIONS)
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=5))
def test_the_rule_is_true_once_what_is_told_is_otherwise(sigma, condition, rows):
    detection = {name: {f"f{name}": "x"} for name in "abc" if name in condition.replace("and", "")}
    detection["condition"] = condition
    events = [{f"f{name}": value for name, value in zip("abc", row, strict=True) if value} for row in rows]
    row, unmet, true_of = missed(sigma, detection, *events)
    changed = dict(events[row])
    for text, must in unmet:
        changed[text.split()[0]] = "x" if must else "y"
    assert sigma.hits(detection, changed) == [True]
    assert true_of == sum(sigma.hits(detection, *events))
    assert all(must is not (events[row].get(text.split()[0]) == "x") for text, must in unmet)
