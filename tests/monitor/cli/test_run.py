import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from monitor.stores.held_folder import only_one


def test_the_summary_says_what_came_in_what_was_found_what_was_decided_and_where_to_look(miniwatch):
    for heading in ("What came in", "What was found", "What was decided, and why", "Where to look next"):
        assert heading in miniwatch.summary
    assert "3,220 = 3,000 events + 220 dead letters; every line is accounted for" in miniwatch.summary
    assert "20 broken-json" in miniwatch.summary
    assert "by playbook" in miniwatch.summary
    assert miniwatch.summary.count("miniwatch ") >= 3


def test_the_commands_that_the_summary_names_work(miniwatch):
    lines = [line.strip() for line in miniwatch.summary.splitlines()]
    named = [line.split("  ")[0].split()[1:] for line in lines if line.startswith("miniwatch ")]
    assert len(named) >= 3
    for command in named:
        assert miniwatch(*command).stdout


def test_a_second_run_finds_nothing_new(miniwatch):
    result = miniwatch.here("run", "--until-end", "--source", f"file:{miniwatch.events}")
    assert "Nothing new: these sources" in result.stdout
    assert "0 new incidents; " in result.stdout
    assert " in the whole record, the highest risk first" in result.stdout
    assert "Nothing new.\n  In the whole record: " in result.stdout
    assert "whole record" not in miniwatch.summary


CALL = (
    '{"@timestamp":"2026-03-0%dT00:00:00Z","event":{"id":"call-%d","dataset":"miniprogram.api"},'
    '"miniprogram":{"app_id":"wx%d","api":"private_openUrl"}}\n'
)


def ran(fresh, *lines):
    """What a run says of these lines, written after those of earlier runs."""
    with fresh.events.open("a") as file:
        file.writelines(lines)
    return fresh.here("run", "--until-end", "--source", f"file:{fresh.events}").stdout


def test_nothing_of_a_replay_is_said_to_be_in_force(miniwatch):
    assert "Would be in force, the gravest first:" in miniwatch.summary
    assert "In force" not in miniwatch.summary
    assert "who may lift it" not in miniwatch.summary


def test_what_is_in_force_is_told_by_its_tier_alone_and_the_rest_is_counted(miniwatch):
    told = miniwatch.summary.split("Would be in force")[1].split("Held back")[0]
    acts = ["switched off" in line for line in told.splitlines() if "by playbook" in line]
    assert acts == [True, True, False, False]
    assert "in shadow" not in told  # such decisions stand behind those that would have an effect
    assert "\n    and 13 more\n" in told
    assert "\n    and 3 more\n" in miniwatch.summary.split("8 incidents")[1]


def test_of_one_there_is_no_order_no_span_and_nothing_that_is_not_there(fresh):
    told = ran(fresh, (CALL % (2, 1, 1)).replace("private_openUrl", "someHiddenApi"))
    assert "1 = 1 event + 0 dead letters" in told
    assert "1 finding (1 medium) of 1 rule:\n" in told
    assert "1 incident:\n" in told
    assert "2026-03-02 00:00:00 UTC\n" in told
    assert "--severity high" not in told


def test_what_a_run_brought_comes_before_what_was_there_and_is_where_to_look_next(fresh):
    ran(fresh, *(CALL % (2, number, 1) for number in range(9)))
    told = ran(fresh, CALL % (3, 10, 2))
    assert (
        "1 new incident; 2 in the whole record, what this run brought before the rest, the highest risk first:" in told
    )
    incidents = fresh.rows("incidents", "list")
    new = next(row["id"] for row in incidents if row["entity"]["value"] == "wx2")
    assert f"miniwatch explain {new[:12]}" in told
    assert told.index("App wx2:") < told.index("App wx1:")


def test_of_late_events_it_is_said_what_did_not_see_them_and_what_helps(fresh):
    later = CALL.replace("T00:", "T20:")
    told = ran(fresh, *(later % (2, number, number) for number in range(9)), CALL % (2, 20, 1))
    assert "of them  1 late\n" in told
    assert "late; raise clock.lateness_s_max and run with a new --data-dir, or put the events in order." in told


