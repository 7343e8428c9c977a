"""`miniwatch explain APP --why-not RULE`, and the story of an id for programs."""

import json

import pytest

RULE = """title: Login from far away
id: 0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11
logsource: {product: miniprogram, service: auth}
detection:
  sel: {event.action: Login, source.ip|cidr: 203.0.113.0/24}
  filter: {event.outcome: failure}
  condition: sel and not filter
"""
COUNTING = """title: A bad login
id: 0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c12
name: bad_login
logsource: {product: miniprogram, service: auth}
detection: {s: {event.outcome: failure}, condition: s}
---
title: Many bad logins
id: 0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c13
correlation: {type: event_count, rules: [bad_login], group-by: [source.ip], timespan: 5m, condition: {gte: 5}}
"""


def event(number, ip="203.0.113.9", outcome="failure", dataset="miniprogram.auth", app="wx1"):
    return {
        "@timestamp": f"2026-03-02T00:00:{number:02}Z",
        "event": {"id": f"e{number}", "dataset": dataset, "action": "login", "outcome": outcome},
        "miniprogram": {"app_id": app},
        "source": {"ip": ip},
    }


@pytest.fixture
def watched(fresh):
    """An archive of a few events, and a configuration whose rules have no twins to be loaded by."""
    rules = fresh.folder / "rules"
    for name, text, hit, miss in (
        ("far", RULE, [event(1, outcome="success")], [event(1)]),
        ("many", COUNTING, [event(number) for number in range(5)], [event(1)]),
    ):
        (rules / name).mkdir(parents=True)
        (rules / f"{name}.yml").write_text(text)
        for file, events in (("hit", hit), ("miss", miss)):
            (rules / name / f"{file}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    config = fresh.folder / "c.toml"
    config.write_text(f'[rules]\nfolders = ["{rules}"]\nbuiltin = false\n')
    events = [
        event(1, ip="198.51.100.1"),
        event(2),
        event(3),
        event(4, ip="198.51.100.1"),
        event(5, dataset="miniprogram.api"),
        event(6, app="wx2", outcome="success"),
        event(7, app="wx3", dataset="miniprogram.api"),
    ]
    fresh.events.write_text("".join(json.dumps(one) + "\n" for one in events))
    fresh.here("run", "--until-end", "--source", f"file:{fresh.events}", "-c", str(config))

    def ask(*words, code=0):
        return fresh.here("explain", *words, "-c", str(config), code=code)

    return ask


def test_the_nearest_event_and_what_it_fails_are_told(watched):
    told = watched("wx1", "--why-not", "0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11").stdout.splitlines()
    assert told[:6] == [
        "Rule           Login from far away (0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11)",
        "App            wx1",
        "Looked at      5 events of the app, 2026-03-02 00:00:01 to 2026-03-02 00:00:05 UTC",
        "Datasets       4 of the events are of miniprogram.auth",
        "Nearest event  e3, 2026-03-02 00:00:03 UTC",
        "It fails       must not be so: event.outcome is 'failure' (found 'failure')",
    ]
    assert "    yes  event.dataset is miniprogram.auth (found 'miniprogram.auth')" in told


def test_what_it_fails_is_there_for_programs(watched):
    row = json.loads(watched("wx1", "--why-not", "far", "-o", "ndjson").stdout)
    assert (row["app"], row["events"], row["of_datasets"], row["true_of"]) == ("wx1", 5, 4, 0)
    assert (row["nearest"]["event"], row["nearest"]["time"]) == ("e3", "2026-03-02T00:00:03.000000Z")
    (unmet,) = row["nearest"]["unmet"]
    assert (unmet["asks"], unmet["must"], unmet["found"]) == ("event.outcome is 'failure'", False, "failure")
    assert row["nearest"]["why"]["true"] is False
    assert "tree" not in row["nearest"]


def test_of_a_correlation_each_group_says_how_near_it_came(watched):
    told = watched("wx1", "--why-not", "0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c13").stdout
    assert "Counted    4 of them match 'bad_login'" in told
    windows = [line.removeprefix("Windows").strip() for line in told.splitlines() if " is asked for" in line]
    assert windows == [
        "nearest at 2026-03-02 00:00:03: for source.ip 203.0.113.9: count 2, 5 or more is asked for",
        "nearest at 2026-03-02 00:00:04: for source.ip 198.51.100.1: count 2, 5 or more is asked for",
    ]


def test_where_nothing_was_counted_the_base_rule_says_why(watched):
    told = watched("wx2", "--why-not", "0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c13").stdout
    assert "none of its windows held anything" in told
    assert "must be so: event.outcome is 'failure' (found 'success')" in told


def test_a_rule_that_is_true_says_of_which_events(watched):
    assert "True of    1 event, such as e6" in watched("wx2", "--why-not", "far").stdout


def test_events_of_other_datasets_only_are_told(watched):
    told = watched("wx3", "--why-not", "far").stdout
    assert "0 of the events are of miniprogram.auth; others are of miniprogram.api" in told


def test_an_app_without_events_or_a_rule_that_is_none_is_refused(watched):
    assert "the archive has no event of app wx9" in watched("wx9", "--why-not", "far", code=2).stderr
    assert "there is no rule nothing" in watched("wx1", "--why-not", "nothing", code=2).stderr


@pytest.mark.parametrize("kind", ["finding", "incident", "decision"])
def test_a_story_is_there_for_programs(miniwatch, kind):
    key = miniwatch.rows(f"{kind}s", "list")[0]["id"]
    (row,) = miniwatch.rows("explain", key)
    assert (row["kind"], row[kind]["id"]) == (kind, key)
    shown = miniwatch.here("explain", key).stdout
    for part in row["story"][1:]:
        assert f"\n{part['title']}\n" in shown
    assert {name for name, _ in row["story"][0]["lines"]} >= {"Who"}


def test_the_story_of_an_event_is_there_for_programs(miniwatch):
    key = next(row for row in miniwatch.rows("findings", "list"))["evidence"]["event_ids"][0]
    (row,) = miniwatch.rows("explain", key)
    assert row["kind"] == "event"
    assert "Findings that name it" in [part["title"] for part in row["story"]]
