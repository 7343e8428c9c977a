"""Precision and its bounds: what must hold whatever was marked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.precision import Precision, wilson

COUNTS = st.integers(0, 400)


@given(COUNTS, COUNTS)
def test_the_share_lies_within_its_interval_and_that_within_0_and_1(true, false):
    one = Precision(true=true, false=false)
    if not true + false:
        assert one.share is one.interval is None
        return
    low, high = one.interval
    assert 0 <= low <= one.share <= high <= 1
    assert low < high


@given(COUNTS, COUNTS, st.integers(1, 400))
def test_what_is_benign_known_speaks_neither_for_nor_against(true, false, benign):
    one, other = Precision(true=true, false=false), Precision(true=true, false=false, benign_known=benign)
    assert (one.share, one.interval) == (other.share, other.interval)
    assert other.marked == one.marked + benign


@given(st.integers(0, 100), st.integers(1, 100), st.integers(2, 20))
def test_more_marks_of_the_same_share_say_it_more_closely(true, false, times):
    few, many = wilson(true, true + false), wilson(true * times, (true + false) * times)
    assert many[1] - many[0] < few[1] - few[0]


@given(COUNTS, st.integers(1, 400))
def test_right_and_wrong_mirror_one_another(true, false):
    low, high = wilson(true, true + false)
    assert wilson(false, true + false) == pytest.approx((1 - high, 1 - low))


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_marks_are_counted_alike_together_and_apart(true, false, more, others):
    one, other = Precision(true=true, false=false), Precision(true=more, benign_known=others)
    assert one + other == other + one == Precision(true=true + more, false=false, benign_known=others)


@pytest.mark.parametrize(
    ("hits", "of", "interval"),
    [(9, 12, (0.4677, 0.9111)), (0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (1, 1, (0.2065, 1.0))],
)
def test_known_intervals(hits, of, interval):
    assert wilson(hits, of) == pytest.approx(interval, abs=1e-4)
