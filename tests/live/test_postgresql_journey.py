"""A daemon whose record is in a real PostgreSQL comes to what one with SQLite comes to, whatever dies on the way."""

import io
import json
import signal
import sys
import threading
from pathlib import Path

import httpx
import pytest
from server import until
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))

import journey
from child import Plan
from journey import configured, daemon, differences, outcome, run
from ports import free_port

from monitor.cli.tree import app
from monitor.clock import now_us
from monitor.partitions.answering import LEASE
from monitor.stores import Fenced

KEYS = {"batch__rows_max": 100}
COMMANDS = {
    ("ledger",): "Every event is accounted for",
    ("decisions", "list"): "throttle",
    ("findings", "list", "--limit", "3"): "RULE",
    ("audit", "verify"): "unbroken",
    ("check",): "All is well",
    ("doctor",): "PostgreSQL",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "events.ndjson"
    path.write_bytes(b"".join(journey.troubled(seed=2, events=1300)))
    return path


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    """What a record in SQLite holds in the end."""
    config = configured(tmp_path_factory.mktemp("sqlite") / "data", [source], **KEYS)
    run(config)
    return outcome(config.data_dir)


def test_the_record_in_postgresql_holds_what_one_in_sqlite_holds(postgres, source, expected, tmp_path):
    config = configured(tmp_path / "data", [source], **KEYS, store__url=postgres.database())
    run(config)
    assert differences(expected, outcome(config.data_dir, config)) == {}
    assert not (tmp_path / "data" / "miniwatch.db").exists()


@pytest.mark.parametrize(("at", "occurrence"), [("commit:turn", 4), ("commit:turn:done", 7), ("fsync:segment", 9)])
def test_a_daemon_that_is_killed_goes_on_where_it_was(postgres, source, expected, tmp_path, at, occurrence):
    keys = {**KEYS, "store__url": postgres.database()}
    plan = Plan(data_dir=str(tmp_path / "data"), sources=[f"file:{source}"], keys=keys, at=at, occurrence=occurrence)
    assert plan.run() == -signal.SIGKILL
    config = configured(tmp_path / "data", [source], **keys)
    run(config)
    assert differences(expected, outcome(config.data_dir, config)) == {}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_daemon_waits_for_a_server_that_went_and_goes_on(fresh_postgres, source, expected, tmp_path, end):
    config = configured(tmp_path / "data", [source], **KEYS, store__url=fresh_postgres.url)
    turns, log = [], io.StringIO()
    back = threading.Timer(1.0, fresh_postgres.start)

    def trouble(_):
        turns.append(1)
        if len(turns) == 5:
            getattr(fresh_postgres, end)()
            back.start()

    with daemon(config, log) as opened:
        opened.run(trouble)
    back.join()
    assert differences(expected, outcome(config.data_dir, config)) == {}
    assert "postgresql://miniwatch@127.0.0.1" in log.getvalue(), "that it waited is told"


def test_a_daemon_whose_record_another_has_taken_commits_no_turn_more(postgres, source, tmp_path):
    config = configured(tmp_path / "data", [source], **KEYS, store__url=postgres.database())

    def taken(opened):
        if opened.turn_number == 3:
            opened.store.seize(LEASE, "another --role all x", now_us(), 60.0)

    with daemon(config) as opened, pytest.raises(Fenced):
        opened.run(taken)
    assert opened.pipeline.turn_number == 3


def test_commands_work_beside_a_daemon_and_after_it(postgres, source, tmp_path):
    url = postgres.database()
    config = configured(tmp_path / "data", [source], **KEYS, store__url=url)
    file = tmp_path / "config.toml"
    key = f'[people]\nkey_file = "{config.people.key_file}"\n'
    file.write_text(f'data_dir = "{config.data_dir}"\n[store]\nurl = "{url}"\n[http]\nlisten = ""\n{key}')

    def asked(*words):
        return CliRunner().invoke(app, [*words, "--config", str(file)], catch_exceptions=False)

    def look(opened):
        if opened.turn_number == 8:
            assert "processed" in asked("ledger", "-o", "json").stdout

    with daemon(config) as opened:
        opened.run(look)
    for words, told in COMMANDS.items():
        done = asked(*words)
        assert (done.exit_code, told in done.output) == (0, True), (words, done.output[-600:])
    key = next(iter(outcome(config.data_dir, config).decisions))
    assert key in asked("explain", key).output
    assert json.loads(asked("decisions", "list", "-o", "ndjson", "--limit", "1").stdout)["id"]
    assert "pg_restore --clean" in asked("restore", "record.dump").output
    assert "enforcers begin anew" in asked("restore", "record.dump", "--done").output
    refused = asked("backup", str(tmp_path / "b"))
    assert (refused.exit_code != 0, "pg_dump --format=custom" in refused.output) == (True, True)


def test_while_the_record_is_away_readyz_says_so_and_all_goes_on_when_it_is_back(fresh_postgres, source, tmp_path):
    followed, lines = tmp_path / "events.ndjson", source.read_bytes().splitlines(keepends=True)
    followed.write_bytes(b"".join(lines[:500]))
    listen = f"127.0.0.1:{free_port()}"
    keys = {"store__url": fresh_postgres.url, "http__listen": listen}
    config = configured(tmp_path / "data", [f"file:{followed}?follow"], **keys)

    def ready():
        answer = httpx.get(f"http://{listen}/readyz")
        return answer.status_code, " ".join(answer.json().get("reasons", []))

    with daemon(config, until_end=False, clock=now_us) as opened:
        running = threading.Thread(target=opened.run)
        running.start()
        until(lambda: ready()[0] == 200)
        fresh_postgres.stop()
        with followed.open("ab") as file:
            file.write(b"".join(lines[500:]))
        why = until(lambda: (found := ready())[0] == 503 and found[1])
        assert "the database does not answer" in why
        fresh_postgres.start()
        until(lambda: ready()[0] == 200, 60)
        until(lambda: sum(one.received for one in opened.kept.store.progress().values()) == len(lines))
        opened.stop()
        running.join()
