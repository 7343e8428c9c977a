"""A record, a log and workers on them, all in one process."""

import io
import json
from dataclasses import replace
from datetime import datetime

from detectors.sigma.parting import abroad
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


def local_lineup():
    """The rules of the program whose windows are of one app: all that they count lies in one partition."""
    config = load_config(None, {})
    found = Installed(config, lambda _digest: None, None).load(Shelf([]))
    elsewhere = abroad(found.rules.rules)
    return Lineup.of([rule for rule in found.rules.rules if rule.id not in elsewhere], 2_000_000).again


def whole_lineup():
    """All rules of the program."""
    found = Installed(load_config(None, {}), lambda _digest: None, None).load(Shelf([]))
    return Lineup.of(found.rules.rules, 2_000_000).again


def told_lines(seed, events, apps=20, duration_s=600, kinds=LOUD):
    """When each line arrived, of which app it is, and the line."""
    told, reached = [], 0
    for line in b"".join(simulate(seed, events, apps=apps, duration_s=duration_s, kinds=kinds)).splitlines(
        keepends=True
    ):
        event = json.loads(line)
        reached = max(reached, int(datetime.fromisoformat(event["@timestamp"]).timestamp() * 1_000_000))
        told.append((reached, event["miniprogram"]["app_id"], line))
    return told


def spread_log(lines, partitions, chance):
    """A log in which every event is in any partition."""
    found = {f"kafka:calls/{number}": [] for number in range(partitions)}
    for arrived, _, line in lines:
        found[f"kafka:calls/{chance.randrange(partitions)}"].append((arrived, line))
    return MemoryLog(found)


def log_of(lines, partitions):
    """A log in which each app has its partition."""
    found = {f"kafka:calls/{number}": [] for number in range(partitions)}
    for arrived, app, line in lines:
        found[f"kafka:calls/{sum(app.encode()) % partitions}"].append((arrived, line))
    return MemoryLog(found)


class Told:
    """What a log says of the time is the record's; else it is now."""

    def at(self, moment):
        return round(moment * 1_000_000) if moment > 1e9 else NOW


class Site:
    """A record, and workers on it."""

    def __init__(self, folder, log, lineup, rows_max=700, hits=None, snapshot_s=0.0):
        self.folder = folder
        self.config = self.configured(rows_max)
        self.kept = Kept.open(folder)
        self.log = log
        self.hits = hits
        self.snapshot_s = snapshot_s
        self.lineup = lineup
        self.telemetry = Telemetry(level="error", log_format="json", stream=io.StringIO())

    def configured(self, rows_max):
        overrides = {"data_dir": str(self.folder), "batch.rows_max": rows_max, "http.listen": ""}
        return load_config(None, {"MINIWATCH_PEOPLE__KEY": "5e" * 32}, overrides)

    def opener(self, name, config=None):
        return Opener(
            config=config or self.config,
            kept=self.kept,
            lineup=self.lineup,
            registry=lambda: Registry(()),
            telemetry=self.telemetry,
            clock=lambda: NOW,
            stopping=lambda: False,
            holder=name,
            partitions=lambda: len(self.log.partitions),
            writer=self.hits,
            record_clock=Told(),
        )

    def worker(self, name, rows_max=None, snapshot_s=None):
        """One whose turns have up to so many rows, and who writes down what is remembered so often."""
        config = self.configured(rows_max) if rows_max else self.config
        return self._worker(self.opener(name, config).partition, MemoryGroup(self.log), snapshot_s)

    def counter(self, name):
        """A worker on the topic of hits."""
        return self._worker(self.opener(name).windows, MemoryGroup(self.hits))

    def _worker(self, opened, group, snapshot_s=None):
        def snapshotting(partition, source):
            stream = opened(partition, source)
            every_s = self.snapshot_s if snapshot_s is None else snapshot_s
            stream.settings = replace(stream.settings, snapshot_s=every_s)
            return stream

        return Worker(group, snapshotting, self.kept.store, self.telemetry, lambda: False), group

    def read_alone(self):
        """One worker reads all of the log."""
        worker, group = self.worker("alone")
        group.assign(*self.log.partitions)
        self.read_out(worker)
        return self

    def read_and_counted(self):
        """One worker reads all of the log, and counts what is to be counted among partitions; what is found."""
        worker, group = self.worker("a")
        counter, of_hits = self.counter("a")
        group.assign(*self.log.partitions)
        of_hits.assign(*self.hits.names)
        while worker.look():
            counter.look()
        self.read_out(worker)
        while counter.look():
            pass
        return self.findings()

    def read_out(self, worker):
        self.log.is_over = True
        while worker.look():
            pass
        for stream in worker.streams.values():
            stream.tick()
            stream._quiet_at = 0.0
            if stream.sender is not None:
                stream.sender._told_at.clear()  # it may have told just now that it does not know
            stream.tell_quiet()
        self.kept.store.read_out(dict.fromkeys(worker.streams, NOW))

    def findings(self):
        return sorted((one.id, one.entity, one.rule.id, one.evidence.count) for one in self.kept.store.findings())

    def ledger(self):
        progress = [one for name, one in self.kept.store.progress().items() if name in self.log.partitions]
        assert {one.imbalance for one in progress} == {0}
        return sum(one.received for one in progress), sum(one.late for one in progress)

    def archived(self):
        frames = self.kept.archive.scan(self.kept.store.segments(), columns=["_line"])
        return sorted(line for frame in frames for line in frame["_line"])
