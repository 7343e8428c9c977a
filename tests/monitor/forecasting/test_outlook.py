"""What is said of the future, from what was measured."""

import math

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.forecasting.outlook import FAR, Outlook, forecasts
from monitor.moments import DAY_US, HOUR_US
from monitor.stores.measured import SLOT_S, Gauge, Measurement

SLOT = SLOT_S * 1_000_000
NOW = 20_422 * DAY_US + 7 * HOUR_US  # 2025-11-30
GIB, MIB = float(1 << 30), float(1 << 20)


def measured(what, value, days, *, bound=None, host="one", place="/data", until=NOW, every=1):
    """As often as is measured, for so many days: `value` of the days since it began."""
    begin = until - int(days * DAY_US)
    times = range(until, begin - 1, -SLOT * every)
    return [
        Measurement(what=what, host=host, place=place, time=at, value=value((at - begin) / DAY_US), bound=bound)
        for at in reversed(times)
    ]


def expected(rows, first_day="", retention_days=180):
    found = forecasts(rows, retention_days=retention_days, first_days={("one", "/data"): first_day}, turn_bytes=1 << 25)
    assert len({(one.what, one.host, one.place) for one in found}) == len(found)
    return found


def disk(days, used, a_day, bound=1000.0):
    return measured(Gauge.DISK, lambda at: (used + a_day * at) * GIB, days, bound=bound * GIB)


# What is kept


@given(days=st.sampled_from([0.5, 1.25, 3, 8, 20]), a_day=st.floats(0.01, 300), used=st.floats(1, 900))
def test_a_disk_that_fills_evenly_is_full_when_its_room_is_gone_as_far_as_can_be_seen(days, a_day, used):
    (found,) = expected(disk(days, used, a_day))
    left = 1000 - used - a_day * days
    assume(abs(left / a_day - FAR * days) > 0.01)
    if left <= 0:
        assert (found.outlook, found.full, found.state) == (Outlook.FULL, NOW, "problem")
    elif left / a_day > FAR * days:
        assert (found.outlook, found.full, found.state) == (Outlook.BEYOND, None, "ok")
    else:
        assert found.full == pytest.approx(NOW + left / a_day * DAY_US, abs=HOUR_US / 100)
        assert (found.earliest, found.latest) == (
            pytest.approx(found.full, abs=2e6),
            pytest.approx(found.full, abs=2e6),
        )
        assert found.state == ("warning" if found.full - NOW <= 7 * DAY_US else "ok")


@pytest.mark.parametrize("left_d", [6.9, 7.1])
def test_what_is_full_within_seven_days_is_a_warning_and_later_is_none(left_d):
    (found,) = expected(disk(3, 1000 - (3 + left_d) * 10, 10))
    assert found.state == {6.9: "warning", 7.1: "ok"}[left_d]


def test_nothing_is_said_of_growth_before_some_hours_were_measured():
    (found,) = expected(disk(5 / 24, 100, 10_000, bound=10_000))
    assert (found.outlook, found.growth, found.full) == (Outlook.UNKNOWN, None, None)
    assert (found.history, found.needed) == (5 * HOUR_US, 6 * HOUR_US)
    (found,) = expected(disk(6 / 24, 100, 10_000, bound=10_000))
    assert found.outlook is Outlook.FILLS


@pytest.mark.parametrize("a_day", [0, -3])
def test_a_disk_that_does_not_grow_is_never_full(a_day):
    (found,) = expected(disk(4, 900, a_day))
    assert (found.outlook, found.full, found.state) == (Outlook.STILL, None, "ok")


def test_days_that_differ_make_a_span_around_what_is_said():
    def uneven(at):
        return (100 + sum((5, 15, 8)[day % 3] for day in range(int(at)))) * GIB

    (found,) = expected(measured(Gauge.DISK, uneven, 12, bound=400 * GIB))
    assert 6 < found.growth.low / GIB < found.growth.middle / GIB < found.growth.high / GIB <= 15
    assert NOW < found.earliest < found.full < found.latest


