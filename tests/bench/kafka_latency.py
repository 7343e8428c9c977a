"""From an event written to a topic to the decision about it in the record: through a real broker, a worker, PostgreSQL and the responder.

    python tests/bench/kafka_latency.py [--offences N] [--load EVENTS_PER_S] [--workers N] [--partitions 8]

Beside the offences there is ordinary traffic in all partitions, at half of the rate that saturates the same processes a moment before. An offence is one event that
a rule without a window finds, or a series of them that a window counts; each is of another app. Timed from before (the last of) it is given to the
producer to the moment at which the decision can be read; what is new is asked for every 10 ms.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import threading
import time
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path

from confluent_kafka import Producer
from gateway_latency import BUDGETS, PLAYBOOK, now_ms, offence, percentiles
from workers import PARTITIONS, Kafka, Postgres, Site, fill, received, wait_for, write_rules

from detectors import kernel
from monitor.kept import Kept
from monitor.simulate import simulate
from monitor.stores import StoreError

BETWEEN_S = 0.1
WAIT_S = 60.0
SATURATING = 300_000
COUNTED = 5
WINDOW = """title: A call that is counted
id: 00000000-0000-4000-8000-0000000000b0
status: test
logsource:
  product: miniprogram
detection:
  selection:
    event.action: access
    miniprogram.app_id|startswith: wxcounted
  condition: selection
level: informational
---
title: Five calls that are counted
id: 00000000-0000-4000-8000-0000000000b1
status: test
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-0000000000b0]
  group-by: [miniprogram.app_id]
  timespan: 1m
  condition:
    gte: 5
