"""How growth is read from measurements: lines are found exactly, whatever the order, the hour of the day and a few odd ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import theilslopes

from monitor.forecasting.fitting import daily, hourly, slope
from monitor.moments import DAY_US, HOUR_US

BEGIN = 20_000 * DAY_US
DAYS = st.sampled_from([0.3, 1.5, 2, 3.5, 5, 9, 13, 14, 16.25, 21])
GROWTH = st.floats(-1e6, 1e6)
SEEDS = st.integers(0, 2**32 - 1)


def times_of(days, every_h=1):
    return BEGIN + np.arange(0, int(days * 24) + 1, every_h, dtype=np.int64) * HOUR_US


def line(times, a_day, start=1e5):
    return start + a_day * (times - BEGIN) / DAY_US


def near(value, scale=1.0):
    return pytest.approx(value, rel=1e-6, abs=1e-6 * scale)


@given(days=DAYS, a_day=GROWTH, seed=SEEDS)
def test_a_line_is_found_in_whatever_order_it_comes(days, a_day, seed):
    times = np.random.default_rng(seed).permutation(times_of(days))
    found = slope(times, line(times, a_day))
    assert (found.middle, found.low, found.high) == (near(a_day), near(a_day), near(a_day))


@given(days=DAYS, seed=SEEDS)
def test_the_order_in_which_measurements_come_changes_nothing(days, seed):
    times, random = times_of(days, 3), np.random.default_rng(seed)
    values, order = random.normal(0, 1, len(times)).cumsum(), random.permutation(len(times))
    assert slope(times[order], values[order]) == slope(times, values)


@given(days=DAYS, a_day=GROWTH, seed=SEEDS, share=st.floats(0, 0.249), way=st.sampled_from([-1, 1]))
def test_less_than_a_quarter_of_odd_measurements_move_nothing(days, a_day, seed, share, way):
    times = times_of(days)
    values, random = line(times, a_day), np.random.default_rng(seed)
    odd = random.choice(len(times), int(share * len(times)), replace=False)
    values[odd] += way * random.uniform(1e7, 1e9, len(odd))
    assert slope(times, values).middle == near(a_day)


@given(days=st.sampled_from([2, 3.5, 9, 13]), a_day=GROWTH, seed=SEEDS)
def test_what_comes_and_goes_with_the_day_is_no_growth(days, a_day, seed):
    times = times_of(days)
    course = np.random.default_rng(seed).uniform(0, 1e7, 24)
    values = line(times, a_day) + course[(times // HOUR_US) % 24]
    assert slope(times, values).middle == near(a_day, 10)


@given(days=st.sampled_from([14, 16.25, 21, 35]), a_day=GROWTH, seed=SEEDS)
def test_what_comes_and_goes_with_the_week_is_no_growth_once_there_are_two(days, a_day, seed):
    times = times_of(days)
    course = np.random.default_rng(seed).uniform(0, 1e7, 7 * 24)
    assert slope(times, line(times, a_day) + course[(times // HOUR_US) % 168]).middle == near(a_day, 10)


@given(days=DAYS, seed=SEEDS, factor=st.floats(1e-3, 1e3), up=st.floats(-1e6, 1e6), tilt=st.floats(-1e3, 1e3))
def test_other_units_give_the_same_in_other_units_and_a_slope_more_that_much_more(days, seed, factor, up, tilt):
    times = times_of(days, 3)
    values = np.random.default_rng(seed).normal(0, 100, len(times)).cumsum()
    before, after = slope(times, values), slope(times, line(times, tilt, up) + values * factor)
    for name in ("low", "middle", "high"):
        assert getattr(after, name) == near(getattr(before, name) * factor + tilt, 1e3)


@given(seed=SEEDS, hours=st.integers(2, 40))
def test_without_whole_days_it_is_the_slope_that_others_compute(seed, hours):
    times = BEGIN + np.arange(hours, dtype=np.int64) * HOUR_US
    values = np.random.default_rng(seed).normal(0, 1, hours)
    assert slope(times, values).middle == near(theilslopes(values, (times - BEGIN) / DAY_US).slope)


@given(days=DAYS, seed=SEEDS)
def test_the_middle_lies_between_low_and_high(days, seed):
    times = times_of(days)
    found = slope(times, np.random.default_rng(seed).normal(0, 1, len(times)))
    assert found.low <= found.middle <= found.high


def test_a_gap_of_some_days_changes_nothing():
    times = times_of(10)
    times = times[(times < BEGIN + 3 * DAY_US) | (times > BEGIN + 7.4 * DAY_US)]
    assert slope(times, line(times, 5.0)).middle == near(5.0)


@pytest.mark.parametrize("count", [0, 1])
def test_one_measurement_says_nothing_of_growth(count):
    assert slope(np.full(count, BEGIN), np.zeros(count)) is None


def test_of_each_hour_and_each_day_the_greatest_counts():
    times = BEGIN + np.arange(9 * 96, dtype=np.int64) * (HOUR_US // 4)
    values = np.arange(9 * 96, dtype=np.float64)
    assert hourly(times, values)[1].tolist() == list(range(3, 9 * 96, 4))
    assert hourly(times[:-1], values[:-1])[1].tolist() == list(range(3, 9 * 96 - 4, 4)), "an hour that is not over"
    at, of = daily(times, values)
    assert ((at - times[-1]) % DAY_US == 0).all()
    assert of.tolist() == [values[-1] - 96 * ago for ago in range(8, -1, -1)]
    assert daily(times[:30], values[:30])[1].tolist() == [29.0]
