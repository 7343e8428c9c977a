"""Counting in the kernel and without it: the same, whatever comes when."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import kernel
from detectors.statistical.regularity import TIME_BITS, of_note
from detectors.statistical.tallies import Tallies, Tally, merged

pytestmark = pytest.mark.skipif(kernel.module is None, reason="the kernel is not installed: make native")

KEYS = st.sampled_from([0, 1, 2, 3, 5, 2**32, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
PARTS = st.lists(st.lists(st.tuples(KEYS, st.integers(1, 9)), max_size=30), max_size=6)


def both(monkeypatch, act):
    found = []
    for way in ("0", "1"):
        monkeypatch.setenv("MINIWATCH_NATIVE", way)
        found.append(act())
    return found


@given(parts=PARTS, keys_max=st.integers(1, 40), weighed=st.booleans())
@settings(max_examples=200, deadline=None)
def test_keys_are_counted_alike(parts, keys_max, weighed):
    def counted():
        tally, new = Tally(keys_max), []
        for part in parts:
            keys, counts = np.array(part, np.uint64).reshape(-1, 2).T
            new.append(tally.add(keys, counts.astype(np.int64) if weighed else None).tolist())
        keys, counts = tally.counted()
        left_out = tally.left_out
        tally.clear()
        again = tally.add(np.array([1, 7, 1], np.uint64)).tolist()
        return new, keys.tolist(), counts.tolist(), left_out, again, tally.counted()[1].tolist()

    with pytest.MonkeyPatch.context() as patch:
        python, native = both(patch, counted)
    assert python == native
    if sum(map(len, parts)) <= keys_max:
        whole = [one for part in parts for one in part]
        assert python[1] == sorted({key for key, _ in whole})
        assert sum(python[2]) == sum(n if weighed else 1 for _, n in whole)


COUNTED = st.dictionaries(KEYS, st.integers(1, 2**40), max_size=30).map(lambda counted: sorted(counted.items()))


@given(one=COUNTED, other=COUNTED)
@settings(max_examples=200, deadline=None)
def test_lists_of_keys_are_merged_alike(one, other):
    def whole():
        (keys, counts), (others, n) = (_columns(pairs) for pairs in (one, other))
        return [part.tolist() for part in merged(keys, counts, others, n)]

    with pytest.MonkeyPatch.context() as patch:
        python, native = both(patch, whole)
    assert python == native
    summed = Counter(dict(one))
    summed.update(dict(other))
    assert list(zip(*python, strict=True)) == sorted(summed.items())


def _columns(pairs):
    return np.array([key for key, _ in pairs], np.uint64), np.array([count for _, count in pairs], np.int64)


def test_many_keys_are_counted_alike(monkeypatch):
    rng = np.random.default_rng(1)
    parts = [rng.integers(0, 2**40, 30_000).astype(np.uint64) % np.uint64(70_000) << np.uint64(44) for _ in range(4)]

    def counted():
        tallies = Tallies(1_000_000)
        for part in parts:
            tallies.add(3, part)
        return tallies.take(3)

    python, native = both(monkeypatch, counted)
    assert all(np.array_equal(one, other) for one, other in zip(python, native, strict=True))


ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=80)


@given(rows=ROWS, known=st.sets(st.integers(0, 60)), times=st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_rows_of_note_are_the_same(rows, known, times):
    packed = np.sort(np.array([key << TIME_BITS | time for key, time in rows], np.uint64))
    sketch = np.full(1 << 4, times, np.uint8)
    of = np.array(sorted(known), np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        python, native = both(patch, lambda: [each.tolist() for each in of_note(packed, of, sketch)])
    assert python == native


def test_a_sketch_counts_no_further_than_it_can(monkeypatch):
    sketch = np.full(4, 255, np.uint8)
    packed = np.array([1 << TIME_BITS], np.uint64)
    python, native = both(monkeypatch, lambda: [*of_note(packed, packed[:0], sketch)[1]])
    assert python == native == [255] * 4