tags: [behaviour.18]
level: high
"""


def write_window(folder: Path) -> None:
    """The rule that counts, with its twin."""
    twin = folder / "counted"
    twin.mkdir()
    twin.with_suffix(".yml").write_text(WINDOW)
    lines = [counted("wxcounted", number) for number in range(COUNTED)]
    (twin / "hit.jsonl").write_bytes(b"".join(lines))
    (twin / "miss.jsonl").write_bytes(b"".join(lines[1:]))


def counted(app: str, number: int) -> bytes:
    """An event that the window counts."""
    event = {"id": f"{app}-{number}", "dataset": "miniprogram.gateway", "action": "access"}
    return json.dumps({"@timestamp": now_ms(), "event": event, "miniprogram": {"app_id": app}}).encode() + b"\n"


class Traffic:
    """Ordinary events of now, each app in its partition."""

    def __init__(self, bootstrap: str, partitions: int = PARTITIONS) -> None:
        self._partitions = partitions
        lines = b"".join(simulate(5, 20_000, apps=200, duration_s=600, kinds=frozenset())).splitlines()
        lines = [re.sub(rb',"ingested":"[^"]*"', b"", line) for line in lines]
        self._apps = [line.partition(b'"app_id":"')[2].partition(b'"')[0] for line in lines]
        self._parts = [re.split(rb'"@timestamp":(?:"[^"]*"|\d+)', line, maxsplit=1) for line in lines]
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 500_000}
        )
        self._leaving = threading.Event()
        self._lock = threading.Lock()
        self.sent = 0

    def send(self, count: int) -> None:
        """So many of the next events."""
        stamp = b'"@timestamp":%d' % now_ms()
        for _ in range(count):
            place = self.sent % len(self._parts)
            line = stamp.join(self._parts[place]).replace(b'"id":"', b'"id":"n%d-' % self.sent, 1)
            self.write(self._apps[place], line)

    def write(self, app: bytes, line: bytes) -> None:
        """One event."""
        while True:
            try:
                self._producer.produce("events", line, key=app, partition=zlib.crc32(app) % self._partitions)
                break
            except BufferError:
                self._producer.poll(0.01)
        with self._lock:
            self.sent += 1

    def run(self, per_s: float) -> None:
        """So many events a second, until told to leave."""
        due, step = time.monotonic(), max(int(per_s / 50), 1)
        while not self._leaving.is_set():
            self.send(step)
            self._producer.poll(0)
            due = max(due + step / per_s, time.monotonic() - 1)
            self._leaving.wait(max(0.0, due - time.monotonic()))

    def flush(self) -> None:
        self._producer.flush()

    def leave(self) -> None:
        self._leaving.set()


def saturating(traffic: Traffic, kept: Kept) -> float:
    """Events a second from the first written to the last accounted for."""
    before, begun = received(kept), time.monotonic()
    traffic.send(SATURATING)
    traffic.flush()
    wait_for(lambda: received(kept) >= before + SATURATING)
    return SATURATING / (time.monotonic() - begun)


def decided(kept: Kept) -> dict[str, float]:
    """When the decision about each app could be read."""
    times: dict[str, float] = {}

    def follow() -> None:
        with suppress(StoreError):  # the database goes when all is over
            last = 0
            while True:
                for one in kept.store.decision_changes(last, 1_000):
                    last = one.changed
                    times.setdefault(one.decision.entity.value, time.monotonic())
                time.sleep(0.01)

    threading.Thread(target=follow, daemon=True).start()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offences", type=int, default=300)
    parser.add_argument("--load", type=float)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=PARTITIONS, help="of events; of hits there are half as many")
    parser.add_argument("--folder", type=Path, help="where it is kept; without, it is removed at the end")
    given = parser.parse_args()
    print(f"native kernel: {kernel.standing()}")
    with ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka, postgres = Kafka(), Postgres()
        for server in (kafka, postgres):
            stack.callback(server.remove)
            server.start()
        fill(kafka.bootstrap, "events", iter(()), given.partitions)
        write_rules(100, folder / "rules")
        write_window(folder / "rules")
        (folder / "playbooks").mkdir()
        (folder / "playbooks" / "bench.yaml").write_text(PLAYBOOK)
        more = f'[kafka]\nhits_partitions = {-(-given.partitions // 2)}\n[rules]\nfolders = ["{folder / "rules"}"]\n[playbooks]\nbuiltin = false\nfolders = ["{folder / "playbooks"}"]\n'
        site = Site(folder / "site", f"kafka://{kafka.bootstrap}/events?group=latency", postgres.url, more + BUDGETS)
        stack.callback(site.end)
        kept = site.kept()
        site.start("--role", "respond")
        for _ in range(given.workers):
            site.start("--role", "detect")
        traffic = Traffic(kafka.bootstrap, given.partitions)
        load = given.load
        if load is None:
            saturating(traffic, kept)  # the first is a start
            load = saturating(traffic, kept) / 2
        print(f"beside it {load:,.0f} events a second, of {load * 2:,.0f} at most", flush=True)
        threading.Thread(target=traffic.run, args=(load,), daemon=True).start()
        stack.callback(traffic.leave)
        time.sleep(5)
        times = decided(kept)
        for what, events in (("without a window", 1), ("counted by a window", COUNTED)):
            begun = offend(traffic, given.offences, events)
            waited(begun, times)
            percentiles(f"event to decision, {what}", [times[app] - at for app, at in begun.items()])


def offend(traffic: Traffic, offences: int, events: int) -> dict[str, float]:
    """When the last event of each offence was written, by its app."""
    begun: dict[str, float] = {}
    for number in range(offences):
        app = f"wxoffence{number:05}" if events == 1 else f"wxcounted{number:05}"
        lines = [offence(app)] if events == 1 else [counted(app, place) for place in range(events)]
        begun[app] = time.monotonic()
        for line in lines:
            traffic.write(app.encode(), line.rstrip())
        time.sleep(BETWEEN_S)
    return begun


def waited(begun: dict[str, float], times: dict[str, float]) -> None:
    """Until all are decided."""
    ends = time.monotonic() + WAIT_S
    while not begun.keys() <= times.keys():
        if time.monotonic() > ends:
            sys.exit(f"{len(begun.keys() - times.keys())} of {len(begun)} were not decided within {WAIT_S:.0f} s")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
