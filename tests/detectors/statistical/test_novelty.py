"""What an app shows for the first time, and where it carries what is private: told where nothing explains it."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import polars as pl
import pytest
from crowds import HOUR, START, stored, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import NO_SHRINKING, check_cut, check_replay, check_resume, told, with_only
from shops import SECOND, bare, shops, since, visits

from detectors.detector import State
from detectors.event import TIME, WATERMARK, Batch
from detectors.statistical import calibration, exfiltration, novelty, shown
from detectors.statistical.hashes import hashed
from detectors.statistical.shown import Shown, ShownConfig
from detectors.statistical.windows import Window

DAYS = 6
BEFORE = 24 * (DAYS - 1) + 12.0
"""Hours after which something may happen."""

AT = BEFORE + 2.0
LOOKING = partial(with_only, "novelty", "exfiltration")


@cache
def learned() -> tuple[State, pl.DataFrame]:
    """What is remembered of sixty apps after five days, and what they do in the rest of the sixth."""
    whole = stream(shops(3, 60, 24 * DAYS, 8))
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


def carried(
    app: str, sessions: int, host: str = "evil.example", after_s: int = 5, **columns: object
) -> list[pl.DataFrame]:
    """Sessions in which the place is read and, so many seconds later, a host is asked."""
    reads = visits(app, AT, 1, sessions, call="getLocation", each=1, seed=6)
    asks = visits(app, AT, 1, sessions, host=host, each=1, seed=6, **columns)
    return [reads, asks.with_columns(pl.col(TIME) + after_s * SECOND)]


def test_usual_traffic_is_left_alone():
    assert happens() == {}


def test_new_pages_without_a_new_version_are_told_and_with_one_are_not():
    found = happens(
        visits("wx1", AT, 3, 40, page="pages/casino"), visits("wx2", AT, 3, 40, page="pages/new", version="2.0")
    )
    assert set(found) == {("wx1", "novelty")}
    (one,) = found.values()
    assert one.tags == ("behaviour.6",)
    assert one.measured[0].name == "new pages of pages/casino"


@pytest.mark.parametrize(("hours", "found"), [pytest.param(40, set(), marks=pytest.mark.slow), (100, {"wx99"})])
def test_pages_of_an_app_that_few_open_are_found_late(hours, found):
    seldom = [
        visits("wx99", 0.1 + number * 125 / hours, 0.5, 2, page="pages/index", seed=number) for number in range(hours)
    ]
    late = visits("wx99", 24 * DAYS - 6, 2, 40, page="pages/deep")
    told_of = told(LOOKING(), stream(shops(3, 60, 24 * DAYS, 8), *seldom, late))
    assert {app for app, _ in told_of} == found


def test_a_version_that_is_in_review_explains_nothing():
    found = happens(visits("wx1", AT, 3, 40, page="pages/casino", version="2.0", app__version_status="review"))
    assert set(found) == {("wx1", "novelty")}


def test_what_is_tried_before_it_is_released_is_no_content():
    assert happens(visits("wx1", AT, 3, 40, page="pages/casino", version="0", miniprogram__stage="trial")) == {}


def test_a_new_private_call_is_told_as_what_it_reads():
    found = happens(visits("wx1", AT, 2, 30, call="chooseAddress"))
    assert found["wx1", "novelty"].tags == ("behaviour.1",)


def test_a_host_of_many_apps_is_less_new_than_one_of_nobody_else():
    state, rest = learned()
    detector = LOOKING()
    detector.restore(state)
    common = [visits(f"wx{number}", AT, 1, 12, host="sdk.example", seed=number) for number in range(20)]
    rare = visits("wx30", AT, 1, 12, host="odd.example")
    found = told(detector, stream(rest, *common, rare))
    assert {app for app, _ in found} == {"wx30"}


def test_a_few_people_whose_place_is_carried_to_a_new_host_are_seen():
    found = happens(*carried("wx4", 4))
    assert {app for app, _ in found} == {"wx4"}
    one = found["wx4", "exfiltration"]
    assert "behaviour.3" in one.tags
    assert one.measured[0].value == 4


def test_it_is_seen_across_the_end_of_an_hour():
    hour = int(AT + 1)
    reads = visits("wx4", hour - 8 / 3600, 5 / 3600, 4, call="getLocation", each=1, seed=6)
    asks = visits("wx4", hour - 8 / 3600, 5 / 3600, 4, host="evil.example", each=1, seed=6)
    assert ("wx4", "exfiltration") in happens(reads, asks.with_columns(pl.col(TIME) + 20 * SECOND))


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("a host of the app's own", {"host": "api.shop4.example"}),
        ("a minute later", {"after_s": 60}),
        (
            "a new host of a new version, declared",
            {"version": "2.0", "app__declared_domains": '["evil.example"]'},
        ),
    ],
)
def test_what_is_no_exfiltration(what, more):
    assert ("wx4", "exfiltration") not in happens(*carried("wx4", 4, **more)), what


@pytest.mark.parametrize(
    ("call", "tag"),
    [("chooseAddress", 1), ("saveImageToPhotosAlbum", 1), ("getWifiList", 2), ("getRecorderManager().start", 2)],
)
def test_a_private_call_that_is_new_little_by_little_is_told(call, tag):
    more = [visits("wx1", AT + 2 * one, 0.5, 1, call=call, each=1, seed=one) for one in range(5)]
    (one,) = happens(*more).values()
    assert one.rule.id == "statistical.novelty_slow"
    assert one.tags == (f"behaviour.{tag}",)


def test_many_calls_of_what_a_version_brought_say_no_more_than_one():
    more = [visits("wx1", AT + 2 * one, 0.5, 4, call="chooseAddress", each=3, version="2.0", seed=one) for one in range(5)]  # fmt: skip
    assert ("wx1", "novelty_slow") not in happens(*more)


def test_anything_else_that_shows_late_is_not():
    more = [visits("wx1", AT + 2 * one, 0.5, 1, call="vibrateShort", each=2, seed=one) for one in range(5)]
    assert happens(*more) == {}


def test_what_is_carried_off_one_session_at_a_time_is_seen():
    more = []
    for one in range(6):
        reads = visits("wx4", AT + 2 * one, 0.5, 1, call="getLocation", each=1, seed=one)
        asks = visits("wx4", AT + 2 * one, 0.5, 1, host="evil.example", each=1, seed=one)
        more += [reads, asks.with_columns(pl.col(TIME) + 5 * SECOND)]
    assert ("wx4", "exfiltration_slow") in happens(*more)


def test_a_deploy_does_not_explain_a_host_that_is_not_declared():
    more = carried("wx4", 4, version="2.0", app__declared_domains='["api.shop4.example"]')
    assert ("wx4", "exfiltration") in happens(*more)


def test_a_young_app_is_not_judged():
    young = [visits("young", BEFORE + 0.1, 1, 50, page="pages/one"), visits("young", AT, 2, 50, page="pages/two")]
    assert happens(*young) == {}


def test_a_flood_of_invented_values_leaves_memory_bounded_and_others_intact():
    statistic = Shown(ShownConfig(values_max=4_096, values_per_app_max=500))
    usual = shops(3, 20, 50, 10)
    for hour in range(50):
        here = usual.filter(pl.col(TIME) // HOUR == START // HOUR + hour)
        if hour >= 26:
            names = pl.select("h" + pl.Series(np.arange(20_000) + hour * 20_000).cast(pl.String)).to_series()
            flood = visits("bad", hour, 1, 20_000, host="x", each=1).with_columns(names.alias("url.domain"))
            here = pl.concat([here, flood])
        windowed = here.with_columns((pl.col(TIME) // 300_000_000).alias("window"))
        statistic.count(hashed(windowed))
        for index in range(12):
            statistic.close(Window(START // 300_000_000 + hour * 12 + index))
    assert len(statistic.values) <= 4_096
    assert statistic.bytes < 1_000_000
    assert statistic.forgotten > 400_000
    last = statistic.hour
    assert last is not None
    assert not last.new[last.counted["app"].to_numpy() != "bad"].any()


# Laws


@pytest.fixture
def _soon_learned(monkeypatch):
    monkeypatch.setattr(calibration, "LEARNED_MIN", 6)
    for module in (shown, novelty, exfiltration):
        monkeypatch.setattr(module, "LEARNING", 24)
    monkeypatch.setattr(novelty, "PAGES_H", 2)


LITTLE = stream(
    shops(1, 3, 7, 12),
    visits("wx1", 5, 1, 12, page="pages/casino"),
    visits("wx2", 4, 2, 12, page="pages/new", version="2.0"),
    visits("wx0", 5, 1.5, 8, call="getLocation", each=2, seed=6),
    visits("wx0", 5, 1.5, 8, host="evil.example", each=2, seed=6).with_columns(pl.col(TIME) + 4 * SECOND),
    visits("wx0", 5.98, 0.02, 5, call="getLocation", each=1, seed=9),
    visits("wx0", 5.98, 0.02, 5, host="other.example", each=1, seed=9).with_columns(pl.col(TIME) + 25 * SECOND),
)
cuts = st.lists(st.integers(1, LITTLE.height - 1), max_size=25, unique=True).map(sorted)


@pytest.mark.usefixtures("_soon_learned")
def test_the_little_stream_has_something_to_tell():
    found = told(LOOKING(), LITTLE)
    assert {("wx1", "novelty"), ("wx0", "exfiltration")} <= set(found)


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
