import json
import re

import pytest

from monitor.door import PeopleHash
from monitor.sealing import key_at

FIELDS = [
    "id",
    "time",
    "first_event",
    "last_event",
    "detector",
    "kind",
    "rule",
    "entity",
    "owner",
    "related",
    "severity",
    "confidence",
    "score",
    "title",
    "evidence",
    "tags",
    "proof",
    "false_positives",
    "response",
    "measured",
    "shadow",
]
CALL = (
    '{"@timestamp":"2026-03-02T00:00:%02dZ","event":{"id":"call-%d","dataset":"miniprogram.api"},'
    '"miniprogram":{"app_id":"wx1","api":"private_openUrl"}}\n'
)
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_findings_as_ndjson_have_the_fields_of_a_finding(miniwatch):
    rows = miniwatch.rows("findings", "list")
    assert len(rows) > 50
    assert list(rows[0]) == FIELDS
    assert STAMP.fullmatch(rows[0]["time"])
    assert set(rows[0]["rule"]) == {"id", "version"}
    assert set(rows[0]["entity"]) == {"scope", "value"}
    assert {row["severity"] for row in rows} <= {"informational", "low", "medium", "high", "critical"}


def test_decisions_of_all_modes_are_listed_and_say_their_mode(miniwatch):
    rows = miniwatch.rows("decisions", "list")
    assert {row["mode"] for row in rows} <= {"replay", "shadow"}
    assert all(STAMP.fullmatch(row["expires"]) for row in rows)
    assert "MODE" in miniwatch.here("decisions", "list").stdout


@pytest.mark.parametrize("group", ["findings", "incidents", "decisions"])
def test_show_takes_the_beginning_of_an_id(miniwatch, group):
    whole = miniwatch.rows(group, "list", "--limit", "1")[0]
    shown = miniwatch.rows(group, "show", whole["id"][:12])
    more = {"decisions": {"enforcement": [], "appeals": []}, "incidents": {"clocks": [], "words": []}}.get(group, {})
    assert shown == [whole | more]
    assert whole["id"] in miniwatch.here(group, "show", whole["id"]).stdout


@pytest.mark.parametrize("group", ["findings", "incidents", "decisions"])
def test_an_id_that_is_none_is_wrong_usage(miniwatch, group):
    assert "there is no" in miniwatch.here(group, "show", "zzz", code=2).stderr


def test_a_beginning_of_several_ids_is_refused_with_the_candidates(miniwatch):
    ids = [row["id"] for row in miniwatch.rows("findings", "list")]
    first = next(key[0] for key in ids if sum(other[0] == key[0] for other in ids) > 1)
    assert "several" in miniwatch.here("findings", "show", first, code=2).stderr


def test_filters_leave_what_they_say(miniwatch):
    every = miniwatch.rows("findings", "list")
    high = miniwatch.rows("findings", "list", "--severity", "HIGH")
    assert high == [row for row in every if row["severity"] in ("high", "critical")]
    app = next(row["entity"]["value"] for row in every if row["entity"]["scope"] == "AppId")
    assert miniwatch.rows("findings", "list", "--app", app) == [
        row for row in every if row["entity"] == {"scope": "AppId", "value": app}
    ]
    rule = every[0]["rule"]["id"]
    assert miniwatch.rows("findings", "list", "--rule", rule[:8]) == [row for row in every if row["rule"]["id"] == rule]
    noon = miniwatch.rows("findings", "list", "--since", "2026-03-02T12:00:00Z", "--until", "2026-03-02T18:00:00+00:00")
    assert noon == [row for row in every if "T12" <= row["time"][10:13] < "T18"]
    assert miniwatch.rows("findings", "list", "--since", "2h") == []


def test_incidents_are_listed_by_time_or_by_risk(miniwatch):
    by_time = miniwatch.rows("incidents", "list")
    assert by_time == miniwatch.rows("incidents", "list", "--sort", "time")
    by_risk = miniwatch.rows("incidents", "list", "--sort", "risk")
    assert [row["risk"] for row in by_risk] == sorted((row["risk"] for row in by_time), reverse=True)
    assert miniwatch.rows("incidents", "list", "--sort", "risk", "--limit", "2") == by_risk[:2]


