"""Shares of refused calls: told where people or the platform refuse more than they usually do, and not where servers fail."""

from __future__ import annotations

from functools import cache, partial

import polars as pl
import pytest
from crowds import HOUR, START, stored, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import NO_SHRINKING, check_cut, check_replay, check_resume, told, with_only
from shops import bare, shops, since, visits

from detectors.detector import State
from detectors.event import TIME, WATERMARK, Batch
from detectors.statistical import calibration, outcomes

BEFORE = 66.0
AT = BEFORE + 1.0
LOOKING = partial(with_only, "outcomes")


@cache
def learned() -> tuple[State, pl.DataFrame]:
    """What is remembered of sixty apps after two days and three quarters, and what they do in the rest of the third."""
    whole = stream(shops(3, 80, 72, 8))
    first = whole.filter(pl.col(TIME) < START + int(BEFORE * HOUR))
    detector = LOOKING()
    detector.observe(Batch(first, int(first[WATERMARK][-1])))
    return stored(detector.snapshot()), bare(since(whole, BEFORE))


def happens(*more: pl.DataFrame) -> dict:
    """What is told when this happens beside the usual."""
    state, rest = learned()
    detector = LOOKING()
    detector.restore(state)
    return told(detector, stream(rest, *more))


def refused(app: str, count: int, hours: float = 1.0, **columns: object) -> pl.DataFrame:
    return visits(app, AT, hours, count, each=1, event__outcome="failure", **columns)


def test_usual_traffic_is_left_alone():
    assert happens() == {}


@pytest.mark.parametrize(
    ("behaviour", "columns"),
    [
        (1, {"call": "getLocation", "miniprogram__permission": "denied"}),
        (1, {"call": "getLocation", "event__provider": "wx.errno", "error__code": "104"}),
        (1, {"call": "getLocation", "error__message": "getLocation:fail auth deny"}),
        (8, {"call": "code2Session", "event__provider": "openapi.errcode", "error__code": "40029"}),
        (12, {"call": "requestPayment", "event__provider": "payment", "error__code": "-15021", "event__dataset": "miniprogram.payment"}),
        (16, {"call": "getFileSystemManager().readFile", "event__provider": "wx.errno", "error__code": "1301000"}),
        (None, {"call": "access", "http__response__status_code": 403}),
    ],
)  # fmt: skip
def test_a_rise_of_what_is_refused_is_told_as_what_it_is(behaviour, columns):
    dataset = columns.pop("event__dataset", None)
    more = refused("wx6", 40, **columns)
    if dataset:
        more = more.with_columns(pl.lit(dataset).alias("event.dataset"))
    found = happens(more)
    assert {app for app, _ in found} == {"wx6"}
    assert {tag for one in found.values() for tag in one.tags} >= ({f"behaviour.{behaviour}"} if behaviour else set())


def test_five_minutes_of_refusals_are_told_of_those_five_minutes():
    found = happens(refused("wx6", 25, 1 / 60, call="getLocation", miniprogram__permission="denied"))
    measured = {one.test for finding in found.values() for one in finding.measured}
    assert "refusal_burst" in measured


def test_requests_that_are_refused_hour_after_hour_are_told_as_what_came_of_late():
    bad = {"host": "api.shop6.example", "http__response__status_code": 403}
    parts = [refused("wx6", 9, 0.9, seed=hour, **bad) for hour in range(5)]
    found = happens(*(part.with_columns(pl.col(TIME) + hour * HOUR) for hour, part in enumerate(parts)))
    assert {app for app, _ in found} == {"wx6"}
    late = [one.value for one in found["wx6", "refusals_slow"].measured if one.test == "refusals_slow"]
    assert max(late) > 2 * 9, "more than any hour had"


@pytest.mark.parametrize(
    "columns",
    [
        {"http__response__status_code": 503},
        {"event__provider": "http", "error__code": "502"},
        {"event__provider": "wx.errmsg", "error__code": "5", "error__message": "request:fail timeout"},
        {"event__provider": "openapi.errcode", "error__code": "-1"},
    ],
)
def test_an_outage_is_told_of_nobody(columns):
    assert happens(*(refused(f"wx{app}", 150, host="api.shop.example", seed=app, **columns) for app in range(20))) == {}


def test_payments_that_people_call_off_are_no_declines():
    more = refused("wx6", 60, call="requestPayment", error__message="requestPayment:fail cancel")
    assert happens(more.with_columns(pl.lit("miniprogram.payment").alias("event.dataset"))) == {}


def test_a_crowd_that_denies_as_often_as_people_do_is_not_told():
    more = visits("wx6", AT, 1, 1_000, call="getLocation", each=1, miniprogram__permission="granted")
    more = more.with_row_index("row").with_columns(
        pl.when(pl.col("row") % 12 == 0).then(pl.lit("denied")).otherwise("miniprogram.permission").alias("miniprogram.permission")
    )  # fmt: skip
    assert happens(more.drop("row")) == {}


# Laws


@pytest.fixture
def _soon_learned(monkeypatch):
    monkeypatch.setattr(outcomes, "WAITING_MAX", 20)
    monkeypatch.setattr(calibration, "LEARNED_MIN", 20)
    monkeypatch.setattr(outcomes, "KNOWN", 24)


LITTLE = stream(
    shops(1, 4, 7, 12),
    visits(
        "wx1", 5.2, 0.5, 150, call="chooseAddress", each=1, miniprogram__permission="denied", event__outcome="failure"
    ),
    visits("wx2", 4.9, 0.3, 30, call="login", each=1, error__code="40029", event__outcome="failure"),
)
cuts = st.lists(st.integers(1, LITTLE.height - 1), max_size=60, unique=True).map(sorted)


@pytest.mark.usefixtures("_soon_learned")
def test_the_little_stream_has_something_to_tell():
    assert {app for app, _ in told(LOOKING(), LITTLE)} >= {"wx1", "wx2"}


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=6, phases=NO_SHRINKING)
@given(cuts)
def test_cutting_the_stream_changes_neither_what_is_seen_nor_what_is_remembered(at):
    check_cut(LOOKING, LITTLE, at)


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=5, phases=NO_SHRINKING)
@given(cuts)
def test_stopping_and_starting_anew_equals_never_having_stopped(at):
    check_resume(LOOKING, LITTLE, at)


@pytest.mark.usefixtures("_soon_learned")
def test_the_same_stream_says_the_same_again():
    check_replay(LOOKING, LITTLE)
