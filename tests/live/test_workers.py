"""Workers on a topic of a real broker, their record in a real database: killed, stopped and joined, they come to what one process comes to."""

import pytest
from chaos import SEARCH, SEEDS, Chaos, Site, in_force, live, lived, outcome, produced, searched, to_be_searched

pytestmark = pytest.mark.live
EVENTS = 12_000
BLOWS = ("kill_worker", "kill_search", "kill_broker", "kill_database", "kill_responder", "stop_worker", "add_worker")


def test_workers_come_to_what_one_process_comes_to(fresh_kafka, fresh_postgres, fresh_elasticsearch, tmp_path):
    assert produced(fresh_kafka.bootstrap, "workers", EVENTS, 8, seeds=SEEDS) == EVENTS
    expected = lived(tmp_path / "one", fresh_kafka, "workers", EVENTS)
    assert expected["received"] == EVENTS
    assert len(expected["findings"]) > 50
    assert len(expected["in force"]) > 20
    more = live(tmp_path / "playbooks") + SEARCH.format(url=fresh_elasticsearch.url)
    site = Site(tmp_path / "many", f"kafka://{fresh_kafka.bootstrap}/workers?group=w", fresh_postgres.url, more)
    chaos = Chaos(site, fresh_kafka, fresh_postgres, fresh_elasticsearch, workers=2, seed=3)
    try:
        for blow in BLOWS:
            chaos.go_on(EVENTS)
            getattr(chaos, blow)()
        chaos.settle(EVENTS, 120)
    finally:
        site.end()
    found = {**outcome(site), **searched(site), "in force": in_force(site)}
    expected |= to_be_searched(expected)
    for name in expected:
        assert found[name] == expected[name], name
