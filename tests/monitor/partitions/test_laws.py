"""Findings of a log do not depend on how many partitions it has, who works on them, or who dies while doing so."""

import io
import json
import random
from dataclasses import replace
from datetime import datetime

import msgspec
import pytest

from monitor.config import load_config
from monitor.content.in_force import Installed
from monitor.kept import Kept
from monitor.packs.shelf import Shelf
from monitor.partitions.opening import Opener
from monitor.partitions.worker import Worker
from monitor.registry import Registry
from monitor.rules.lineup import Lineup
from monitor.simulate import simulate
from monitor.telemetry import Telemetry
from monitor.testing.logs import MemoryGroup, MemoryLog

LOUD = frozenset({"plain-http", "carding", "injection", "resource-enumeration", "sandbox-escape"})
NOW = 1_900_000_000_000_000


@pytest.fixture(scope="module")
def lineup():
    config = load_config(None, {})
    found = Installed(config, lambda _digest: None, None).load(Shelf([]))
    local = [rule for rule in found.rules.rules if not rule.is_correlation or _is_of_app(rule)]
    return lambda: Lineup.of(local, 2_000_000)


def _is_of_app(rule):
    return any(group.name == "miniprogram.app_id" for group in rule.window.groups)


@pytest.fixture(scope="module")
def lines():
    data = b"".join(simulate(7, 6_000, apps=20, duration_s=600, kinds=LOUD))
    told = []
    reached = 0
    for line in data.splitlines(keepends=True):
        event = json.loads(line)
        time = datetime.fromisoformat(event["@timestamp"])
        reached = max(reached, int(time.timestamp() * 1_000_000))
        told.append((reached, event["miniprogram"]["app_id"], line))
    return told


def log_of(lines, partitions):
    found = {f"kafka:calls/{number}": [] for number in range(partitions)}
    for arrived, app, line in lines:
        found[f"kafka:calls/{sum(app.encode()) % partitions}"].append((arrived, line))
    return MemoryLog(found)


class Site:
    """A record, and workers on it."""

    def __init__(self, folder, log, lineup, rows_max=700):
        overrides = {"data_dir": str(folder), "batch.rows_max": rows_max}
        self.config = load_config(None, {"MINIWATCH_PEOPLE__KEY": "5e" * 32}, overrides)
        self.kept = Kept.open(folder)
        self.log = log
        self.lineup = lineup
        self.telemetry = Telemetry(level="error", log_format="json", stream=io.StringIO())

    def worker(self, name):
        opener = Opener(
            config=self.config,
            kept=self.kept,
            lineup=self.lineup,
            registry=lambda: Registry(()),
            telemetry=self.telemetry,
            clock=lambda: NOW,
            stopping=lambda: False,
            holder=name,
        )

        def opened(partition, source):
            stream = opener(partition, source)
            stream.settings = replace(stream.settings, snapshot_s=0.0)
            return stream

        group = MemoryGroup(self.log)
        return Worker(group, opened, self.kept.store, self.telemetry, lambda: NOW, lambda: False, 0.0), group

    def read_out(self, worker):
        while worker.look():
            pass
        for stream in worker.streams.values():
            stream.tick()

    def findings(self):
        return sorted((one.id, one.entity, one.rule.id, one.evidence.count) for one in self.kept.store.findings())

    def ledger(self):
        progress = self.kept.store.progress().values()
        assert {one.imbalance for one in progress} == {0}
        return sum(one.received for one in progress), sum(one.late for one in progress)

    def archived(self):
        frames = self.kept.archive.scan(self.kept.store.segments(), columns=["_line"])
        return sorted(line for frame in frames for line in frame["_line"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, lines, lineup):
    site = Site(tmp_path_factory.mktemp("one"), log_of(lines, 1), lineup)
    worker, group = site.worker("a")
    group.assign("kafka:calls/0")
    site.read_out(worker)
    worker.close()
    assert site.ledger() == (len(lines), 0)
    assert len(site.findings()) > 50
    return site


@pytest.mark.parametrize("partitions", [2, 8])
def test_findings_do_not_depend_on_the_number_of_partitions(tmp_path, lines, lineup, undisturbed, partitions):
    site = Site(tmp_path, log_of(lines, partitions), lineup)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    site.read_out(worker)
    assert site.findings() == undisturbed.findings()
    assert site.ledger() == (len(lines), 0)
    assert site.archived() == undisturbed.archived()


@pytest.mark.parametrize("seed", range(4))
def test_who_works_on_a_partition_and_dies_over_it_changes_nothing(tmp_path, lines, lineup, undisturbed, seed):
    chance = random.Random(seed)
    site = Site(tmp_path, log_of(lines, 3), lineup, rows_max=300)
    workers = [site.worker(f"w{number}") for number in range(3)]
    owner = {}
    for _ in range(30):
        partition = chance.choice(list(site.log.partitions))
        before, after = owner.get(partition), chance.randrange(len(workers))
        if before is not None and before != after:
            kind = chance.choice(["revoke", "lose", "zombie"])
            if kind == "revoke":
                workers[before][1].revoke(partition)
                workers[before][0].look()
            elif kind == "lose":
                workers[before][1].lose(partition)
                workers[before][0].look()
        if before != after:
            owner[partition] = after
            workers[after][1].assign(partition)
        for worker, _ in chance.sample(
            workers, 2
        ):  # one that has lost a partition without knowing goes on, and is refused
            worker.look()
        if chance.random() < 0.2:  # killed, and another in its place
            dead = chance.randrange(len(workers))
            workers[dead] = site.worker(f"w{dead} again")
            workers[dead][1].assign(*(name for name, who in owner.items() if who == dead))
    last, group = site.worker("last")
    group.assign(*site.log.partitions)
    site.read_out(last)
    assert site.ledger() == (len(lines), 0)
    assert site.findings() == undisturbed.findings()
    assert site.archived() == undisturbed.archived()
    assert {one.path for one in site.kept.store.segments()} <= {
        path.relative_to(site.kept.archive.folder).as_posix() for path in site.kept.archive.folder.glob("*/*")
    }
    left = [msgspec.json.encode(row.stream) for row in site.kept.store.detected({}, 10_000)]
    assert len(left) > 3
