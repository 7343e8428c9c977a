import json
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from detectors.event import FIELDS, Kind
from detectors.finding import Scope
from monitor.simulate import KINDS, START, keys, labels, labels_ndjson, registry, simulate, simulation
from monitor.simulate.misbehaviour import staged

EVENTS = 24_000
NONE = frozenset()
PYTHON = {
    Kind.TEXT: str,
    Kind.TIME: str,
    Kind.INTEGER: int,
    Kind.NUMBER: (int, float),
    Kind.BOOLEAN: bool,
}


@cache
def stream(seed=7, events=EVENTS, kinds=None, loudness="loud"):
    return b"".join(simulate(seed, events, apps=60, kinds=kinds, loudness=loudness))


@cache
def read(seed=7, events=EVENTS, kinds=None, loudness="loud"):
    return [json.loads(line) for line in stream(seed, events, kinds, loudness).splitlines()]


def leaves(event, prefix=""):
    for name, value in event.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def micros(text):
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)


def at(event, path):
    for name in path.split("."):
        event = event.get(name, {}) if isinstance(event, dict) else {}
    return event or None


def test_the_same_seed_gives_the_same_bytes():
    again = b"".join(simulate(7, EVENTS, apps=60))
    assert again == stream()


def test_another_seed_gives_other_events():
    assert not {at(e, "event.id") for e in read(7, 2_000)} & {at(e, "event.id") for e in read(8, 2_000)}


def test_another_day_of_the_same_seed_has_other_event_ids():
    tuesday = b"".join(simulate(7, 2_000, apps=60, start=START + timedelta(days=1)))
    ids = {at(json.loads(line), "event.id") for line in tuesday.splitlines()}
    assert not ids & {at(e, "event.id") for e in read(7, 2_000)}
    assert tuesday == b"".join(simulate(7, 2_000, apps=60, start=START + timedelta(days=1)))


@pytest.mark.parametrize("events", [0, 1, 7, 999, 41_003])
def test_there_are_exactly_as_many_lines_as_asked(events):
    assert b"".join(simulate(3, events, apps=5)).count(b"\n") == events


def test_every_field_is_one_of_the_schema_and_has_its_type():
    for event in read():
        for name, value in leaves(event):
            assert name in FIELDS, name
            assert isinstance(value, PYTHON[FIELDS[name]]), (name, value)
            assert value != "" or name == "url.query", name


def test_arguments_and_bodies_are_json():
    for event in read():
        for field in ("miniprogram.api_args", "miniprogram.extra_data", "http.request.body.content"):
            if text := at(event, field):
                json.loads(text)


def test_a_line_is_about_as_long_as_a_real_one():
    assert 500 < len(stream()) / EVENTS < 750


def test_events_arrive_in_order_and_soon_but_for_a_few():
    newest, late, behind = 0, 0, 0
    for event in read():
        time, arrival = micros(event["@timestamp"]), micros(at(event, "event.ingested"))
        late += arrival - time > 2_000_000
        behind += arrival < newest - 1_000_000
        assert arrival > time
        newest = max(newest, arrival)
    assert behind == 0
    assert 0 < late < EVENTS * 0.001


def test_some_lines_are_delivered_twice_and_are_then_the_same():
    lines = stream().splitlines()
    ids = {at(event, "event.id") for event in read()}
    assert 0 < len(lines) - len(set(lines)) < EVENTS * 0.002
    assert len(ids) == len(set(lines))


@pytest.mark.parametrize("loudness", ["loud", "quiet"])
def test_labels_name_events_that_are_in_the_stream(loudness):
    known = {at(event, "event.id"): event for event in read(loudness=loudness)}
    truth = labels(7, EVENTS, apps=60, loudness=loudness)
    assert {label.kind for label in truth} == set(KINDS)
    for label in truth:
        assert set(label.event_ids) <= known.keys()
        assert len(label.event_ids) == min(20, label.events)
        assert label.start <= min(known[one]["@timestamp"] for one in label.event_ids)
        assert label.variant == loudness
        assert label.scope in list(Scope)


def test_labels_count_all_the_events_that_were_staged():
    run = simulation(7, EVENTS, apps=60)
    frame, truth = staged(run.world, run.kinds, loud=True)
    known = [at(event, "event.id") for event in read()]
    assert sum(label.events for label in truth) == frame.height == len(set(frame["event.id"]))
    assert set(frame["event.id"]) <= set(known)
    assert len(known) == EVENTS


