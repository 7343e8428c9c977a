"""Sums and percentiles of stretches of a column, against adding up and sorting each stretch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.sigma.measure import NUMBER_MAX
from detectors.sigma.percentiles import Ranks
from detectors.sigma.totals import Totals

decimals = st.integers(-(10**6), 10**6).map(lambda number: number / 1_000) | st.sampled_from(
    [0.1, 0.2, NUMBER_MAX, -NUMBER_MAX]
)
columns = st.lists(decimals, min_size=1, max_size=40)


@st.composite
def stretches(draw, at_least: int = 0) -> tuple[list[float], int, int]:
    column = draw(columns)
    start = draw(st.integers(0, len(column) - 1))
    return column, start, draw(st.integers(start + at_least, len(column)))


def rows(*numbers: int) -> list[np.ndarray]:
    return [np.array([number]) for number in numbers]


@given(stretches(at_least=1), st.floats(0, 100) | st.sampled_from([0, 25, 50, 95, 100]))
def test_a_percentile_lies_between_the_two_nearest_of_the_sorted_stretch(stretch, percentile):
    column, start, end = stretch
    found = Ranks(np.array(column, dtype=np.float64)).percentile(*rows(start, end), percentile)[0]
    numbers = sorted(column[start:end])
    at = percentile * (len(numbers) - 1) / 100
    below, above = numbers[int(at)], numbers[min(int(at) + 1, len(numbers) - 1)]
    assert found == below + (at - int(at)) * (above - below)


@given(stretches(at_least=1), st.integers(0, 39))
def test_the_smallest_of_a_stretch_are_in_their_places(stretch, place):
    column, start, end = stretch
    place %= end - start
    assert Ranks(np.array(column)).smallest(*rows(start, end, place))[0] == sorted(column[start:end])[place]


@given(stretches())
def test_a_sum_is_that_of_the_decimals_as_they_are_written(stretch):
    column, start, end = stretch
    total = float(sum(Fraction(str(number)) for number in column[start:end]))
    assert Totals(np.array(column)).between(*rows(start, end))[0] == pytest.approx(total, rel=1e-15, abs=0)


@given(stretches(at_least=1))
def test_an_average_is_that_of_the_decimals_as_they_are_written(stretch):
    column, start, end = stretch
    average = float(sum(Fraction(str(number)) for number in column[start:end]) / (end - start))
    assert Totals(np.array(column)).average(*rows(start, end))[0] == pytest.approx(average, rel=1e-15, abs=0)


def test_very_many_of_the_largest_numbers_do_not_wrap_around():
    many = np.full(100_000, NUMBER_MAX)
    assert Totals(many).between(*rows(0, 100_000))[0] == pytest.approx(NUMBER_MAX * 100_000)
    assert Totals(-many).average(*rows(1, 100_000))[0] == -NUMBER_MAX
