"""Streams of numbers: what is rare for a series scores, whatever else is scored beside it and however points are cut into calls."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.statistical.numbers import BYTES_A_SERIES, COUNT_MAX, VALUE_MAX, Numbers

STEP_US = 1_800_000_000
DAY = 48
DAYS = 30
SERIES = 4

usual = st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, 1.0, 1.0, 2.0])
odd = st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324, 1e-30, -0.0])
points = st.tuples(st.integers(0, SERIES - 1), st.integers(-(10**15), 10**16), usual | odd)
batches = st.lists(st.lists(points, max_size=25), max_size=8)


def score(numbers, batch):
    rows, times, values = (list(column) for column in zip(*batch, strict=True)) if batch else ([], [], [])
    return numbers.score(np.array(rows, np.int64), np.array(times, np.int64), np.array(values, float))


def scores_of(values, start=0):
    """Of one series, a point every half hour."""
    values = np.asarray(values, dtype=float)
    times = (start + np.arange(len(values))) * STEP_US
    return Numbers(1).score(np.zeros(len(values), np.int64), times, values)


def daily(seed=1, days=DAYS):
    """Days of a count that is three times as high at noon as at midnight, with noise."""
    hours = np.arange(days * DAY) // (DAY // 24)
    chance = np.random.default_rng(seed)
    return 100 + 50 * np.sin(2 * np.pi * (hours - 6) / 24) + chance.normal(0, 4, len(hours))


def same(one, other):
    return one.dtype == other.dtype == np.float32 and one.tobytes() == other.tobytes()


def memory(numbers, row):
    return numbers.snapshot()["series"].filter(row=row)


def settled():
    """Series that have seen enough to score, and the last one nearly so."""
    numbers = Numbers(SERIES)
    chance = np.random.default_rng(7)
    for at in range(400):
        rows = np.arange(SERIES if at >= 380 else SERIES - 1)
        numbers.score(rows, np.full(len(rows), at * STEP_US), chance.gamma(2, 10, len(rows)))
    return numbers


SETTLED = settled().snapshot()


def known():
    numbers = Numbers(SERIES)
    numbers.restore(SETTLED)
    return numbers


@settings(max_examples=30)
@given(batches)
def test_however_points_are_cut_they_score_the_same(cut):
    one, other = known(), known()
    told = np.concatenate([np.zeros(0, np.float32), *(score(one, batch) for batch in cut)])
    assert same(told, score(other, [point for batch in cut for point in batch]))


@settings(max_examples=30)
@given(st.lists(points, max_size=60), st.integers(0, SERIES - 1))
def test_a_series_scores_the_same_alone_and_among_others(batch, row):
    one, other = known(), known()
    among = score(one, batch)[[point[0] == row for point in batch]]
    assert same(among, score(other, [point for point in batch if point[0] == row]))
    assert memory(one, row).equals(memory(other, row))


@settings(max_examples=30)
@given(batches, st.data())
def test_a_snapshot_taken_up_anywhere_goes_on_as_if_nothing_had_been(cut, data):
    stopped = data.draw(st.sets(st.integers(0, max(len(cut) - 1, 0))))
    one, other = known(), known()
    for number, batch in enumerate(cut):
        if number in stopped:
            state = other.snapshot()
            other = Numbers(0)
            other.restore(state)
        assert same(score(one, batch), score(other, batch))
    assert all(one.snapshot()[name].equals(frame) for name, frame in other.snapshot().items())


@settings(max_examples=30)
@given(batches)
def test_no_input_makes_a_score_other_than_a_number_from_zero_up(cut):
    numbers = known()
    for batch in cut:
        told = score(numbers, batch)
        assert np.isfinite(told).all()
        assert (told >= 0).all()


@settings(max_examples=30)
@given(st.lists(points, max_size=40))
def test_what_is_no_number_leaves_no_trace(batch):
    one, other = known(), known()
    told = score(one, batch)
    finite = [bool(np.isfinite(point[2])) for point in batch]
    assert not told[np.logical_not(finite)].any()
    assert same(told[finite], score(other, [point for point, kept in zip(batch, finite, strict=True) if kept]))


def spike(values):
    values[-DAY] += 200


def shift(values):
    values[-DAY:] += 60


def wide_spread(values):
    values[-DAY:] += np.random.default_rng(9).normal(0, 30, DAY)


def no_day(values):
    values[-DAY:] = 100 + np.random.default_rng(9).normal(0, 4, DAY)


def silence(values):
    values[-DAY // 2 :] = 0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("change", [spike, shift, wide_spread, no_day, silence])
def test_a_change_scores_higher_than_anything_before(change, seed):
    values = daily(seed)
    change(values)
    told = scores_of(values)
    assert told[-DAY:].max() > 1.5 * told[:-DAY].max()
    assert told[-DAY:].max() > 0.5


def test_what_repeats_itself_scores_once():
    values = daily()
    values[-DAY:-12:6] += 200
    told = scores_of(values)[-DAY:-12:6]
    assert told[0] > 3
    assert told[1:].max() < 0.1 * told[0]


@pytest.mark.parametrize("value", [0.0, 1.0, -7.3, 1e9, 1e308, 1e-300])
def test_a_constant_series_scores_nothing(value):
    assert not scores_of(np.full(2_000, value)).any()


@pytest.mark.parametrize("value", [0.0, 1.0, -7.3, 1e9])
def test_the_first_change_of_a_constant_series_scores(value):
    told = scores_of(np.append(np.full(2_000, value), value + 5 + 0.01 * value))
    assert told[-1] > 0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_too_large_is_taken_as_the_largest(sign):
    values = daily(days=5)
    others = values.copy()
    values[100:200:7], others[100:200:7] = sign * 1e308, sign * VALUE_MAX
    assert same(scores_of(values), scores_of(others))


def test_one_giant_value_makes_no_series_blind():
    values = daily()
    values[10 * DAY] = VALUE_MAX
    values[-DAY] += 2_000
    told = scores_of(values)
    assert told[-DAY:].max() > 0.5


def test_a_newcomer_is_silent_until_it_has_a_past():
    values = np.geomspace(1, 1e12, 18) * (-1) ** np.arange(18)
    told = scores_of(values)
    assert not told[:17].any()
    assert told[17] < 1


def test_only_the_hour_of_the_day_is_taken_from_the_time():
    values = daily(days=20)
    assert same(scores_of(values), scores_of(values, start=DAY * 400))
    assert not same(scores_of(values), scores_of(values, start=1))


def test_histograms_fade_and_never_run_over():
    full = np.zeros((SERIES, 4, 32), np.uint16)
    full[:, :, 20], full[:, :, 31] = COUNT_MAX - 2, 1
    column = pl.Series("counts", full.reshape(SERIES, -1), dtype=SETTLED["series"].schema["counts"])
    numbers = Numbers(0)
    numbers.restore({**SETTLED, "series": SETTLED["series"].with_columns(column)})
    score(numbers, [(0, 0, 10.0)])
    counts = numbers.snapshot()["series"]["counts"].to_numpy().reshape(SERIES, 4, 32)
    assert (abs(counts[0].sum(axis=1, dtype=int) - COUNT_MAX // 2) <= 1).all()
    assert (counts[1:] == full[1:]).all()


def settled_as_new(batch):
    """The memory of a series that saw only this."""
    numbers = Numbers(1)
    score(numbers, batch)
    return numbers.snapshot()["series"]


def test_rows_can_be_added_and_given_to_others():
    numbers = known()
    numbers.grow(SERIES + 2)
    assert numbers.rows == SERIES + 2
    assert same(score(numbers, [(5, 0, 1.0), (0, 0, 5.0)])[1:], score(known(), [(0, 0, 5.0)]))
    numbers.forget([0, 5])
    assert numbers.snapshot()["series"]["row"].to_list() == [1, 2, 3]
    again = [(0, at * STEP_US, float(at)) for at in range(9)]
    assert same(score(numbers, again), score(Numbers(1), again))
    assert numbers.snapshot()["series"].filter(row=0).equals(settled_as_new(again))
    with pytest.raises(ValueError, match="room for 6"):
        numbers.grow(1)


@pytest.mark.parametrize(
    ("rows", "times", "values", "message"),
    [
        ([0, 1], [0], [1.0], "differ"),
        ([[0]], [[0]], [[1.0]], "differ"),
        ([SERIES], [0], [1.0], "rows are 0 to 3"),
        ([-1], [0], [1.0], "rows are 0 to 3"),
        ([0.5], [0], [1.0], "whole numbers"),
        ([0], [0.5], [1.0], "whole microseconds"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_taken(rows, times, values, message):
    numbers = known()
    with pytest.raises(ValueError, match=message):
        numbers.score(rows, times, values)
    assert numbers.snapshot()["series"].equals(SETTLED["series"])


@pytest.mark.parametrize("broken", ["missing", "foreign", "narrow", "outside"])
def test_what_is_no_snapshot_is_refused_and_memory_kept(broken):
    series, room = SETTLED["series"], SETTLED["room"]
    state = {
        "missing": {"series": series},
        "foreign": {"series": series.drop("peak"), "room": room},
        "narrow": {"series": series.with_columns(series["seen"].cast(int)), "room": room},
        "outside": {"series": series.with_columns(row=series["row"] + 2), "room": room},
    }[broken]
    numbers = known()
    with pytest.raises(ValueError, match="not a snapshot"):
        numbers.restore(state)
    assert numbers.snapshot()["series"].equals(series)


def test_a_series_takes_no_more_memory_than_it_says():
    assert BYTES_A_SERIES <= 600
    assert sum(field.nbytes for field in Numbers(1_000)._fields.values()) == 1_000 * BYTES_A_SERIES
