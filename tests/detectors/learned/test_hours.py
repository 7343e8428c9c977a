"""What is counted of an app and hour: the numbers themselves, and that they do not depend on how the stream is cut."""

import numpy as np
import polars as pl
import pytest
from app_hours import batches, event, named, place
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import END_OF_TIME, Batch
from detectors.learned import features
from detectors.learned.features import EVENTS_MIN, NAMES, SHARE_OF_MORE
from detectors.learned.gathering import Gatherer
from detectors.learned.hours import HOUR_US, SLOTS, Hours, HoursConfig
from detectors.testing import batch

HOUR_MS = 3_600_000
END = Batch(batch().frame, END_OF_TIME)


def gathered(stream, config=None, restarts=False):
    """All rows of a stream, as plain values."""
    found = []
    gatherer = Gatherer(found.append, config)
    for one in [*stream, END]:
        gatherer.observe(one)
        if restarts:
            state = gatherer.snapshot()
            gatherer = Gatherer(found.append, config)
            gatherer.restore(state)
    return [(rows.index, rows.frame.rows(), rows.matrix.tolist()) for rows in found]


def row_of(*events):
    """The features by name of the first app in the only hour of some events."""
    found = []
    gatherer = Gatherer(found.append)
    for one in (batch(*events), END):
        gatherer.observe(one)
    (rows,) = found
    return dict(zip(NAMES, rows.matrix[rows.frame["app"].to_list().index(named(0))].tolist(), strict=True))


def test_numbers_are_logarithms_of_counts():
    row = row_of(*(event(one * 1_000, 0, visitor=one % 4) for one in range(63)))
    assert row["events_per_visitor"] == pytest.approx(np.log2(1 + 63 / 4))
    assert row["apis"] == 1.0


def test_shares_are_smaller_where_little_is_known():
    few = row_of(*(event(one, 0, call="login") for one in range(20)))
    many = row_of(*(event(one, 0, call="login") for one in range(400)))
    assert few["login"] == pytest.approx(20 / (20 + SHARE_OF_MORE))
    assert many["login"] > 0.97


def test_the_busiest_visitor_has_a_share():
    row = row_of(*(event(one, 0, visitor=max(one - 29, 0)) for one in range(40)))
    assert row["busiest_visitor"] == pytest.approx(30 / 50)


@pytest.mark.parametrize(
    ("call", "feature"),
    [
        ("getStorageSync", "storage"),
        ("getFileSystemManager().writeFile", "storage"),
        ("wx.request", "network"),
        ("requestPayment", "payment"),
        ("checkSession", "login"),
        ("onShareAppMessage", "sharing"),
        ("setClipboardData", "clipboard"),
        ("web-view", "leaving"),
        ("createWorker().postMessage", "device"),
    ],
)
def test_calls_have_kinds(call, feature):
    assert row_of(*(event(one, 0, call=call) for one in range(30)))[feature] == pytest.approx(0.75)


def test_calls_for_personal_data_without_a_tap_are_counted():
    private = {"catalogue.privacy": "location", "miniprogram.foreground": True}
    tapped = [
        event(one, 0, call="getLocation", **{"miniprogram.user_gesture_age_ms": 300}, **private) for one in range(10)
    ]
    untapped = [event(one, 0, call="getLocation", **private) for one in range(10, 30)]
    row = row_of(*tapped, *untapped)
    assert row["privacy"] == pytest.approx(30 / 40)
    assert row["untapped"] == pytest.approx(20 / 40)


def test_what_servers_tell_knows_of_no_taps():
    told = {"miniprogram.foreground": None}
    assert row_of(*(event(one, 0, call="requestPayment", **told) for one in range(30)))["untapped"] == 0.0


def test_sizes_are_cut_so_that_sums_stay_whole():
    huge = {"http.request.bytes": 2**62, "http.response.bytes": -5}
    row = row_of(*(event(one, 0, visitor=1, **huge) for one in range(25)))
    assert row["sent_per_visitor"] == pytest.approx(np.log2(1 + 25 * 2**32), rel=1e-6)
    assert row["received_per_visitor"] == 0.0


def test_an_hour_with_few_events_is_not_looked_at():
    assert gathered([batch(*(event(one, 0) for one in range(EVENTS_MIN - 1)))])[0][2] == []
    assert len(gathered([batch(*(event(one, 0) for one in range(EVENTS_MIN)))])[0][2]) == 1


def test_rows_are_in_the_order_of_keys():
    events = [event(one * 10 + app, app) for one in range(25) for app in range(9)]
    ((_, rows, _),) = gathered([batch(*events)])
    assert len(rows) == 9
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_an_hour_is_told_at_the_row_that_ends_it():
    found = []
    gatherer = Gatherer(found.append)
    gatherer.observe(batch(*(event(one, 0) for one in range(25)), event(HOUR_MS - 1, 0)))
    assert not found
    gatherer.observe(batch(event(HOUR_MS, 0)))
    assert [len(rows) for rows in found] == [1]


def test_an_hour_ends_once_none_of_its_events_is_awaited():
    frame = batch(*(event(one, 0) for one in range(25)), event(HOUR_MS, 1)).frame
    last = int(frame["_time"][-1]) - 1
    for watermark, hours in ((last - 1, 0), (last, 1)):
        found = []
        Gatherer(found.append).observe(Batch(frame[:25], watermark))
        assert len(found) == hours
        rows = []
        reached = frame.with_columns(pl.lit(watermark).alias("_watermark"))
        Gatherer(rows.append).observe(Batch(reached, watermark))
        assert len(rows) == hours


