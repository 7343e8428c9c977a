"""Measurements in a real PostgreSQL: the same as in SQLite, and told of all machines together."""

import io
import json
import socket
import threading
import uuid

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from server import until
from typer.testing import CliRunner

from monitor.cli.tree import app
from monitor.config import load_config
from monitor.detecting import open_detecting
from monitor.forecasting import measuring
from monitor.moments import DAY_US, HOUR_US
from monitor.sealing import Seal
from monitor.stores import measured
from monitor.stores.measured import KEPT_DAYS, SLOT_S, Gauge, Measurement
from monitor.stores.postgresql import PostgresqlAt, PostgresqlDatabase
from monitor.stores.sql import SqlStore
from monitor.telemetry import Telemetry
from monitor.telemetry.metrics import WAITED
from monitor.testing import scratch_store

pytestmark = pytest.mark.live
SLOT = SLOT_S * 1_000_000
NOW = 20_000 * DAY_US + 5 * HOUR_US
GIB = float(1 << 30)


@pytest.fixture
def url(postgres):
    return postgres.database()


@pytest.fixture
def stores(url, tmp_path):
    """The same record in both databases."""
    made = [SqlStore(PostgresqlDatabase(PostgresqlAt(url=url)), seal=Seal(bytes(32))), scratch_store(tmp_path)]
    yield made
    for store in made:
        store.close()


def of_host(host, days, a_day, until=NOW):
    begin = until - days * DAY_US
    return [
        Measurement(
            what=Gauge.DISK, host=host, place="/data", time=at, value=(100 + a_day * (at - begin) / DAY_US) * GIB,
            bound=400 * GIB,
        )
        for at in range(begin, until + 1, SLOT)
    ]  # fmt: skip


def test_both_databases_keep_and_forget_the_same(stores, monkeypatch):
    rows = of_host("one", 4, 10) + of_host("zwei 昆明", 3, 0) + of_host("one", 1, 90, NOW - KEPT_DAYS * DAY_US)
    for most in (measured.ROWS_MAX, 200):
        monkeypatch.setattr(measured, "ROWS_MAX", most)
        gone = []
        for store in stores:
            store.measure(rows)
            store.measure(rows[:50])
            gone.append(store.forget_measurements(NOW))
        assert gone[0] == gone[1] > 0
        kept = [sorted(store.measurements(), key=repr) for store in stores]
        assert kept[0] == kept[1]
        assert 0 < len(kept[0]) <= most


def test_a_database_says_how_large_it_is(stores):
    assert stores[0].record_bytes() > 1 << 20


def test_all_machines_on_a_record_are_told_together(stores, url, tmp_path):
    shared = stores[0]
    shared.measure(of_host("one", 4, 10) + of_host("two", 4, 40))
    (tmp_path / "config.toml").write_text(f'data_dir = "{tmp_path / "data"}"\n[store]\nurl = "{url}"\n')
    said = CliRunner().invoke(app, ["doctor", "--forecast", "-o", "ndjson", "--config", str(tmp_path / "config.toml")])
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [(row["host"], row["state"], row["outlook"]) for row in rows] == [
        ("two", "warning", "fills"),
        ("one", "ok", "fills"),
    ], said.output
    assert said.exit_code == 0


def test_workers_measure_what_is_theirs_and_partitions_that_they_read(kafka, postgres, tmp_path, monkeypatch):
    topic, folder = f"measured-{uuid.uuid4().hex[:8]}", tmp_path / "data"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result()
    source = {"uri": f"kafka://{kafka.bootstrap}/{topic}?group={topic}"}
    given = {"data_dir": str(folder), "store.url": postgres.database(), "sources": [source], "http.listen": ""}
    config = load_config(None, {}, given)
    monkeypatch.setattr(measuring, "SLOT_S", 1)
    telemetry = Telemetry(stream=io.StringIO())
    with open_detecting(config, telemetry) as detecting:
        work = threading.Thread(target=detecting.run)
        work.start()
        store = detecting.kept.store
        try:
            until(lambda: {one.what for one in store.measurements()} >= {Gauge.BUSY, Gauge.LAG}, 60)
            until(lambda: len({one.place for one in store.measurements() if one.what is Gauge.LAG}) >= 2, 60)
        finally:
            detecting.stop()
            work.join(60)
        found = store.measurements()
    assert {one.what for one in found} == {Gauge.DISK, Gauge.ARCHIVE, Gauge.LAG, Gauge.BUSY}
    partitions = {one.place for one in found if one.what is Gauge.LAG}
    assert {f"kafka:{topic}/0", f"kafka:{topic}/1"} <= partitions
    (busy,) = {one.place for one in found if one.what is Gauge.BUSY}
    assert busy == f"{folder} (workers)"
    assert {one.host for one in found} == {"", socket.gethostname()}
    waited = telemetry.meter.value(WAITED)
    assert waited > 0, "a worker without events waits"
