"""What apps are made of, and who is shown what: a content switch and a gate are told, a deploy and what all see alike are not."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import polars as pl
import pytest
from crowds import HOUR, START, stored, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import NO_SHRINKING, check_cut, check_replay, check_resume, told, with_only
from shops import bare, shops, since, visits

from detectors.detector import State
from detectors.event import TIME, WATERMARK, Batch
from detectors.finding import Finding
from detectors.statistical import calibration, cohort, mixes, profile
from detectors.statistical.profile import Bins

BEFORE = 132.0
AT = BEFORE + 1.0
LOOKING = partial(with_only, "profile", "cohort")


@cache
def learned() -> tuple[State, pl.DataFrame]:
    """What is remembered of forty apps after five days and a half, and what they do in the four hours after."""
    whole = stream(shops(3, 40, int(BEFORE) + 4, 20))
    first = whole.filter(pl.col(TIME) < START + int(BEFORE * HOUR))
    detector = LOOKING()
    detector.observe(Batch(first, int(first[WATERMARK][-1])))
    return stored(detector.snapshot()), bare(since(whole, BEFORE))


def happens(*more: pl.DataFrame, instead: pl.Expr | None = None) -> dict[tuple[str, str], Finding]:
    """What is told when this happens beside the usual, or some pages are replaced."""
    state, rest = learned()
    if instead is not None:
        rest = rest.with_columns(instead.alias("miniprogram.page"))
    detector = LOOKING()
    detector.restore(state)
    return told(detector, stream(rest, *more))


def shown(page: str, app: str, *others: pl.Expr) -> pl.Expr:
    """Another page in the place of those that are shown from a time on."""
    when = (pl.col("miniprogram.app_id") == app) & (pl.col("event.action") == "Page.onShow")
    for one in (*others, pl.col(TIME) >= START + int(AT * HOUR)):
        when &= one
    return pl.when(when).then(pl.lit(page)).otherwise("miniprogram.page")


US = pl.col("source.geo.country_iso_code") == "US"


def test_usual_traffic_is_left_alone():
    assert happens() == {}


def test_another_content_from_one_hour_on_is_told_with_what_it_is():
    found = happens(instead=shown("pages/casino", "wx1"))
    assert ("wx1", "profile") in found
    assert {app for app, _ in found} == {"wx1"}
    assert found["wx1", "profile"].tags == ("behaviour.6",)
    assert "share of pages/casino" in {one.name for one in found["wx1", "profile"].measured}


def test_pages_that_are_known_in_other_shares_are_told_too():
    assert ("wx1", "profile") in happens(instead=shown("pages/me", "wx1"))


def test_what_a_new_version_changes_is_not_told():
    deploy = visits("wx1", AT - 0.5, 0.1, 20, page="pages/index", version="2.0")
    assert happens(deploy, instead=shown("pages/casino", "wx1")) == {}


def test_what_a_server_does_for_nobody_is_no_mix():
    sent = visits("wx1", AT, 0.5, 900, call="subscribeMessage.send", each=1)
    nobody = sent.with_columns(
        pl.lit(None, pl.String).alias(name)
        for name in ("user.id", "session.id", "host.os.name", "source.geo.country_iso_code", "miniprogram.version")
    )
    assert happens(nobody) == {}
    assert ("wx1", "profile") in happens(sent)


def test_a_few_events_more_are_no_other_mix():
    assert happens(visits("wx1", AT, 1, 2, page="pages/casino")) == {}


def test_of_a_crowd_no_more_counts_than_of_a_few_usual_hours():
    mix, crowd, hours = np.full((1, 64), 75.0), np.full((1, 64), 62.5), np.array([48])  # a hundred an hour, and 4,000
    assert mixes.counts_for(crowd, mix, hours) == pytest.approx(mixes.CUT * 100 / 4_000)
    assert mixes.counts_for(mix / 48, mix, hours) == 1.0
    assert mixes.counts_for(crowd, mix, hours // 4) == 1.0


def test_an_hour_in_which_clients_report_little_and_servers_go_on_is_no_other_content():
    state, rest = learned()
    servers = visits("wx1", AT, 0.9, 200, call="access", each=1)
    detector = LOOKING()
    detector.restore(state)
    others = rest.filter(
        (pl.col("miniprogram.app_id") != "wx1")
        | (pl.col(TIME) < START + int(AT * HOUR))
        | (pl.int_range(pl.len()) % 20 == 0)
    )
    assert told(detector, stream(others, servers)) == {}


def test_a_gate_by_region_is_told_with_where_it_is():
    found = happens(instead=shown("pages/casino", "wx2", US))
    assert ("wx2", "cohort") in found
    assert {app for app, _ in found} == {"wx2"}
    assert found["wx2", "cohort"].tags == ("behaviour.6",)
    assert "share of region US: pages/casino" in {one.name for one in found["wx2", "cohort"].measured}


def test_a_gate_by_system_is_told():
    assert ("wx3", "cohort") in happens(instead=shown("pages/casino", "wx3", pl.col("host.os.name") == "ios"))


def test_small_differences_of_a_crowd_are_no_gate():
    """Newcomers of one region open the first page somewhat more often than those of others do."""
    rng = np.random.default_rng(8)
    crowd = [
        visits("wx4", AT, 0.5, 10_000, page=page, each=1, seed=seed).with_columns(
            pl.Series("source.geo.country_iso_code", rng.choice(["CN", "SG", "US"], 10_000, p=shares)),
            pl.Series("host.os.name", rng.choice(["ios", "android", "harmony"], 10_000)),
        )
        for seed, page, shares in ((8, "pages/index", [0.64, 0.19, 0.17]), (9, "pages/list", [0.6, 0.2, 0.2]))
    ]
    assert not {test for _, test in happens(*crowd)} & {"cohort", "cohort_day"}


def test_what_all_regions_see_alike_is_no_gate():
    assert not {test for _, test in happens(instead=shown("pages/casino", "wx1"))} & {"cohort", "cohort_day"}


def test_more_people_of_one_region_are_no_gate():
    _, rest = learned()
    others = since(rest, AT).filter(US & pl.col("miniprogram.app_id").is_in(["wx6", "wx7", "wx8", "wx9"]))
    as_those = others.with_columns(  # the shops are alike
        pl.lit("wx5").alias("miniprogram.app_id"),
        pl.when(pl.col("url.domain").is_not_null()).then(pl.lit("api.shop5.example")).alias("url.domain"),
    )
    assert not {test for _, test in happens(as_those)} & {"cohort", "cohort_day"}


def test_little_says_little():
    share = np.full((1, 64), 1 / 64)
    few, many = np.zeros((1, 64)), np.zeros((1, 64))
    few[0, 0], many[0, 0] = 2, 200
    over, looks = np.ones(1), np.full(1, 100.0)
    low = mixes.score(*mixes.apart(few, share, np.full(1, 1e6)), over, looks)
    high = mixes.score(*mixes.apart(many, share, np.full(1, 1e6)), over, looks)
    assert low[0] < 5
    assert high[0] > 100


def test_what_is_known_little_is_judged_little():
    came = np.zeros((1, 64))
    came[0, 0] = 100
    share = np.full((1, 64), 1 / 64)
    sure, unsure = (mixes.apart(came, share, np.full(1, known))[0][0] for known in (1e6, 10.0))
    assert unsure < sure / 5


# Laws


@pytest.fixture
def _soon_learned(monkeypatch):
    monkeypatch.setattr(calibration, "LEARNED_MIN", 4)
    for name, value in (("LEARNING", 24), ("KNOWN_EVENTS", 50.0), ("KNOWN_DAYS", 0)):
        monkeypatch.setattr(profile, name, value)
    monkeypatch.setattr(mixes, "OVER_USUAL", 1.0)
    monkeypatch.setattr(cohort, "KNOWN_H", 2)
    monkeypatch.setattr(cohort, "EVENTS_MIN", 10)


def little() -> pl.DataFrame:
    frame = bare(stream(shops(1, 3, 8, 40, begin_h=20)))
    late = pl.col(TIME) >= START + int(25 * HOUR)
    gate = pl.when(late & ((pl.col("miniprogram.app_id") == "wx1") | ((pl.col("miniprogram.app_id") == "wx2") & US)) & (pl.col("event.action") == "Page.onShow"))  # fmt: skip
    return stream(
        frame.with_columns(gate.then(pl.lit("pages/casino")).otherwise("miniprogram.page").alias("miniprogram.page")),
        visits("wx0", 23, 0.5, 10, page="pages/index", version="2.0"),
    )


LITTLE = little()
"""The end of a day and the beginning of the next."""

cuts = st.lists(st.integers(1, LITTLE.height - 1), max_size=25, unique=True).map(sorted)


@pytest.mark.usefixtures("_soon_learned")
def test_the_little_stream_has_something_to_tell():
    found = told(LOOKING(), LITTLE)
    assert {("wx1", "profile"), ("wx2", "cohort")} <= set(found)


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


@pytest.mark.usefixtures("_soon_learned")
def test_apps_are_looked_at_in_blocks(monkeypatch):
    whole = told(LOOKING(), LITTLE)
    monkeypatch.setattr(profile, "BLOCK", 2)
    monkeypatch.setattr(cohort, "BLOCK", 1)
    assert set(told(LOOKING(), LITTLE)) >= {("wx1", "profile")}
    assert whole


def test_mixes_of_some_apps_are_those_of_all():
    detector = LOOKING()
    end = START + 27 * HOUR
    detector.observe(Batch(LITTLE.filter(pl.col(TIME) < end), end))
    (hour,) = (one.hour for one in detector._statistics if one.name == "shown")
    bins = Bins(hour)
    every = bins.mixes(np.arange(len(hour.apps)))
    assert (bins.mixes(np.array([0, 2])) == every[[0, 2]]).all()
    assert every.sum() > 0


def test_cohorts_beyond_the_largest_are_not_remembered():
    rng = np.random.default_rng(1)
    flood = visits("wx1", 0, 1, 20_000, page="pages/index", each=1)
    invented = pl.Series([f"X{number}" for number in rng.integers(0, 200, flood.height)])
    detector = LOOKING()
    frame = stream(
        flood.with_columns(invented.alias("source.geo.country_iso_code")), visits("wx1", 2, 1, 5, page="pages/index")
    )
    detector.observe(Batch(frame, int(frame[WATERMARK][-1])))
    (one,) = (one for one in detector._statistics if one.name == "cohort")
    assert 0 < len(one._rows) <= 8