def test_of_a_changed_file_that_is_read_again_it_is_said_that_its_time_has_passed(fresh):
    later = CALL.replace("T00:", "T20:")
    ran(fresh, *(later % (2, number, 1) for number in range(9)))
    fresh.events.write_text("".join((CALL if number else later) % (2, 30 + number, 2) for number in range(9)))
    told = fresh.here("run", "--until-end", "--source", f"file:{fresh.events}").stdout
    assert f"file:{fresh.events} was read before and its time has passed" in told
    assert "read a changed file with a new --data-dir" in told
    assert "lateness_s_max" not in told


def test_of_events_from_the_future_it_is_said_what_became_of_them(fresh):
    ahead = CALL.replace("T00:00:00", "T09:00:00")
    told = ran(fresh, CALL % (2, 1, 1), CALL % (2, 2, 2), ahead % (2, 3, 3), CALL % (2, 4, 1))
    assert "of them  1 from the future\n" in told
    assert "more than 300 s ahead of its arrival was given the time of its arrival; set the senders' clocks" in told


ACCESS = '192.0.2.%d - - [02/Mar/2026:00:00:00 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8"\n'


def test_of_an_access_log_read_as_json_it_is_said_once_how_to_read_it(fresh):
    told = ran(fresh, *(ACCESS % number for number in range(40)))
    assert f"file:{fresh.events} looks like an access log: add format=combined to the source" in told
    assert told.count("access log") == 1
    fresh.here("deadletters", "replay", "--reason", "broken-json", "--format", "combined")
    assert len(fresh.rows("events", "list")) == 40


def test_of_json_read_as_an_access_log_it_is_said_how_to_read_it(fresh):
    fresh.events.write_text("".join(CALL % (2, number, 1) for number in range(9)))
    told = fresh.here("run", "--until-end", "--source", f"file:{fresh.events}?format=combined").stdout
    assert f"file:{fresh.events} looks like JSON: take format=combined off the source" in told
    fresh.here("deadletters", "replay", "--reason", "not-combined", "--format", "ndjson")
    assert len(fresh.rows("events", "list")) == 9


def test_broken_json_of_other_kinds_is_not_taken_for_an_access_log(fresh):
    assert "access log" not in ran(fresh, *('{"@timestamp":' + "\n" for _ in range(40)))
    lines = [ACCESS % number for number in range(3)] + [CALL % (2, number, 1) for number in range(9)]
    assert "access log" not in ran(fresh, *lines)


