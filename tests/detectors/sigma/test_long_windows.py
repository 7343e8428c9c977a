"""Groups that remember very many events are set apart: what they say, and what they remember, is what all groups looked through together would."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from by_hand import APP, correlation, detector_of
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import END_OF_TIME, HASH, LATE, TIME, WATERMARK, Batch
from detectors.sigma import longs
from detectors.sigma.grown import Grown
from detectors.sigma.last_rows import LastRows
from detectors.sigma.long import Long
from detectors.sigma.measure import Events, measure
from detectors.sigma.sorted_blocks import SortedBlocks
from detectors.sigma.totals import Totals
from detectors.testing import FIRST_TIME

WINDOWS = {
    "event_count": [{"gte": 420}, {"gte": 440}, {"eq": 430}],
    "value_count": [
        {"gte": 25, "field": "url.domain"},
        {"gte": 28, "field": "url.domain"},
        {"eq": 26, "field": "url.domain"},
    ],
    "value_sum": [
        {"gt": 20_000, "field": "number"},
        {"gt": 21_000, "field": "number"},
        {"lt": 19_000, "field": "number"},
    ],
    "value_avg": [{"gt": 50, "field": "number"}, {"gt": 49.5, "field": "number"}, {"gt": 51, "field": "number"}],
    "value_median": [{"gt": 50, "field": "number"}, {"gt": 49, "field": "number"}, {"gt": 51, "field": "number"}],
    "value_percentile": [{"gt": p, "field": "number", "percentile": q} for p, q in ((90, 95), (18, 10), (100, 97.5))],
    "temporal": ["a and b and not c", "c and not b", {"gte": 2}],
    "temporal_ordered": [{"gte": 3}, {"gte": 2}, "a and c and not b"],
}


def stream(seed: int, rows: int = 4_000) -> list[Batch]:
    """Events of three groups, of which one has most, in batches of all sizes; now and then there is a gap."""
    dice = np.random.default_rng(seed)
    steps = dice.choice([0, 0, 100_000], rows) + np.where(dice.random(rows) < 0.001, 9_900_000, 0)
    times = FIRST_TIME + np.cumsum(steps)
    texts = dice.choice(["a", "b", "ab", "bc", "c"], rows, p=[0.5, 0.3, 0.1, 0.05, 0.05])
    frame = pl.DataFrame(
        {
            "event.id": [f"{row:05}" for row in range(rows)],
            "event.dataset": ["miniprogram.api"] * rows,
            "event.action": texts,
            APP: dice.choice(["wx1", "wx2", "wx3"], rows, p=[0.9, 0.09, 0.01]),
            "url.domain": [f"d{one}" for one in dice.zipf(1.6, rows) % 100],
            "number": [str(one) for one in np.round(dice.normal(50, 25, rows), int(dice.integers(0, 3)))],
            TIME: times,
            WATERMARK: times - 1_000_000,
            HASH: dice.integers(0, 2**63, rows).astype(np.uint64),
            LATE: [False] * rows,
        }
    )
    cuts = [0, *np.sort(dice.choice(rows, 60, replace=False)).tolist(), rows]
    parts = [frame[begin:end] for begin, end in pairwise(cuts) if end > begin]
    batches = [Batch(part, int(part[WATERMARK][-1])) for part in parts]
    return [*batches, Batch(frame.clear(), END_OF_TIME)]


def documents(kind: str) -> list[dict]:
    """Three windows of one kind, which are full and near their thresholds all the time."""
    rules = "a b c" if kind.startswith("temporal") else "a b"
    names = ["inner", "middle", "rule"]
    asked = zip(names, WINDOWS[kind], strict=True)
    return [
        correlation(kind, "" if isinstance(one, str) else rules, span="20s", name=name, condition=one)
        for name, one in asked
    ]


@pytest.fixture(params=[16, 200])
def apart(monkeypatch, request):
    monkeypatch.setattr(longs, "EVENTS_MIN", request.param)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("kind", WINDOWS)
def test_what_is_set_apart_says_what_all_together_would(kind, monkeypatch):
    batches = stream(1)
    detector = detector_of(*documents(kind))
    found = [detector.observe(one) for one in batches]
    assert len(detector._correlator._longs) > 0
    monkeypatch.setattr(longs, "EVENTS_MIN", 10**9)
    assert found == [plain.observe(one) for plain in [detector_of(*documents(kind))] for one in batches]
    assert sum(map(len, found)) > 3


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("kind", WINDOWS)
def test_a_snapshot_of_what_is_set_apart_is_taken_up_by_another(kind):
    batches = stream(4)
    first, second = detector_of(*documents(kind)), detector_of(*documents(kind))
    said = [first.observe(one) for one in batches]
    for place, one in enumerate(batches):
        assert second.observe(one) == said[place]
        if place % 7 == 3:
            kept = second.snapshot()
            second = detector_of(*documents(kind))
            second.restore(kept)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("kind", WINDOWS)
def test_a_look_that_fails_leaves_what_is_set_apart_as_it_was(kind, monkeypatch):
    batches = stream(5)
    first, second = detector_of(*documents(kind)), detector_of(*documents(kind))
    for place, one in enumerate(batches):
        if place % 5 == 2:
            with monkeypatch.context() as failing:
                failing.setattr(second._correlator, "_clear", lambda _watermark: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    second.observe(one)
        assert second.observe(one) == first.observe(one)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("kind", ["event_count", "value_count"])
def test_groups_and_values_that_look_alike_are_told_apart(kind, monkeypatch):
    batches = stream(6, 1_000)
    plain = detector_of(*documents(kind))
    expected = [plain.observe(one) for one in batches]
    monkeypatch.setattr(pl.Expr if kind == "event_count" else pl.Series, "hash", _one_of_few(kind))
    detector = detector_of(*documents(kind))
    assert [detector.observe(one) for one in batches] == expected


NUMBERS = [
    lambda dice, rows: np.round(dice.normal(50, 25, rows)),
    lambda _dice, rows: np.arange(rows, 0.0, -1),
    lambda _dice, rows: np.arange(rows) ** 2.0,
    lambda dice, rows: dice.choice([0.1, 0.2, -7], rows),
]


@pytest.mark.parametrize("span", ["3s", "40s", "1h"])
@pytest.mark.parametrize("kind", [*WINDOWS, "few", "many"])
def test_each_event_is_told_what_all_events_looked_through_together_would_tell_it(kind, span):
    percentile = {"few": 3, "many": 99}.get(kind)
    conditions = [{"neq": 0, "field": "number", "percentile": percentile}] if percentile else WINDOWS[kind]
    kind, rows = ("value_percentile" if percentile else kind), 3_000
    for number, numbers in enumerate(NUMBERS * len(conditions)):
        dice = np.random.default_rng(number)
        condition = conditions[number // len(NUMBERS)]
        names = "" if isinstance(condition, str) else "a b c"
        window = detector_of(correlation(kind, names, span=span, condition=condition)).rules[-1].window
        whole = pl.DataFrame(
            {
                "time": FIRST_TIME + np.cumsum(dice.choice([0, 0, 100_000], rows)),
                "value": [f"d{one}" for one in dice.zipf(1.6, rows) % 100],
                "number": numbers(dice, rows),
                "bases": dice.choice([1, 2, 4, 3], rows, p=[0.5, 0.3, 0.1, 0.1]),
                "held": [False] * rows,
            }
        )
        together = measure(window, Events.of(whole, np.zeros(rows, dtype=np.int64), window.span_us, np.arange(rows)))
        first = int(np.searchsorted(whole["time"], whole["time"][1_000]))
        long, begin = Long(window, "", whole[:first]), first
        while begin < rows:
            end = int(
                np.searchsorted(
                    whole["time"], whole["time"][min(begin + int(dice.choice([1, 3, 200])), rows - 1)], side="right"
                )
            )
            apart, _ = long.take(whole[begin:end])
            long.add(whole[begin:end])
            long.cut()
            assert np.array_equal(apart.holds, together.holds[begin:end])
            assert np.array_equal(apart.now, together.now[begin:end])
            assert np.array_equal(apart.earlier, together.earlier[begin:end])
            begin = end


def _one_of_few(kind):
    if kind == "event_count":
        return lambda key: key.str.len_chars().cast(pl.UInt64)
    return lambda values: values.str.len_chars().cast(pl.UInt64)


@pytest.mark.usefixtures("apart")
def test_where_there_is_no_room_the_oldest_are_forgotten_of_what_is_set_apart_too():
    detector = detector_of(*documents("event_count"), window_events_max=300)
    for one in stream(7):
        detector.observe(one)
        assert detector.snapshot()["windows"].height <= 300
    assert detector.forgotten > 0


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=20), st.data())
@settings(deadline=None)
def test_numbers_in_blocks_are_those_in_a_list(portions, data):
    blocks, held = SortedBlocks(np.empty(0)), []
    for portion in portions:
        blocks.add(np.array(portion, dtype=np.float64))
        held = sorted([*held, *map(float, portion)])
        gone = data.draw(st.lists(st.sampled_from(range(len(held))), unique=True, max_size=5)) if held else []
        blocks.take(np.array([held[at] for at in gone]))
        held = [one for at, one in enumerate(held) if at not in gone]
        begin, end = sorted(data.draw(st.tuples(st.integers(0, 20), st.integers(0, 20))))
        assert len(blocks) == len(held)
        assert blocks.between(begin, end).tolist() == held[begin:end]


def test_blocks_of_equal_numbers_give_them_back():
    blocks = SortedBlocks(np.zeros(10_000))
    blocks.take(np.zeros(9_000))
    blocks.add(np.ones(5))
    assert blocks.between(0, 2_000).tolist() == [0.0] * 1_000 + [1.0] * 5


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), max_size=20))
@settings(deadline=None)
def test_the_last_row_of_a_hash_is_that_which_came_last(portions):
    known, last, row = LastRows(), {}, 0
    for portion in portions:
        mine = {}
        for one in portion:
            mine[one] = row
            row += 1
        hashes = np.array(sorted(mine), dtype=np.uint64)
        known.add(hashes, np.array([mine[one] for one in sorted(mine)]))
        last |= mine
        assert known.of(np.arange(7, dtype=np.uint64)).tolist() == [last.get(one, -1) for one in range(7)]


def test_a_column_that_grows_and_is_cut_keeps_the_numbers_of_its_rows():
    column = Grown(np.int64)
    for number in range(0, 100_000, 100):
        column.add(np.arange(number, number + 100))
        column.cut(max(column.first, number - 500))
        assert column.between(max(0, number - 500), number + 100).tolist() == list(
            range(max(0, number - 500), number + 100)
        )


def test_sums_that_no_longer_fit_still_differ_by_what_stands_between():
    totals = Totals(np.full(10, 2.0**53))
    for sums in totals._sums:
        sums.rows[:] += 2**63 - 1_000 - sums.rows[-1]
    totals.add(np.full(10, 2.0**53))
    assert totals.between(np.array([5]), np.array([15])).tolist() == [10 * 2.0**53]
