"""What the simulated platforms are: the same for a seed, honest while detectors learn, true to their labels, and as unruly as people."""

import json
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
import pytest
from misdeeds import KINDS
from occasions import Crowd
from score import Incident
from traffic import COLUMNS, Platform, ndjson
from traits import DAY_US, HOUR_US, hour_of_day, weekday
from write import main

from detectors.event import DTYPES, FIELDS, TIME

SEED, APPS, DAYS, QUIET = 5, 80, 3, 2


@pytest.fixture(scope="module")
def platform():
    return Platform(SEED, APPS, DAYS, QUIET, rounds=1)


@pytest.fixture(scope="module")
def hours(platform):
    return list(platform.frames())


@pytest.fixture(scope="module")
def events(hours):
    return pl.concat(hours)


@pytest.fixture(scope="module")
def honest(events, platform):
    return events.join(platform.staged_ids, on="event.id", how="anti", maintain_order="left")


def test_a_frame_is_an_hour_in_the_order_of_time(hours, platform):
    assert len(hours) == DAYS * 24
    for hour, frame in enumerate(hours):
        begin = platform.start + hour * HOUR_US
        assert frame[TIME].is_sorted()
        assert frame.height == 0 or begin <= frame[TIME][0] <= frame[TIME][-1] < begin + HOUR_US


def test_frames_have_the_columns_of_the_schema(hours):
    for frame in hours:
        assert dict(frame.schema) == COLUMNS
    assert {name: DTYPES[FIELDS[name]] for name in COLUMNS if name != TIME} == {
        n: d for n, d in COLUMNS.items() if n != TIME
    }


def test_the_same_seed_gives_the_same_frames_and_another_seed_others():
    first, again, other = (Platform(seed, 8, 2, 1, rounds=1) for seed in (1, 1, 2))
    assert pl.concat(first.frames()).equals(pl.concat(again.frames()))
    assert first.labels == again.labels
    assert first.registry() == again.registry()
    assert first.registry() != other.registry()


def test_ids_are_unique(events):
    assert events["event.id"].n_unique() == events.height


def test_the_events_of_labels_are_those_in_the_frames(events, platform):
    staged = events.join(platform.staged_ids, on="event.id")
    assert staged.height == sum(label.events for label in platform.labels)
    assert events.height == staged.height + platform.honest_events
    for place, label in enumerate(platform.labels):
        own = staged.filter(pl.col("_incident") == place)
        assert own.height == label.events
        if own.height:
            assert (own[TIME].min(), own[TIME].max()) == (label.start, label.end)
        else:
            assert platform.removed[place]


def test_misbehaviour_comes_after_the_quiet_days_but_for_ramps(platform):
    early = {label.kind for label in platform.labels if label.start < platform.quiet_end}
    assert early == {"ramp"}
    assert all(label.end < platform.end for label in platform.labels)


def test_every_kind_is_staged_loud_and_quiet(platform):
    staged = {(label.kind, label.variant) for label in platform.labels}
    missing = {(kind, variant) for kind in KINDS for variant in ("loud", "quiet")} - staged
    assert {kind for kind, _ in missing} <= {"collusion"}  # few owners of several apps here


def test_an_incident_accuses_an_app_and_who_it_belongs_to(platform):
    known = {line["app_id"]: line["developer_id"] for line in map(json.loads, platform.registry())}
    for label in platform.labels:
        apps = [value for scope, value in label.entities if scope == "AppId"]
        assert {("DeveloperId", known[app]) for app in apps} <= set(label.entities)


def test_apps_have_their_own_daylight(honest, platform):
    crowded = platform.population.app_ids[[crowd.app for crowd in platform.occasions.crowds]]
    opened = honest.filter((pl.col("event.action") == "App.onShow") & ~pl.col("miniprogram.app_id").is_in(crowded))
    hour = hour_of_day(opened[TIME].to_numpy()).astype(int)
    busy = np.bincount(hour, minlength=24)
    assert busy[18:23].mean() > 2 * busy[3:6].mean()
    office = opened["miniprogram.app_id"].is_in(platform.population.app_ids[platform.population.office]).to_numpy()
    at_work = np.isin(hour, range(8, 18))
    assert at_work[office].mean() > 0.6 > at_work[~office].mean()


def test_popularity_is_skewed(honest):
    per_app = honest.group_by("miniprogram.app_id").len()["len"].sort(descending=True)
    assert per_app[0] > 40 * per_app.median()


def test_offices_rest_at_weekends():
    population = Platform(SEED, 60, 8, 7, kinds=[]).population
    cells, busyness = population.busyness()
    weekend = weekday(cells) >= 5
    office = busyness[population.office]
    assert office[:, weekend].mean() < 0.6 * office[:, ~weekend].mean()


