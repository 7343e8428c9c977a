"""Rows of keys: found, given, kept through a flood, and the same after a restart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistical.rows import NOWHERE, SPARED, Rows


def rows_of(rows_max):
    return Rows({"value": (np.int64, 1), "many": (np.float32, 3)}, rows_max)


def keys(*numbers):
    return np.array(numbers, np.uint64)


@given(st.lists(st.lists(st.integers(0, 60), unique=True, max_size=20), max_size=12), st.integers(3, 30))
def test_each_key_has_a_row_of_its_own_and_no_more_have_than_there_is_room_for(windows, rows_max):
    rows = rows_of(rows_max)
    for window, seen in enumerate(windows):
        places, _ = rows.seen(keys(*seen), window)
        given_out = places[places != NOWHERE]
        assert len(set(given_out.tolist())) == len(given_out)
        assert len(rows) <= rows_max
        assert (rows.find(keys(*seen)) == places).all()


def test_a_flood_of_new_keys_takes_nobodys_row_who_has_been_there_for_a_day():
    rows = rows_of(2_000)
    old = keys(*range(500))
    for window in range(0, SPARED + 12, 12):
        places, _ = rows.seen(old, window)
        rows["value"][places] += 1
    before = rows["value"][rows.find(old)].copy()
    rng = np.random.default_rng(1)
    for window in range(SPARED + 12, SPARED + 12 + 50):
        rows.seen(np.unique(rng.integers(1_000, 2**63, 4_000).astype(np.uint64)), window)
    assert rows.knows(old).all()
    assert (rows["value"][rows.find(old)] == before).all()
    assert len(rows) <= 2_000
    assert rows.bytes < 1_000_000
    assert rows.forgotten + rows.refused > 100_000


def test_what_was_given_up_leaves_nothing_behind_for_who_comes_after():
    rows = rows_of(8)
    places, _ = rows.seen(keys(*range(8)), 0)
    rows["value"][places] = 7
    places, new = rows.seen(keys(100), 1)
    assert new.all()
    assert rows["value"][places].tolist() == [0]


def test_what_nobody_has_seen_for_long_is_forgotten():
    rows = rows_of(10)
    rows.seen(keys(1, 2), 0)
    rows.seen(keys(2), 5)
    rows.forget_unseen(3)
    assert rows.knows(keys(1, 2)).tolist() == [False, True]


def test_after_a_restart_all_is_as_it_was_and_goes_on_the_same():
    rows, again = rows_of(64), rows_of(64)
    rng = np.random.default_rng(3)
    for window in range(6):
        places, _ = rows.seen(np.unique(rng.integers(0, 40, 15).astype(np.uint64)), window)
        rows["many"][places, 1] += 1
    rows.forget_unseen(3)
    again.restore("rows", rows.snapshot("rows"))
    for each in (rows, again):
        each.seen(keys(*range(30, 60)), 7)
    mine, theirs = rows.snapshot("rows"), again.snapshot("rows")
    assert all(frame.equals(theirs[name]) for name, frame in mine.items())


def test_a_snapshot_of_other_rows_is_refused():
    other = Rows({"other": (np.int64, 1)}, 5)
    with pytest.raises(ValueError, match="has columns"):
        rows_of(5).restore("rows", other.snapshot("rows"))
