"""Measurements: one of a time, fewer the older they are, and never more than are kept."""

import pytest

from monitor.moments import DAY_US, HOUR_US
from monitor.stores import measured
from monitor.stores.measured import KEPT_DAYS, SLOT_S, WHOLE_DAYS, Gauge, Measurement
from monitor.testing import scratch_store

SLOT = SLOT_S * 1_000_000
NOW = 20_000 * DAY_US + 5 * HOUR_US


@pytest.fixture
def store(tmp_path):
    store = scratch_store(tmp_path)
    yield store
    store.close()


def at(time, value, place="/data", what=Gauge.DISK, bound=100.0):
    return Measurement(what=what, host="one", place=place, time=time, value=value, bound=bound)


def test_what_several_measure_at_one_time_is_one_measurement_the_greatest(store):
    store.measure([at(NOW, 5.0), at(NOW, 7.0, "/other")])
    store.measure([at(NOW + SLOT - 1, 6.0)])
    store.measure([at(NOW + 1, 4.0), at(NOW, 1.0, what=Gauge.ARCHIVE, bound=None)])
    assert store.measurements() == [
        at(NOW, 1.0, what=Gauge.ARCHIVE, bound=None), at(NOW, 6.0), at(NOW, 7.0, "/other"),
    ]  # fmt: skip


def test_of_each_hour_before_the_last_days_the_greatest_stays_and_of_those_the_last(store):
    old = NOW - (WHOLE_DAYS + 1) * DAY_US
    store.measure([at(old + n * SLOT, value) for n, value in enumerate((1.0, 9.0, 3.0, 2.0, 4.0, 4.0, 4.0, 1.0))])
    store.measure([at(old + SLOT, 2.0, "/other")])
    store.measure([at(NOW - n * SLOT, 1.0) for n in range(8)])
    assert store.forget_measurements(NOW) == 6
    kept = [(one.place, (one.time - old) // SLOT, one.value) for one in store.measurements() if one.time < NOW - DAY_US]
    assert kept == [("/data", 1, 9.0), ("/data", 6, 4.0), ("/other", 1, 2.0)]
    assert len(store.measurements()) == 3 + 8


def test_the_greatest_of_a_day_is_the_same_after_others_have_gone(store):
    days = [at(NOW - n * SLOT, float((n * 7919) % 101)) for n in range(4 * 96)]
    store.measure(days)
    store.forget_measurements(NOW)
    for day in range(4):
        of_day = [one for one in days if (NOW - one.time) // DAY_US == day]
        left = [one.value for one in store.measurements() if (NOW - one.time) // DAY_US == day]
        assert max(left) == max(one.value for one in of_day)


def test_after_weeks_all_go(store):
    store.measure([at(NOW - KEPT_DAYS * DAY_US - SLOT, 1.0), at(NOW - KEPT_DAYS * DAY_US + HOUR_US, 2.0)])
    store.forget_measurements(NOW)
    assert [one.value for one in store.measurements()] == [2.0]


@pytest.mark.parametrize("places", [1, 3])
def test_there_are_never_more_than_are_kept_and_the_oldest_go(store, monkeypatch, places):
    monkeypatch.setattr(measured, "ROWS_MAX", 10)
    store.measure([at(NOW - n * SLOT, float(n), f"/{place}") for n in range(6) for place in range(places)])
    store.forget_measurements(NOW)
    kept = store.measurements()
    assert len(kept) == {1: 6, 3: 9}[places]
    assert min(one.time for one in kept) == NOW - {1: 5, 3: 2}[places] * SLOT


def test_the_record_says_how_large_it_is(store, tmp_path):
    assert store.record_bytes() >= sum(path.stat().st_size for path in tmp_path.rglob("*.db"))
