import json
import os
import signal
import subprocess
import sys
import time

from monitor.app import only_one


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


def test_a_run_without_a_source_is_wrong_usage(fresh):
    assert "--source" in fresh.here("run", code=2).stderr


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
