"""Workers on a topic of a real broker, their record in a real database: killed, stopped and joined, they come to what one process comes to."""

import pytest
from chaos import QUICK, Chaos, Site, outcome, produced, undisturbed

pytestmark = pytest.mark.live
EVENTS = 40_000


def test_workers_come_to_what_one_process_comes_to(fresh_kafka, fresh_postgres, tmp_path):
    events = produced(fresh_kafka.bootstrap, "workers", EVENTS, 8)
    expected = undisturbed(tmp_path / "one", fresh_kafka, "workers")
    assert expected["received"] == events
    assert len(expected["findings"]) > 50
    site = Site(tmp_path / "many", f"kafka://{fresh_kafka.bootstrap}/workers?group=w", fresh_postgres.url, QUICK)
    chaos = Chaos(site, fresh_kafka, fresh_postgres, workers=2, seed=3)
    try:
        for name in ("kill_worker", "kill_broker", "kill_database", "kill_responder", "stop_worker", "add_worker"):
            getattr(chaos, name)()
        chaos.settle(events, 240)
    finally:
        site.end()
    found = outcome(site)
    for name in ("received", "imbalance", "unanswered", "archived", "findings", "proposed"):
        assert found[name] == expected[name], name
