"""The servers that the other tests here stand on: real ones, which keep what they were given when they are killed."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import elasticsearch as es
import kafka as kk
import psycopg
import pytest
from server import CannotBeHad, Elasticsearch, Kafka, alive, running, until

pytestmark = pytest.mark.live


def test_a_broker_keeps_what_it_acknowledged(fresh_kafka):
    def producer():
        return kk.KafkaProducer(bootstrap_servers=fresh_kafka.bootstrap, acks="all")

    with contextlib.closing(producer()) as sent:
        sent.send("kept", b"before").get(30)
    (pid,) = fresh_kafka.processes()
    fresh_kafka.kill()
    assert not alive(pid)
    fresh_kafka.start()
    with contextlib.closing(producer()) as sent:
        sent.send("kept", b"after").get(30)
    fresh_kafka.stop()
    fresh_kafka.start()
    read = kk.KafkaConsumer(
        "kept", bootstrap_servers=fresh_kafka.bootstrap, auto_offset_reset="earliest", group_id=None
    )
    with contextlib.closing(read):
        assert [next(read).value, next(read).value] == [b"before", b"after"]


def test_a_node_keeps_what_it_acknowledged(fresh_elasticsearch):
    with es.Elasticsearch(fresh_elasticsearch.url) as client:
        assert client.index(index="kept", id="1", document={"a": 1})["result"] == "created"
        fresh_elasticsearch.kill()
        with pytest.raises(es.ConnectionError):
            client.get(index="kept", id="1")
        fresh_elasticsearch.start()
        assert client.get(index="kept", id="1")["_source"] == {"a": 1}


def test_a_database_keeps_what_was_committed(fresh_postgres):
    with psycopg.connect(fresh_postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    killed = fresh_postgres.processes()
    assert len(killed) > 1
    fresh_postgres.kill()
    assert not any(alive(pid) for pid in killed)
    fresh_postgres.start()
    with psycopg.connect(fresh_postgres.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
    with psycopg.connect(fresh_postgres.database()) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchall() == [(None,)]


def test_what_is_paused_answers_when_it_goes_on(fresh_postgres):
    answered = threading.Event()

    def ask():
        with psycopg.connect(fresh_postgres.url) as connection:
            connection.execute("SELECT 1")
        answered.set()

    fresh_postgres.pause()
    threading.Thread(target=ask, daemon=True).start()
    time.sleep(0.5)
    assert not answered.is_set()
    fresh_postgres.resume()
    until(answered.is_set)


def test_a_server_ends_with_its_tests_also_when_these_are_killed(postgres):
    said = "import postgres; s = postgres.Postgres(); s.start(); print(s.folder, *s.processes(), flush=True); input()"
    command, seen = [sys.executable, "-c", said], {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    tests = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=seen)
    folder, *pids = tests.stdout.readline().decode().split()
    tests.kill()
    tests.communicate()
    until(lambda: not Path(folder).exists() and not any(alive(int(pid)) for pid in pids))
    assert postgres.processes()


@pytest.mark.parametrize("kind", [Kafka, Elasticsearch])
def test_a_server_that_cannot_be_had_says_what_is_missing(monkeypatch, tmp_path, kind):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(CannotBeHad, match=r"no JDK|mvn is not installed"):
        kind()


class _Nowhere:
    def __init__(self):
        raise CannotBeHad("no such thing")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_server_that_cannot_be_had_is_a_skip_and_on_ci_a_failure(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no such thing"):
        next(running(_Nowhere))