def test_the_row_that_ends_an_hour_is_the_first_after_which_none_is_awaited():
    frame = batch(*(event(one, 0) for one in range(6))).frame
    last = (frame["_time"][0] // HOUR_US + 1) * HOUR_US - 1
    hours = Hours()
    ending = Batch(frame.with_columns(pl.Series("_watermark", [0, 1, last - 1, last, last, last + 5])), last + 5)
    hours.count(ending)
    assert hours.ended(ending) == [(3, last // HOUR_US * SLOTS)]


def test_late_events_do_not_count():
    frame = batch(*(event(one, 0) for one in range(60))).frame
    late = frame.with_columns(pl.Series("_late", [one % 2 == 0 for one in range(60)]))
    ((_, rows, _),) = gathered([Batch(late, 0)])
    assert rows[0][-1] == 30


def test_more_visitors_than_are_told_apart_are_estimated():
    events = [event(one, 0, visitor=one % 3_000) for one in range(30_000)]
    ((_, _, matrix),) = gathered([batch(*events)], HoursConfig(different_per_app_max=256))
    assert 2 ** matrix[0][place("events_per_visitor")] - 1 == pytest.approx(10, rel=0.2)


def test_where_there_is_no_room_for_all_of_all_apps_it_is_estimated_how_many_there_are():
    apps, people = 40, 300
    events = [event(one, one % apps, visitor=one // apps % people) for one in range(apps * people * 2)]
    narrow = HoursConfig(different_max=SLOTS * 6_000)
    ((_, rows, matrix),) = gathered([batch(*events)], narrow)
    assert len(rows) == apps
    visitors = [row[-1] / (2 ** one[place("events_per_visitor")] - 1) for row, one in zip(rows, matrix, strict=True)]
    assert np.mean(visitors) == pytest.approx(people, rel=0.1)
    assert min(visitors) > people / 2


def test_an_hour_of_an_app_begins_at_the_minute_that_its_name_says():
    late = {"miniprogram.app_id": named(0, 7)}
    minutes = [34, 35, 94, 95]
    events = [event(minute * 60_000 + one, 0, **late) for minute in minutes for one in range(20 + minute)]
    found = gathered([batch(*events)])
    assert [rows[0][-1] for _, rows, _ in found] == [54, 55 + 114, 115]
    assert [index % SLOTS for index, _, _ in found] == [7, 7, 7]


@pytest.mark.parametrize(
    ("registered", "said", "counts"), [("shop", "game", "shop"), ("unknown", "game", "game"), (None, "game", "game")]
)
def test_the_registry_says_the_category_and_where_it_does_not_the_event(registered, said, counts):
    named = {"app.category": registered, "miniprogram.category": said}
    ((_, rows, _),) = gathered([batch(*(event(one, 0, **named) for one in range(25)))])
    assert rows[0][2] == counts


def test_no_category_is_unknown():
    ((_, rows, _),) = gathered([batch(*(event(one, 0, **{"app.category": None}) for one in range(25)))])
    assert rows[0][2] == features.UNKNOWN


def test_columns_that_nobody_decoded_are_nothing():
    frame = batch(*(event(one, 0) for one in range(25))).frame
    bare = Batch(frame.select(pl.col("^_.*$"), "miniprogram.app_id"), 0)
    ((_, rows, _),) = gathered([bare])
    assert len(rows) == 1


moments = st.integers(0, 3 * HOUR_MS)
events_of = st.builds(
    lambda ms, app, visitor, call, category: event(
        ms, 0, visitor, call, **{"app.category": category, "miniprogram.app_id": app}
    ),
    moments,
    st.sampled_from([named(0), named(1, 1), named(2, 7), named(3, 7)]),
    st.integers(0, 12),
    st.sampled_from(["request", "login", "getStorage", "requestPayment", "Page.onLoad"]),
    st.sampled_from(["game", "shop", None]),
)


@st.composite
def streams(draw):
    """Events a little out of order, several of each so that hours have enough of them, and where they are cut."""
    drawn = draw(st.lists(events_of, min_size=1, max_size=40))
    more = [one | {"event.id": str(again)} for one in drawn for again in range(draw(st.integers(1, 12)))]
    shaken = sorted(more, key=lambda one: (one["@timestamp"][:16], one["event.id"]))
    cuts = draw(st.lists(st.integers(1, len(shaken)), max_size=8))
    return shaken, cuts, draw(st.sampled_from([0, 60, 120]))


@settings(max_examples=60)
@given(streams(), st.booleans())
def test_rows_do_not_depend_on_cuts_nor_on_restarts(stream, restarts):
    events, cuts, lateness = stream
    whole = gathered(batches(events, lateness_s=lateness))
    assert gathered(batches(events, cuts, lateness), restarts=restarts) == whole


@settings(max_examples=40)
@given(streams())
def test_rows_do_not_depend_on_cuts_where_not_all_are_told_apart(stream):
    events, cuts, lateness = stream
    narrow = HoursConfig(apps_max=SLOTS, different_per_app_max=4, different_max=SLOTS * 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("detectors.learned.hours._room", lambda most: most // SLOTS)  # to the last one
        whole = gathered(batches(events, lateness_s=lateness), narrow)
        assert gathered(batches(events, cuts, lateness), narrow, restarts=True) == whole