def test_a_word_that_is_none_is_wrong_usage_and_names_the_words(miniwatch):
    assert "none of informational, low" in miniwatch.here("findings", "list", "--severity", "bad", code=2).stderr
    assert "is no time" in miniwatch.here("findings", "list", "--since", "yesterday", code=2).stderr


def test_a_table_is_short_by_itself_and_says_so(miniwatch):
    result = miniwatch.here("findings", "list")
    assert len(result.stdout.splitlines()) == 51
    assert "--limit" in result.stderr
    assert "\x1b" not in result.stdout


def test_a_person_is_found_by_their_own_id(miniwatch):
    lines = (
        json.loads(line)
        for line in miniwatch.events.read_bytes().splitlines()
        if b'"user"' in line and b"bad" not in line
    )
    person = next(line["user"]["id"] for line in lines)
    found = miniwatch.rows("events", "list", "--user", person)
    hashed = PeopleHash(key_at(miniwatch.folder / "data" / "keys" / "people.key"))(person)
    assert found
    assert {row["user"]["id"] for row in found} == {hashed}


def test_an_event_is_listed_shown_and_explained(miniwatch):
    finding = next(row for row in miniwatch.rows("findings", "list") if row["evidence"]["event_ids"])
    event = finding["evidence"]["event_ids"][0]
    assert event in miniwatch.here("events", "show", event).stdout
    assert finding["id"][:12] in miniwatch.here("explain", event).stdout
    limited = miniwatch.rows("events", "list", "--dataset", "miniprogram.api", "--limit", "7")
    assert [row["event"]["dataset"] for row in limited] == ["miniprogram.api"] * 7


FORGED = '"}\n{"event.id":"z","@timestamp":"2026-03-02T08:00:00Z","miniprogram":{"app_id":"victim"},"x":"'


@pytest.mark.parametrize("spelling", [lambda key: {"event": {"id": key}}, lambda key: {"event.id": key}])
@pytest.mark.parametrize("key", ['a","forged":"yes', FORGED, "plain", 7])
def test_an_app_cannot_forge_events_by_what_it_calls_one(fresh, key, spelling):
    event = {"@timestamp": "2026-03-02T08:00:00Z", **spelling(key), "miniprogram": {"app_id": "wx0123456789abcdef"}}
    fresh.events.write_text(json.dumps(event) + "\n")
    fresh.here("run", "--until-end", "--source", f"file:{fresh.events}")
    assert fresh.rows("events", "list") == [event]
    assert json.loads(fresh.here("events", "list", "-o", "json").stdout) == [event]
    assert json.loads(fresh.here("events", "show", str(key), "-o", "json").stdout) == event


@pytest.mark.parametrize("own", [{}, {"event": {"id": None}}, {"event.id": None, "message": '"event.id":"x"'}])
def test_an_event_without_an_id_is_listed_with_the_one_it_is_known_by(fresh, own):
    event = {"@timestamp": "2026-03-02T08:00:00Z", **own}
    fresh.events.write_text(json.dumps(event) + "\n")
    fresh.here("run", "--until-end", "--source", f"file:{fresh.events}")
    (told,) = fresh.rows("events", "list")
    assert {name: value for name, value in told.items() if name != "event.id"} == {
        name: value for name, value in event.items() if name != "event.id"
    }
    assert fresh.here("events", "show", told["event.id"], "-o", "json").stdout


def test_an_event_is_found_in_a_finding_that_counts_it_without_naming_it(fresh):
    minute = [CALL % (number, number) for number in range(25)]
    fresh.events.write_text("".join(minute))
    fresh.here("run", "--until-end", "--source", f"file:{fresh.events}")
    (found,) = fresh.rows("findings", "list", "--rule", "93c40fbe")
    assert (found["evidence"]["count"], found["evidence"]["truncated"]) == (25, True)
    told = fresh.here("explain", "call-24").stdout
    assert "Findings that name it" not in told
    assert found["id"][:12] in told.split("Findings that count it")[1]