def test_only_the_kinds_asked_for_are_staged():
    asked = frozenset({"plain-http", "carding"})
    assert {label.kind for label in labels(1, 5_000, kinds=asked)} == asked


def test_quiet_misbehaviour_is_less_than_loud():
    loud = {label.kind: label.events for label in labels(7, EVENTS, apps=60)}
    quiet = {label.kind: label.events for label in labels(7, EVENTS, apps=60, loudness="quiet")}
    assert all(quiet[kind] < loud[kind] for kind in KINDS)


def test_a_short_run_leaves_out_what_does_not_fit():
    truth = labels(1, 400)
    assert 0 < len(truth) < len(KINDS)
    assert sum(label.events for label in truth) <= 200


def test_plain_http_is_what_its_label_says():
    label = labels(7, EVENTS, apps=60, kinds=frozenset({"plain-http"}))[0]
    plain = [e for e in read(kinds=frozenset({"plain-http"})) if at(e, "url.scheme") == "http"]
    assert len(plain) == label.events
    assert {at(event, "miniprogram.app_id") for event in plain} == {label.value}


def test_honest_requests_go_encrypted_to_declared_hosts_only():
    apps = {app["app_id"]: app for app in map(json.loads, registry(7, EVENTS, apps=60))}
    for event in read(kinds=NONE):
        if domain := at(event, "url.domain"):
            assert domain in apps[at(event, "miniprogram.app_id")]["declared_domains"]
            assert not domain.startswith("sync.")
            assert at(event, "url.scheme") in ("https", None)


def test_honest_apps_use_only_what_they_declared():
    apps = {app["app_id"]: app for app in map(json.loads, registry(7, EVENTS, apps=60))}
    for event in read(kinds=NONE):
        if scope := at(event, "miniprogram.scope"):
            assert scope in apps[at(event, "miniprogram.app_id")]["declared_permissions"]


def test_honest_traffic_logs_in_less_than_twice_a_page_view():
    actions = [at(event, "event.action") for event in read(kinds=NONE)]
    assert actions.count("login") < actions.count("Page.onLoad")


def test_honest_servers_see_the_referrer_of_the_released_version():
    for event in read(kinds=NONE):
        if referrer := at(event, "http.request.referrer"):
            app_id, release = referrer.split("/")[3:5]
            assert app_id == at(event, "miniprogram.app_id")
            assert int(release) > 0


def test_the_night_is_quieter_than_the_evening():
    hours = [datetime.fromisoformat(event["@timestamp"]).hour for event in read(kinds=NONE)]
    assert hours.count(19) < hours.count(12) / 4  # 03:00 and 20:00 where the people are


def test_the_registry_is_of_the_apps_in_the_stream():
    known = {json.loads(line)["app_id"] for line in registry(7, EVENTS, apps=60)}
    assert len(known) == 60
    assert {at(event, "miniprogram.app_id") for event in read()} <= known


def test_labels_are_written_a_line_each():
    truth = labels(1, 5_000)
    lines = labels_ndjson(truth).splitlines()
    assert [json.loads(line)["kind"] for line in lines] == [label.kind for label in truth]


def test_keys_belong_to_the_seed():
    assert json.loads(keys(1))["payment"] != json.loads(keys(2))["payment"]


def test_a_start_and_a_length_of_time_hold_the_honest_traffic():
    start = datetime(2026, 7, 1, 12, tzinfo=UTC)
    text = b"".join(simulate(1, 3_000, start=start, duration_s=3_600, kinds=NONE))
    times = [json.loads(line)["@timestamp"] for line in text.splitlines()]
    assert min(times) >= "2026-07-01T12:00"
    assert max(times) <= "2026-07-01T13:00:01"


@pytest.mark.parametrize(("arguments", "word"), [({"events": -1}, "events"), ({"events": 1, "apps": 0}, "apps"), ({"events": 1, "duration_s": 5}, "duration_s"), ({"events": 1, "kinds": frozenset({"x"})}, "no such kind")])  # fmt: skip
def test_arguments_that_make_no_run_are_refused_by_name(arguments, word):
    with pytest.raises(ValueError, match=word):
        list(simulate(1, **arguments))