# Retention


def archive(days, a_day):
    return measured(Gauge.ARCHIVE, lambda at: a_day * at * GIB, days)


def test_an_archive_whose_oldest_days_will_go_comes_to_no_more_than_so_many_days_hold():
    (found,) = expected(archive(10, 2), first_day="2025-11-20")
    assert (found.outlook, found.state) == (Outlook.STAYS, "ok")
    assert found.most == pytest.approx(2 * GIB * (181 + 7 / 24), rel=0.01)
    assert found.retained == (20_412 + 181) * DAY_US


def test_a_disk_that_grows_by_its_archive_alone_is_not_full_where_it_stays_under():
    rows = archive(10, 2) + disk(10, 100, 2)
    kept, there = sorted(expected(rows, first_day="2025-11-20"), key=lambda one: one.what)
    assert (there.outlook, there.full) == (Outlook.STAYS, None)
    assert there.most - 100 * GIB == pytest.approx(kept.most)


def test_what_else_grows_fills_the_disk_after_retention_has_begun():
    rows = archive(30, 2) + disk(30, 100, 3, bound=500)
    (found,) = (one for one in expected(rows, "2025-10-31", retention_days=70) if one.what is Gauge.DISK)
    until_d = 71 - (30 + 7 / 24)
    left = 500 - 190 - 3 * until_d
    assert found.full == pytest.approx(NOW + (until_d + left / 1) * DAY_US, abs=HOUR_US)


def test_once_old_days_go_what_was_before_counts_no_more():
    rows = measured(Gauge.DISK, lambda at: min(at, 12) * 10 * GIB, 20, bound=200 * GIB)
    rows += measured(Gauge.ARCHIVE, lambda at: min(at, 12) * 10 * GIB, 20)
    assert {one.outlook for one in expected(rows, "2025-06-01")} == {Outlook.STILL}
    assert Outlook.STILL not in {one.outlook for one in expected(rows, "2025-11-10")}


def test_a_record_whose_server_alone_knows_its_room_only_grows():
    (found,) = expected(measured(Gauge.RECORD, lambda at: at * GIB, 4, host="", place=""))
    assert (found.outlook, found.full, found.state) == (Outlook.GROWS, None, "ok")
    assert found.growth.middle == pytest.approx(GIB)


# What waits


def lag(value, days=1.0, bound=GIB, what=Gauge.LAG, place="kafka:calls/0"):
    return measured(what, value, days, bound=bound, host="", place=place)


def test_a_lag_that_grows_says_that_more_comes_than_is_read_and_when_nobody_is_ready_any_more():
    (found,) = expected(lag(lambda at: max(0, at - 0.75) * 2.4 * GIB))
    assert (found.outlook, found.state) == (Outlook.OVER, "problem")
    assert found.growth.middle == pytest.approx(2.4 * GIB)
    assert found.full - NOW == pytest.approx((0.4 / 2.4) * DAY_US, rel=0.01)
    assert found.history == pytest.approx(6 * HOUR_US, abs=HOUR_US)


def test_a_partition_that_is_read_to_its_end_every_night_is_not_over_its_limit():
    (found,) = expected(lag(lambda at: max(0, math.sin(2 * math.pi * at)) * 3 * GIB, days=5))
    assert (found.outlook, found.state) == (Outlook.STILL, "ok")


def test_a_lag_that_shrinks_is_caught_up():
    (found,) = expected(lag(lambda at: 10 * GIB * (1 - at / 2)))
    assert (found.outlook, found.state) == (Outlook.CATCHING_UP, "ok")


def test_a_lag_that_neither_grows_nor_shrinks_is_a_warning():
    (found,) = expected(lag(lambda at: GIB * (0.5 + 0.1 * math.sin(40 * at))))
    assert (found.outlook, found.state) == (Outlook.BEHIND, "warning")