def test_of_an_event_that_no_finding_holds_it_is_said_what_was_looked_at(fresh):
    fresh.events.write_text((CALL % (1, 1)).replace("private_openUrl", "login"))
    fresh.here("run", "--until-end", "--source", f"file:{fresh.events}")
    told = fresh.here("explain", "call-1").stdout
    assert "none  looked at: 0 findings" in told
    assert "rules on single events asked about it again" in told


def test_the_story_of_a_held_decision_says_why_it_is_held(miniwatch):
    held = miniwatch.rows("decisions", "list", "--state", "held")
    assert held
    told = miniwatch.here("explain", held[0]["id"][:12]).stdout
    assert "a person has to judge it" in told
    assert "held: nothing is done; it would have expired at" in told
    assert "What else there is about" in told


def test_of_a_replayed_decision_there_is_nothing_to_lift(miniwatch):
    (active,) = miniwatch.rows("decisions", "list", "--state", "active", "--mode", "replay", "--limit", "1")
    told = miniwatch.here("explain", active["id"]).stdout
    assert "there is nothing to lift: nothing was enforced" in told
    assert "decisions revoke" not in told


def test_the_developer_of_an_app_is_not_told_as_that_of_an_address(miniwatch):
    incidents = miniwatch.rows("incidents", "list")
    for scope, is_told in (("AppId", True), ("Ip", False)):
        one = next(row for row in incidents if row["entity"]["scope"] == scope and row["owner"])
        assert ("Developer" in miniwatch.here("explain", one["id"]).stdout.split("What was seen")[0]) is is_told


def test_of_an_app_and_of_a_rule_what_they_show_themselves_is_told(miniwatch):
    app = miniwatch.rows("incidents", "list")[-1]["entity"]["value"]
    assert miniwatch.here("explain", app).stdout == miniwatch.here("apps", "show", app).stdout
    assert miniwatch.here("explain", "277df3d1").stdout == miniwatch("rules", "show", "277df3d1").stdout


def test_what_is_no_id_of_anything_is_wrong_usage(miniwatch):
    assert "there is no rule zzz" in miniwatch.here("explain", "zzz", code=2).stderr
    assert "an id is expected" in miniwatch.here("explain", "", code=2).stderr


def test_a_revoked_decision_is_revoked_with_its_reason_in_the_audit(miniwatch):
    key = miniwatch.rows("decisions", "list", "--state", "active", "--limit", "1")[0]["id"]
    miniwatch.here("decisions", "revoke", key, "--reason", "put right")
    assert re.search(r"revoked  +\S+ \S+ UTC by operator:\S+: put right\n", miniwatch.here("explain", key).stdout)
    assert miniwatch.rows("decisions", "show", key)[0]["state"] == "revoked"
    assert miniwatch.here("decisions", "revoke", key, "--reason", "again", code=1)
    last = miniwatch.rows("audit", "list")[-1]
    assert (last["action"], last["subject"], last["reason"]) == ("decision.revoke", key, "put right")


def test_without_data_there_is_a_hint_and_nothing_is_made(fresh):
    told = fresh.here("findings", "list", code=3).stderr
    assert "miniwatch run" in told
    assert f"nothing in {fresh.folder}/data yet" in told
    assert not (fresh.folder / "data").exists()


def test_a_file_where_a_folder_is_expected_is_called_one(fresh):
    file = fresh.folder / "events.ndjson"
    file.touch()
    told = fresh("findings", "list", "--data-dir", str(file), code=3).stderr
    assert f"{file} is a file; a folder is expected" in told


def test_a_group_shows_the_first_sentence_of_each_command_whole(miniwatch):
    told = " ".join(miniwatch("decisions", "--help").stdout.split())
    assert "list List decisions of every mode, newest first; held ones with their reason. show Show one" in told
    assert "..." not in told.partition("Commands:")[2]
    assert "--waiting" not in told