def test_a_run_to_the_end_that_is_interrupted_says_so_with_its_exit_code(fresh):
    command = [sys.executable, "-c", "from monitor.cli import main; main()", "run", "--until-end", "--source", "stdin:"]
    with subprocess.Popen(
        [*command, "--data-dir", str(fresh.folder / "data")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as begun:  # fmt: skip
        begun.stdin.write((CALL % (2, 1, 1)).encode())
        begun.stdin.flush()
        _wait_until(lambda: _received(fresh) == 1)
        begun.send_signal(signal.SIGINT)
        told, said = begun.communicate(timeout=20)
    assert begun.returncode == 130, said
    assert b"Stopped before the end" in said
    assert b"What came in" in told


def test_a_run_without_a_source_is_wrong_usage(fresh):
    assert "--source" in fresh.here("run", code=2).stderr


@pytest.mark.parametrize("is_in_the_file", [False, True])
def test_a_followed_source_has_no_end_to_run_to(fresh, is_in_the_file):
    uri = f"file:{fresh.events}?follow"
    (fresh.folder / "c.toml").write_text(f'[[sources]]\nuri = "{uri}"\n' if is_in_the_file else "")
    given = [] if is_in_the_file else ["--source", uri]
    result = fresh.here("run", "--until-end", "--config", str(fresh.folder / "c.toml"), *given, code=2)
    assert f"{uri}: ?follow has no end: leave out --until-end or ?follow" in result.stderr


def test_deliver_goes_with_until_end_only(fresh):
    assert "--until-end" in fresh.here("run", "--deliver", "--source", "stdin:", code=2).stderr


def test_a_source_that_is_not_there_is_told_without_a_traceback(fresh):
    result = fresh.here("run", "--until-end", "--source", "file:/nowhere.ndjson", code=3)
    assert "there is no file /nowhere.ndjson" in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_source_address_is_wrong_usage(fresh):
    assert "sources[0].uri" in fresh.here("run", "--until-end", "--source", "kafka:x", code=2).stderr


def test_a_second_daemon_on_the_same_folder_is_refused(miniwatch):
    with only_one(miniwatch.folder / "data" / "run.lock"):
        result = miniwatch.here("run", "--until-end", "--source", f"file:{miniwatch.events}", code=3)
    assert "another miniwatch runs" in result.stderr


def test_a_key_that_is_none_is_told(fresh):
    keys = fresh.folder / "data" / "keys"
    keys.mkdir(parents=True)
    (keys / "seal.key").write_text("nonsense")
    fresh.events.write_bytes(b"")
    result = fresh.here("run", "--until-end", "--source", f"file:{fresh.events}", code=3)
    assert "is not a key" in result.stderr


def test_a_daemon_reads_what_is_written_and_stops_in_order_when_it_is_told_to(fresh):
    fresh.events.write_text("")
    command = [
        sys.executable,
        "-c",
        "from monitor.cli import main; main()",
        "run",
        "--data-dir",
        str(fresh.folder / "data"),
    ]
    environment = {**os.environ, "MINIWATCH_HTTP__LISTEN": ""}
    with subprocess.Popen(
        [*command, "--source", f"file:{fresh.events}?follow"], env=environment, stderr=subprocess.PIPE
    ) as ran:
        with fresh.events.open("a") as file:
            file.write('{"@timestamp":"2026-03-02T00:00:00Z","event":{"id":"a","dataset":"miniprogram.api"}}\n')
        _wait_until(lambda: _received(fresh) == 1)
        ran.send_signal(signal.SIGTERM)
        _, said = ran.communicate(timeout=20)
    assert ran.returncode == 0, said
    assert b"stopped" in said
    assert b"starting" in said.splitlines()[0]
    assert [row["received"] for row in fresh.rows("ledger")] == [1]


def _received(fresh) -> int:
    if not (fresh.folder / "data" / "miniwatch.db").exists():
        return 0
    return sum(json.loads(line)["received"] for line in fresh.here("ledger", "-o", "ndjson").stdout.splitlines())


def _wait_until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.2)


def test_what_an_app_is_called_does_not_stretch_the_summary(fresh):
    name = "wx" + "a" * 4000
    event = {"@timestamp": "2026-03-02T08:00:00Z", "event.dataset": "miniprogram.api", "miniprogram.app_id": name}
    fresh.events.write_text(json.dumps({**event, "miniprogram.api": "private_openUrl"}) + "\n")
    told = fresh.here("run", "--until-end", "--source", f"file:{fresh.events}").stdout
    assert "aaa" in told
    assert max(map(len, told.splitlines())) < 700


def test_where_most_lines_are_none_the_summary_says_what_an_event_is(fresh):
    fresh.events.write_text('[{"@timestamp": "2026-03-02T08:00:00Z"},\n {"@timestamp": "2026-03-02T08:00:01Z"}]\n')
    told = fresh.here("run", "--until-end", "--source", f"file:{fresh.events}").stdout
    assert re.search(r"^  such as  +character .*; an event is a JSON object on a line of its own$", told, re.MULTILINE)
    assert "such as" not in fresh.here("run", "--until-end", "--source", f"file:{fresh.events}").stdout


def test_a_run_is_gone_through_again_by_its_control_log_whatever_is_configured(fresh, tmp_path):
    ran(fresh, *(CALL % (number, number, 1) for number in range(1, 4)))
    (tmp_path / "other.toml").write_text("[rules]\nbuiltin = false\n")
    source, again = f"file:{fresh.events}", tmp_path / "again"
    words = (
        "run",
        "--until-end",
        "--source",
        source,
        "--data-dir",
        str(again),
        "--config",
        str(tmp_path / "other.toml"),
    )
    fresh(*words, "--as-in", str(tmp_path / "data"))
    rows = [
        [
            json.loads(line)
            for line in fresh("rules", "history", "-o", "ndjson", "--data-dir", str(folder)).stdout.splitlines()
        ]
        for folder in (tmp_path / "data", again)
    ]
    assert [[(one["subject"], one["digest"], one["positions"]) for one in found] for found in rows] == 2 * [
        [(one["subject"], one["digest"], {source: 0}) for one in rows[0]]
    ]
    assert {one["subject"] for one in rows[0]} == {"rules", "playbooks"}
    refused = fresh(*words, "--as-in", str(tmp_path / "nowhere"), code=3)
    assert "has no record" in refused.output
