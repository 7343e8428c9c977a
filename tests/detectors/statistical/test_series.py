"""Counts of what apps do: the same for any cut, kept over a restart, and unusual ones told."""

from __future__ import annotations

import mmap
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from crowds import HOUR, START, cut, named, only, remembers, seen, stream
from hypothesis import example, given, settings
from hypothesis import strategies as st
from laws import NO_SHRINKING, check_cut, check_replay, check_resume

from detectors.event import TIME
from detectors.finding import Finding
from detectors.statistical import calibration
from detectors.statistical.detector import StatisticalDetector
from detectors.statistical.series import SeriesConfig

APIS = ["request", "getStorage", "login", "getLocation"]
SHARES = [0.6, 0.25, 0.1, 0.05]
LOOKING = partial(only, "series")


@pytest.fixture(autouse=True)
def _soon_learned(monkeypatch):
    monkeypatch.setattr(calibration, "LEARNED_MIN", 30)


def calls(hours: np.ndarray, app: Any, person: Any, action: Any, version: Any = "1.0") -> pl.DataFrame:
    """Calls at hours since the beginning."""
    columns = {
        TIME: (hours * HOUR).astype(np.int64) + START,
        "miniprogram.app_id": app,
        "miniprogram.developer_id": pl.Series(app) if not isinstance(app, str) else app,
        "miniprogram.version": version,
        "user.id": person,
        "event.action": action,
        "event.dataset": "miniprogram.api",
    }
    frame = pl.DataFrame({TIME: columns.pop(TIME)})
    return frame.with_columns(
        (pl.lit(value) if isinstance(value, str) else pl.Series(value, dtype=pl.String)).alias(name)
        for name, value in columns.items()
    )


def honest(seed: int, apps: int, hours: int, per_hour: float) -> pl.DataFrame:
    """Apps of some popularity whose people call four APIs, more at day than at night."""
    rng = np.random.default_rng(seed)
    shape = 1.0 + 0.8 * np.sin(np.arange(hours) % 24 / 24 * 2 * np.pi - 2)
    counts = rng.poisson(per_hour * (1 + np.arange(apps) % 3)[:, None] * shape)
    app, hour = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    when = hour + rng.random(len(hour))
    person = pl.Series([f"u{one}-{number}" for one, number in zip(rng.integers(0, 40, len(app)), app, strict=True)])
    version = np.where((app == 1) & (when > hours / 2), "2.0", "1.0")
    return calls(when, named("wx", app), person, rng.choice(APIS, len(app), p=SHARES), version)


def told(*parts: pl.DataFrame, **config: Any) -> list[Finding]:
    return list(seen(only("series", **config), cut(stream(*parts))).values())


