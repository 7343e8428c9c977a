"""Counting by sorting: exact, whatever is added when, also nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.statistical import tallies
from detectors.statistical.tallies import Busiest, KeyCounts, Visitors, distinct_of

parts = st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=6)


@settings(deadline=None)
@given(parts, st.integers(1, 20))
def test_keys_are_counted_exactly_whatever_is_merged_when(added, loose):
    before, tallies.LOOSE = tallies.LOOSE, loose
    try:
        counts = KeyCounts()
        for keys in added:
            counts.add(7, np.array(keys, np.uint64))
        keys, found = counts.take(7)
    finally:
        tallies.LOOSE = before
    whole = [key for part in added for key in part]
    assert dict(zip(keys.tolist(), found.tolist(), strict=True)) == {key: whole.count(key) for key in whole}
    assert counts.take(7)[0].tolist() == []


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_distinct_keys_are_those_of_a_set_in_order(keys):
    assert distinct_of(np.array(keys, np.uint64)).tolist() == sorted(set(keys))


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=30), max_size=5))
def test_of_too_many_visitors_a_part_stands_for_all_and_the_same_whenever_they_come(added):
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 41).astype(np.uint64) * np.uint64(2)
    apps = (np.arange(1, 5, dtype=np.uint64) << np.uint64(40)) << np.uint64(8)

    def counted(groups):
        visitors = Visitors(visitors_max=20)
        for group in groups:
            if group:
                app, who = np.array(group).T
                visitors.add(3, Visitors.keyed(apps[app], hashes[who]))
        numbers, counts = visitors.take(3)
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True))

    whole = [[one for group in added for one in group]]
    assert counted(added) == counted(whole)
    if len(set(whole[0])) <= 20:
        assert sum(counted(added).values()) == len(set(whole[0]))


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=30), max_size=5), st.integers(1, 20))
def test_of_each_key_it_is_known_how_often_it_came_with_the_one_who_came_most(added, loose):
    rng = np.random.default_rng(0)
    keys, hashes = (rng.integers(0, 2**63, 10).astype(np.uint64) * np.uint64(2) for _ in range(2))
    whole = [one for group in added for one in group]

    def counted(groups, most=10_000):
        busiest = Busiest(most)
        for group in groups:
            if group:
                key, who = np.array(group).T
                busiest.add(3, Visitors.keyed(keys[key], hashes[who]))
        return busiest.take_most(3, Visitors.visited(keys))[0].tolist()

    before, tallies.LOOSE = tallies.LOOSE, loose
    try:
        expected = [max((whole.count((key, who)) for who in range(10)), default=0) for key in range(10)]
        assert counted(added) == counted([whole]) == expected
        assert counted(added, most=8) == counted([whole], most=8)
    finally:
        tallies.LOOSE = before