def test_crowds_come(honest, platform):
    for crowd in platform.occasions.crowds:
        assert isinstance(crowd, Crowd)
        opened = honest.filter(
            (pl.col("miniprogram.app_id") == platform.population.app_ids[crowd.app])
            & (pl.col("event.action") == "App.onShow")
        )
        during = opened.filter(pl.col(TIME).is_between(crowd.begin, crowd.end)).height / (crowd.end - crowd.begin)
        usual = opened.filter(~pl.col(TIME).is_between(crowd.begin, crowd.end + 2 * HOUR_US)).height / (DAYS * DAY_US)
        assert during > 4 * usual
        assert crowd.sessions >= 25


def test_addresses_are_shared_by_many_people(honest):
    people = (
        honest.drop_nulls(["source.ip", "device.id"])
        .group_by("source.ip")
        .agg(pl.col("device.id").n_unique())["device.id"]
    )
    assert (people > 100).sum() >= 2
    assert (people == 1).mean() > 0.4


def test_tills_are_shared_by_many_payers(honest):
    payers = (
        honest.drop_nulls(["payment.payer_id", "device.id"])
        .group_by("device.id")
        .agg(pl.col("payment.payer_id").n_unique())
    )
    assert payers["payment.payer_id"].max() >= 15


def test_people_come_back(honest):
    visits = honest.drop_nulls("session.id").group_by("user.id").agg(pl.col("session.id").n_unique())["session.id"]
    assert 0.2 < (visits > 1).mean() < 0.9


def test_machines_of_apps_keep_time_from_the_first_day(honest, platform):
    checks = honest.filter(pl.col("url.path") == "/health").partition_by("miniprogram.app_id")
    steady = [np.diff(own[TIME].to_numpy()) for own in checks if own.height > 50]
    assert any(gaps.std() < 0.01 * gaps.mean() for gaps in steady)
    assert min(own[TIME].min() for own in checks) < platform.start + DAY_US // 10


def test_servers_fail_and_are_asked_again(honest, platform):
    failed = honest.filter(pl.col("http.response.status_code") >= 500)
    outage = max(platform.occasions.outages, key=lambda one: one.tries * (one.end - one.begin))
    own = failed.filter(pl.col("miniprogram.app_id") == platform.population.app_ids[outage.app])
    assert own.filter(pl.col(TIME).is_between(outage.begin, outage.end)).height > 0
    assert failed.height > 50


def test_honest_payments_and_permissions_are_refused_now_and_then(honest):
    paid = honest.filter(pl.col("event.action") == "requestPayment")
    assert 0.05 < (paid["event.outcome"] == "failure").mean() < 0.35
    asked = honest.filter(pl.col("miniprogram.scope").is_not_null())
    assert 0.01 < (asked["miniprogram.permission"] == "denied").mean() < 0.3


def test_new_versions_are_in_the_registry_and_taken_up_over_hours(honest, platform):
    lines = {line["app_id"]: line["versions"] for line in map(json.loads, platform.registry())}
    seen = honest.select("miniprogram.app_id", "miniprogram.version").unique()
    assert all(version in {one["version"] for one in lines[app]} for app, version in seen.iter_rows())
    assert any(len(versions) > 1 for versions in lines.values())
    for versions in lines.values():
        assert all(old["valid_to"] == new["valid_from"] > new["approved_at"] for old, new in pairwise(versions))


def test_lines_say_what_the_frame_says(hours):
    frame = next(frame for frame in hours if frame.height)[:20]
    for line, row in zip(map(json.loads, ndjson(frame).splitlines()), frame.iter_rows(named=True), strict=True):
        assert line["event"]["id"] == row["event.id"]
        assert line["miniprogram"]["app_id"] == row["miniprogram.app_id"]
        assert line.get("user", {}).get("id") == row["user.id"]


def test_the_program_writes_events_truth_and_registry(tmp_path):
    files = [tmp_path / name for name in ("events", "labels", "apps")]
    told = ["--output", files[0], "--labels", files[1], "--registry", files[2]]
    main([*map(str, told), "--seed", "3", "--apps", "8", "--days", "2", "--quiet-days", "1", "--kinds", "bots,silence"])
    labels = [msgspec.json.decode(line, type=Incident) for line in files[1].read_bytes().splitlines()]
    assert labels == Platform(3, 8, 2, 1, kinds=["bots", "silence"]).labels
    assert len(files[2].read_bytes().splitlines()) == 8
    assert all(json.loads(line)["@timestamp"] for line in files[0].read_bytes().splitlines()[:50])


def test_arguments_that_make_no_platform_are_refused():
    with pytest.raises(ValueError, match="no days to test"):
        Platform(1, 5, 3, 3)
    with pytest.raises(ValueError, match="no such kinds: theft"):
        Platform(1, 5, 3, 2, kinds=["theft"])