LITTLE = stream(
    honest(3, 3, 46, 20),
    calls(43 + np.arange(300) / 600, "wx2", named("u", np.arange(300) % 4), "getLocation"),
    calls(
        44 + np.arange(300) / 600, "wx1", named("u", np.arange(300) % 4), "startRecord", "2.0"
    ),  # a deploy explains it
)
cuts = st.lists(st.integers(1, LITTLE.height - 1), max_size=40, unique=True).map(sorted)
EVENLY = list(range(LITTLE.height // 9, LITTLE.height, LITTLE.height // 9))


def test_the_little_stream_has_something_to_tell_and_something_not():
    assert {one.entity.value for one in seen(LOOKING(), cut(LITTLE)).values()} == {"wx2"}


@settings(max_examples=25, phases=NO_SHRINKING)
@given(st.integers(20, 600), st.lists(st.integers(1, 600), max_size=20, unique=True).map(sorted))
def test_cutting_a_beginning_changes_neither(rows, at):
    check_cut(LOOKING, LITTLE[:rows], [one for one in at if one < rows])


@settings(max_examples=5, phases=NO_SHRINKING)
@given(cuts)
@example(EVENLY)
def test_cutting_the_stream_changes_neither_what_is_seen_nor_what_is_remembered(at):
    check_cut(LOOKING, LITTLE, at)


@settings(max_examples=4, phases=NO_SHRINKING)
@given(cuts)
@example(EVENLY)
def test_stopping_and_starting_anew_equals_never_having_stopped(at):
    check_resume(LOOKING, LITTLE, at)


@settings(max_examples=2, phases=NO_SHRINKING)
@given(cuts)
def test_all_statistics_together_keep_the_laws(at):
    check_cut(StatisticalDetector, LITTLE, at)
    check_resume(StatisticalDetector, LITTLE, at[:5])


def test_the_same_stream_says_the_same_again():
    check_replay(LOOKING, LITTLE)


USUAL = honest(5, 12, 96, 20)
"""Four days."""


def burst(people: int, actions: Any = "getLocation", version: str = "1.0", count: int = 1_000) -> pl.DataFrame:
    """Many calls within a quarter of an hour of the fourth day, of so many people."""
    rng = np.random.default_rng(1)
    when = 80 + rng.random(count) / 4
    return calls(when, "wx4", named("v", rng.integers(0, people, count)), actions, version)


def test_traffic_as_always_is_not_told():
    assert told(USUAL) == []


def test_one_who_calls_an_api_far_more_often_than_ever_is_told_once_with_what_is_usual():
    (found,) = told(USUAL, burst(3))
    assert found.entity.value == "wx4"
    assert found.tags == ("behaviour.2",)
    assert found.measured[0].name == "calls of getLocation"
    assert found.measured[0].value > 20 * found.measured[0].usual
    assert (found.kind, found.owner) == ("statistical", "wx4")


@pytest.mark.parametrize(("version", "found"), [("1.0", {"wx4"}), ("2.0", set())])
def test_what_is_done_less_is_told_unless_it_came_with_a_new_version(version, found):
    mine, later = pl.col("miniprogram.app_id") == "wx4", pl.col(TIME) >= START + 120 * HOUR
    whole = honest(5, 8, 230, 20).filter(~(mine & later & (pl.col("event.action") == "getStorage")))
    of_version = pl.when(mine & later).then(pl.lit(version)).otherwise(pl.lit("1.0")).alias("miniprogram.version")
    falls = [
        one
        for one in told(whole.with_columns(of_version))
        if one.rule.id in {"statistical.fall", "statistical.silence"}
    ]
    assert {one.entity.value for one in falls} == found


def entries(scene: str, hours: np.ndarray, people: int) -> pl.DataFrame:
    """Launches from a scene."""
    person = named("v", np.arange(len(hours)) % people)
    return calls(hours, "wx4", person, "App.onLaunch").with_columns(
        pl.lit(int(scene), pl.Int64).alias("miniprogram.scene")
    )


@pytest.mark.parametrize(("scene", "found"), [("1036", {"wx4"}), ("1014", set())])
def test_ways_in_are_judged_that_shares_open_and_not_those_of_campaigns(scene, found):
    usual = USUAL.with_columns(pl.lit(None, pl.Int64).alias("miniprogram.scene"))
    before = entries(scene, np.arange(40, 80, 0.5), 5)
    many = [entries(scene, 80 + np.arange(1_000) / 4_000, 4)]
    launches = [one for one in told(usual, before, *many) if one.measured[0].name == f"entries of {scene}"]
    assert {one.entity.value for one in launches} == found


def at_night(days: range, count: int) -> list[pl.DataFrame]:
    """What an app's servers send at three in the night."""
    nobody = pl.Series([None] * count, dtype=pl.String)
    return [calls(24 * day + 3 + np.arange(count) / count / 20, "wx4", nobody, "subscribeMessage.send") for day in days]


def test_what_servers_do_once_a_day_takes_days_to_be_known():
    much = {"statistical.rate", "statistical.burst", "statistical.rise"}
    assert not {one.rule.id for one in told(USUAL, *at_night(range(1, 4), 100))} & much
    long = told(honest(5, 12, 150, 20), *at_night(range(1, 6), 100), *at_night(range(6, 7), 3_000))
    assert {one.entity.value for one in long if one.rule.id in much} == {"wx4"}


def test_what_one_person_does_in_five_minutes_is_not_what_the_app_does():
    busy = calls(80.02 + np.arange(200) / 4_000, "wx4", "v1", "getLocation")
    assert told(USUAL, busy) == []
    several = calls(80.02 + np.arange(200) / 4_000, "wx4", named("v", np.arange(200) % 3), "getLocation")
    assert {one.entity.value for one in told(USUAL, several)} == {"wx4"}


def test_a_crowd_of_people_who_do_what_people_do_is_not_told():
    rng = np.random.default_rng(2)
    assert told(USUAL, burst(900, rng.choice(APIS, 1_000, p=SHARES))) == []


def test_what_an_old_app_has_never_done_is_told_at_once():
    assert [one.measured[0].name for one in told(USUAL, burst(3, "startRecord"))] == ["calls of startRecord"]


def test_what_a_new_version_brings_is_not():
    assert told(USUAL, burst(3, "startRecord", version="2.0")) == []


def test_what_falls_silent_while_people_are_there_is_told():
    detector = LOOKING()
    silent = (
        (pl.col("miniprogram.app_id") == "wx5")
        & (pl.col("event.action") == "request")
        & (pl.col(TIME) > START + 75 * HOUR)
    )
    sightings = [one for batch in cut(stream(USUAL.filter(~silent))) for one in detector.observe(batch)]
    assert {one.finding.entity.value for one in sightings} == {"wx5"}
    assert {"silence", "fall"} <= {measured.test for one in sightings for measured in one.finding.measured}


def test_what_comes_all_at_once_every_hour_is_usual():
    hours = np.repeat(np.arange(96), 80)
    found = told(USUAL, calls(hours + np.tile(np.arange(80), 96) / 2_000, "wx6", "robot", "request"))
    assert "statistical.burst" not in {one.rule.id for one in found}


def nightly(*begins: float) -> pl.DataFrame:
    """Sixty messages in two minutes that nobody's visit brings about."""
    rng = np.random.default_rng(3)
    hours = np.concatenate([begin + np.sort(rng.random(60)) / 30 for begin in begins])
    return calls(hours, "wx4", pl.Series([None] * len(hours), dtype=pl.String), "send")


def test_nightly_work_that_begins_some_minutes_later_than_always_is_not_told():
    assert told(USUAL, nightly(2.95, 26.94, 50.96, 75.01)) == []
    assert {one.entity.value for one in told(USUAL, nightly(2.95, 26.94, 50.96, 81.0))} == {"wx4"}


def logins(people: int, times: int, begin: float = 80.0) -> pl.DataFrame:
    """People who come one after the other for ten hours, each to log in so often within two minutes."""
    first = begin + np.repeat(np.arange(people) * 10 / people, times)
    each = np.tile(np.arange(times) / 30 / times, people)
    return calls(first + each, "wx4", named("v", np.repeat(np.arange(people), times)), "login")


def hasty() -> pl.DataFrame:
    """People of all apps who ask for the same thrice within a minute, one here and one there."""
    rng = np.random.default_rng(6)
    begins, person = np.repeat(np.sort(rng.random(500) * 96), 3), np.repeat(np.arange(500), 3)
    when = begins + np.tile(np.arange(3) / 180, 500)
    return calls(when, named("wx", person % 12), named("h", person), "request")


def test_what_several_people_come_to_do_again_and_again_is_told():
    (found,) = told(USUAL, hasty(), logins(12, 4))
    assert (found.entity.value, found.rule.id, found.tags) == ("wx4", "statistical.repeats", ("behaviour.8",))
    assert found.measured[0].name == "repeaters of login"


def test_what_they_do_once_or_one_of_them_again_and_again_is_not():
    assert told(USUAL, hasty(), logins(12, 1)) == []
    assert told(USUAL, hasty(), logins(2, 4)) == []


def test_a_gap_in_our_own_input_says_nothing_about_apps():
    assert told(USUAL.filter(~pl.col(TIME).is_between(START + 60 * HOUR, START + 70 * HOUR))) == []


def test_a_rate_that_doubles_slowly_is_found_before_it_has_doubled():
    rng = np.random.default_rng(4)
    hours = np.arange(96, 216)
    count = rng.poisson(4.0 * (hours - 96) / 120)
    more = calls(
        np.repeat(hours, count) + rng.random(count.sum()),
        "wx5",
        named("u", rng.integers(0, 40, count.sum())),
        "getLocation",
    )
    found = told(honest(5, 12, 216, 20), more)
    assert {one.entity.value for one in found} == {"wx5"}
    assert "statistical.rise" in {one.rule.id for one in found}


def test_a_flood_of_new_names_leaves_memory_bounded_and_what_is_usual_of_others_as_it_was():
    few = SeriesConfig(keys_max=3_000, keys_per_app_max=100, apps_max=500)
    count = 60_000
    flood = calls(
        85 + np.arange(count) / count, named("fake", np.arange(count) % 700), "u1", named("api", np.arange(count))
    )
    quiet, flooded = only("series", series=few), only("series", series=few)
    seen(quiet, cut(stream(USUAL)))
    seen(flooded, cut(stream(USUAL, flood)))
    old, new = (one._statistics[0]._rows for one in (quiet, flooded))
    assert len(new) <= 3_000
    assert new.knows(old.keys).all()
    for name in ("hourly", "counted", "vary_visit"):
        assert (new[name][new.find(old.keys)] == old[name][old.find(old.keys)]).all(), name
    assert flooded.forgotten > 50_000


@pytest.mark.slow
def test_ten_million_new_names_leave_memory_bounded_and_what_is_usual_of_others_as_it_was():
    names, a_batch = 10_000_000, 200_000
    quiet, flooded = StatisticalDetector(), StatisticalDetector()
    first, rest = (USUAL.filter(pl.col(TIME) < START + 85 * HOUR), USUAL.filter(pl.col(TIME) >= START + 85 * HOUR))
    seen(quiet, cut(stream(first, rest)))
    seen(flooded, cut(stream(first), goes_on=False))
    begun, most = resident(), 0
    for begins in range(0, names, a_batch):
        number = np.arange(begins, begins + a_batch)
        hours = 85 + np.arange(begins, begins + a_batch) / names
        flood = calls(hours, named("fake", number % 20_000), "u1", named("api", number))
        mine = rest.filter(pl.col(TIME).is_between(*(int(START + hours[at] * HOUR) for at in (0, -1)), closed="left"))
        seen(flooded, cut(stream(mine, flood), goes_on=False))
        most = max(most, resident() - begun)
    seen(flooded, cut(stream(rest.filter(pl.col(TIME) >= START + 86 * HOUR))))
    old, new = (one._series._rows for one in (quiet, flooded))
    assert flooded.forgotten > names - 3_000_000
    assert len(new) <= 1_000_000
    assert new.bytes <= 300 * 1_000_000
    assert most < 3 << 30
    assert new.knows(old.keys).all()
    for name in ("hourly", "counted", "vary_visit"):
        assert (new[name][new.find(old.keys)] == old[name][old.find(old.keys)]).all(), name


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_a_restart_takes_nothing_of_other_statistics():
    one, other = LOOKING(), LOOKING()
    seen(one, cut(LITTLE))
    other.restore(one.snapshot())
    remembers(one, other)
    with pytest.raises(ValueError, match="not a snapshot"):
        other.restore({})