def test_what_one_turn_takes_is_no_lag_and_half_an_hour_too_short_to_judge():
    (found,) = expected(lag(lambda at: 20 * MIB * at))
    assert (found.outlook, found.state) == (Outlook.STILL, "ok")
    (found,) = expected(lag(lambda at: GIB * (at >= 0.999)))
    assert (found.outlook, found.state) == (Outlook.UNKNOWN, "ok")


def test_a_spool_at_its_bound_is_full():
    (found,) = expected(lag(lambda at: min(at * 8, 4) * GIB, bound=4 * GIB, what=Gauge.SPOOL))
    assert (found.outlook, found.state) == (Outlook.FULL, "problem")


# Who works


def busy(value, days):
    return measured(Gauge.BUSY, value, days, bound=1.0)


def course(at):
    return 0.5 + 0.5 * math.sin(2 * math.pi * at)


def test_a_pipeline_is_judged_by_its_busiest_quarter_of_an_hour_of_each_day():
    (found,) = expected(busy(lambda at: course(at) * (0.4 + 0.02 * at), 10))
    assert found.growth.middle == pytest.approx(0.02, rel=0.02)
    assert found.now == pytest.approx(0.4 + 0.02 * 9.25, rel=0.02)
    assert (found.full - NOW) / DAY_US == pytest.approx((1 - found.now) / 0.02, rel=0.03)
    assert found.state == "ok"


def test_of_two_days_it_is_only_said_how_busy_it_is():
    (found,) = expected(busy(lambda _at: 0.9, 1.9))
    assert (found.outlook, found.state, found.now) == (Outlook.UNKNOWN, "warning", 0.9)
    assert found.needed == 3 * DAY_US


def test_a_pipeline_without_time_left_is_a_warning_and_no_problem_while_it_is_not_behind():
    (found,) = expected(busy(lambda at: 0.2 + 0.79 * (at > 0.9), 1))
    assert (found.outlook, found.state) == (Outlook.FULL, "warning")


# All together


def test_what_comes_first_stands_first_and_problems_above_all():
    rows = [
        *disk(4, 100, 10, bound=1000),
        *measured(Gauge.DISK, lambda at: (100 + 10 * at) * GIB, 4, bound=200 * GIB, place="/small"),
        *measured(Gauge.DISK, lambda at: (800 + at) * GIB, 4, bound=830 * GIB, place="/fuller and later"),
        *measured(Gauge.DISK, lambda at: (10 + at) * GIB, 4, bound=30 * GIB, place="/sooner"),
        *measured(Gauge.DISK, lambda _at: 5 * GIB, 4, bound=200 * GIB, place="/still"),
        *busy(lambda at: 0.01 + 0.01 * at, 4),
        *lag(lambda at: at * GIB),
    ]
    assert [(one.what.value, one.place) for one in expected(rows)] == [
        ("lag", "kafka:calls/0"), ("disk", "/small"), ("disk", "/sooner"), ("disk", "/fuller and later"), ("disk", "/data"), ("busy", "/data"), ("disk", "/still"),
    ]  # fmt: skip


def test_what_was_measured_last_a_day_before_the_others_is_gone_and_what_stands_still_together_is_not():
    rows = disk(4, 100, 10) + busy(lambda _at: 0.1, 4)
    old = measured(Gauge.DISK, lambda _at: 1.0, 3, host="two", until=NOW - DAY_US)
    assert {one.host for one in expected(rows + old)} == {"one"}
    moved = [msgspec.structs.replace(one, time=one.time - 40 * DAY_US) for one in rows]
    then = expected(moved)
    assert [one.measured for one in then] == [NOW - 40 * DAY_US] * 2
    assert [one.outlook for one in then] == [one.outlook for one in expected(rows)]


def test_of_nothing_nothing_is_expected():
    assert expected([]) == []
