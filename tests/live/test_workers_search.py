"""Workers of several machines and one search: what lies on each disk is found, each event once, whatever dies."""

import shutil
import time

import pytest
from chaos import Site, produced
from confluent_kafka import Producer
from server import until

from monitor.simulate import simulate
from monitor.stores.elasticsearch import EVENTS, FINDINGS, SearchSettings
from monitor.stores.elasticsearch.connection import Connection

pytestmark = pytest.mark.live

EVENTS_SENT = 5_000


@pytest.fixture
def machines(tmp_path, kafka, elasticsearch, postgres):
    """Three machines, each with a disk of its own: two for workers, one for who answers."""
    topic, store = f"searched-{time.time_ns()}", postgres.database()
    events = produced(kafka.bootstrap, topic, EVENTS_SENT, 4)
    keys = SearchSettings(urls=(elasticsearch.url,), namespace=topic.replace("-", "_"), replicas=0)
    sites = []
    for name in ("one", "two", "three"):
        site = Site(tmp_path / name, f"kafka://{kafka.bootstrap}/{topic}?group=g", store)
        search = f'urls = ["{elasticsearch.url}"]\nnamespace = "{keys.namespace}"\nreplicas = 0\nrefresh_s = 1.0\n'
        site.config.write_text(f"{site.config.read_text()}[elasticsearch]\n{search}")
        if sites:
            shutil.copytree(sites[0].folder / "data" / "keys", site.folder / "data" / "keys")
        else:
            site.kept().store.close()
        sites.append(site)
    yield events, sites, keys
    for site in sites:
        site.end()


def _received(store):
    return sum(one.received for name, one in store.progress().items() if "miniwatch-hits" not in name)


def _found(connection, what):
    """The ids of all documents in a stream, each as often as it lies there."""
    stream = connection.settings.stream(what)
    connection.ask("POST", f"/{stream}/_refresh")
    found, after = [], None
    while True:
        body = {"size": 5000, "sort": [{"miniwatch.time": "asc"}, {"miniwatch.id": "asc"}], "_source": False}
        body |= {"docvalue_fields": ["miniwatch.id"]} | ({"search_after": after} if after else {})
        hits = connection.ask("POST", f"/{stream}/_search", body).read(dict)["hits"]["hits"]
        if not hits:
            return found
        found += [hit["fields"]["miniwatch.id"][0] for hit in hits]
        after = hits[-1]["sort"]


def _more(kafka, keys):
    """As many events once more, other ones; how many."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "queue.buffering.max.messages": 2 * EVENTS_SENT})
    lines = b"".join(simulate(2, EVENTS_SENT, apps=60)).splitlines()
    for number, line in enumerate(lines):
        producer.produce(keys.namespace.replace("_", "-"), line, partition=number % 4)
    producer.flush()
    return len(lines)


def test_events_of_workers_on_two_machines_are_searched_once_also_after_a_kill(kafka, machines):
    events, (one, two, three), keys = machines
    kept = three.kept()
    connection = Connection(keys)
    two.start("--role", "detect")  # alone, so that events lie on its disk
    try:
        until(lambda: _received(kept.store) > events // 10, 120)
        two.processes[0].kill()  # what lies there waits for somebody who has that disk
        three.start("--role", "respond")
        workers = [one.start("--role", "detect") for _ in range(2)]
        events += _more(kafka, keys)
        until(lambda: len({segment.folder for segment in kept.store.segments()}) == 2, 120)
        workers[0].kill()
        until(lambda: _received(kept.store) >= events, 180)
        two.start("--role", "detect")
        until(lambda: not kept.store.unindexed_events() and not kept.store.unindexed_findings(), 180)
        assert kept.store.unattended(time.time_ns() // 1000) == []
        segments = kept.store.segments()
        assert len({segment.folder for segment in segments}) == 2
        assert all(segment.folder for segment in segments)
        archived = []
        for site in (one, two):
            there = site.kept()
            here = there.archive.here(segments)
            archived += [key for frame in there.archive.scan(here, columns=["event.id"]) for key in frame["event.id"]]
            there.store.close()
        ids = _found(connection, EVENTS)
        assert sorted(ids) == sorted(archived)
        findings = _found(connection, FINDINGS)
        assert sorted(findings) == sorted(one.id for one in kept.store.findings())
    finally:
        kept.store.close()
        connection.close()
