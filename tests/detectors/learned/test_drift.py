"""How far features have moved: nothing where they are as they were, more the more they are not, and told of whole days only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.learned.drift import CHANGED, HOURS_MIN, LEAST, PARTS, ROWS_MIN, Drift, Spread
from detectors.learned.features import NAMES
from detectors.learned.hours import SLOTS, SLOTS_A_DAY

PLACE = 3
"""The feature that moves in these tests."""


def rows(seed, count=4_000, moved_by=0.0):
    matrix = np.random.default_rng(seed).normal(size=(count, len(NAMES))).astype(np.float32)
    matrix[:, PLACE] += moved_by
    return matrix


TRAINED = rows(0)
SPREAD = Spread.of(TRAINED)


def moved(matrix):
    return SPREAD.moved(SPREAD.counted(matrix))


def told(drift, day, *matrices, hours=HOURS_MIN):
    """Rows of a day, spread over so many of its hours."""
    for matrix in matrices:
        for hour, part in enumerate(np.array_split(matrix, hours)):
            if len(part):
                drift.take(SLOTS_A_DAY * day + SLOTS * hour, part)
    return dict(drift.moved)


def state(drift):
    return {name: frame.rows() for name, frame in drift.snapshot("m").items()}


def test_what_is_spread_as_it_was_has_not_moved():
    assert (moved(TRAINED) == 0).all()
    assert (moved(TRAINED[::-1]) == 0).all()
    assert moved(rows(1)).max() < 0.02


@pytest.mark.parametrize("moved_by", [-2.0, 1.0, 50.0])
def test_a_feature_that_moves_says_so_and_no_other(moved_by):
    found = moved(rows(1, moved_by=moved_by))
    assert found[PLACE] > CHANGED
    assert np.delete(found, PLACE).max() < 0.02


def test_the_index_is_what_its_custom_says():
    counts = np.zeros((len(NAMES), PARTS), np.int64)
    counts[:, 0] = 50
    counts[:, 5] = 50
    then, now = SPREAD.shares[0].astype(float), np.full(PARTS, LEAST)
    now[[0, 5]] = 0.5
    assert SPREAD.moved(counts)[0] == pytest.approx(((now - then) * np.log(now / then)).sum())


def test_a_feature_that_always_was_the_same_moves_when_it_is_not():
    flat = TRAINED.copy()
    flat[:, PLACE] = 0.0
    spread = Spread.of(flat)
    assert spread.moved(spread.counted(flat))[PLACE] == 0
    assert spread.moved(spread.counted(rows(1, moved_by=5.0)))[PLACE] > CHANGED


def test_without_rows_nothing_has_moved():
    assert (SPREAD.moved(SPREAD.counted(TRAINED[:0])) == 0).all()


def test_a_day_says_something_once_it_is_over():
    drift = Drift(SPREAD)
    assert told(drift, 5, rows(1, moved_by=2.0)) == {}
    found = told(drift, 6, rows(2)[:1])
    assert list(found) == list(NAMES)
    assert found[NAMES[PLACE]] > CHANGED
    assert told(drift, 6, rows(3)) == found


def test_a_day_with_few_rows_says_nothing_and_the_one_before_still_counts():
    drift = Drift(SPREAD)
    told(drift, 1, rows(1, ROWS_MIN - 1, 2.0))
    assert told(drift, 2, rows(1, ROWS_MIN, 2.0)) == {}
    whole = told(drift, 3, rows(1, ROWS_MIN - 1))
    assert whole[NAMES[PLACE]] > CHANGED
    assert told(drift, 4, rows(1, 1)) == whole


def test_a_day_of_which_much_was_not_seen_says_nothing():
    drift = Drift(SPREAD)
    told(drift, 1, rows(1, moved_by=2.0), hours=HOURS_MIN - 1)
    assert told(drift, 2, rows(2), hours=HOURS_MIN - 1) == {}
    told(drift, 3, rows(3), rows(4))
    assert told(drift, 4, rows(5, 1)).keys() == set(NAMES)


def test_a_day_is_by_itself():
    drift = Drift(SPREAD)
    told(drift, 1, rows(1, moved_by=9.0))
    told(drift, 2, rows(2))
    assert told(drift, 3, rows(3, 1))[NAMES[PLACE]] < 0.02


def test_what_is_no_snapshot_of_it_is_refused():
    drift = Drift(SPREAD)
    for wrong in ({}, {"m.drift": drift.snapshot("m")["m.drift"].head(3)}):
        with pytest.raises(ValueError, match=r"there is no m\.drift"):
            drift.restore("m", wrong)


HOURS = [(SLOTS_A_DAY * day + SLOTS * hour, rows(100 * day + hour, 20, day)) for day in range(3) for hour in range(22)]


def gone_through(parts, stops=()):
    drift = Drift(SPREAD)
    for place, (index, matrix) in enumerate(parts):
        if place in stops:
            again = Drift(SPREAD)
            again.restore("m", drift.snapshot("m"))
            drift = again
        drift.take(index, matrix)
    return state(drift)


def test_the_stream_of_these_laws_says_something():
    drift = Drift(SPREAD)
    for index, matrix in HOURS:
        drift.take(index, matrix)
    assert drift.moved[NAMES[PLACE]] > CHANGED


@settings(max_examples=25)
@given(st.sets(st.integers(0, len(HOURS) - 1)))
def test_to_stop_and_go_on_changes_nothing(stops):
    assert gone_through(HOURS, stops) == gone_through(HOURS)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 20), min_size=len(HOURS), max_size=len(HOURS)))
def test_how_rows_are_cut_changes_nothing(cuts):
    parts = [
        (index, part)
        for (index, matrix), cut in zip(HOURS, cuts, strict=True)
        for part in (matrix[:cut], matrix[cut:])
        if len(part)
    ]
    assert gone_through(parts) == gone_through(HOURS)


def test_a_snapshot_is_not_changed_by_what_comes_after():
    drift = Drift(SPREAD)
    drift.take(1, rows(1))
    before = drift.snapshot("m")
    kept = {name: frame.rows() for name, frame in before.items()}
    drift.take(1, rows(2))
    again = Drift(SPREAD)
    again.restore("m", before)
    again.take(1, rows(3))
    assert {name: frame.rows() for name, frame in before.items()} == kept
