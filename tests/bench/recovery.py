"""How soon a worker that was killed goes on, and how much memory it has, when its windows remember a million groups.

    python tests/bench/recovery.py [--keys 1000000] [--workers 1]

A real broker with a topic of 8 partitions, the record in PostgreSQL. A rule counts the requests of each person in each app, by the hour; every event is one
of another person. When all are counted and remembered in snapshots, the worker gets SIGKILL, a message more is written to each partition, and the
worker is started again with the same `kafka.group_instance_id`. Timed from its start to the turn with which these are accounted for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workers import PARTITIONS, Kafka, Postgres, Site, fill, received, resident_mib, wait_for

from detectors import kernel

RULES = """title: A request
id: 00000000-0000-4000-8000-0000000000a0
status: test
logsource:
  product: miniprogram
detection:
  selection:
    event.action: request
  condition: selection
level: informational
---
title: Very many requests of one person in one app
id: 00000000-0000-4000-8000-0000000000a1
status: test
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-0000000000a0]
  group-by: [miniprogram.app_id, user.id]
  timespan: 1h
  condition:
    gte: 20
level: low
"""
EVENT = (
    '{"@timestamp":"%s","event":{"id":"e%d","dataset":"miniprogram.network","action":"request","ingested":"%s"},'
    '"miniprogram":{"app_id":"wx%016x"},"user":{"id":"%032x"},"url":{"full":"https://a.example/api/orders"}}'
)
BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
SPACING_MS = 2
APPS = 200


def lines(first: int, count: int, people: int) -> Iterator[bytes]:
    """So many events from a number on, each of the next person, all of them within an hour."""
    for number in range(first, first + count):
        at = BEGIN + timedelta(milliseconds=number * SPACING_MS)
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        yield (EVENT % (stamp, number, stamp, number % APPS, number % people)).encode()


def write_rules(folder: Path) -> None:
    """The rules, with their twin."""
    twin = folder / "requests"
    twin.mkdir(parents=True)
    twin.with_suffix(".yml").write_text(RULES)
    (twin / "hit.jsonl").write_bytes(b"\n".join(_of_one(40)) + b"\n")
    (twin / "miss.jsonl").write_bytes(b"\n".join(_of_one(3)) + b"\n")


def _of_one(count: int) -> Iterator[bytes]:
    """Requests of one person in one app."""
    for line in lines(0, count * APPS, APPS):
        if b"wx%016x" % 0 in line:
            yield line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where it is kept; without, it is removed at the end")
    asked = parser.parse_args()
    with ExitStack() as closing:
        scratch = asked.folder or Path(closing.enter_context(tempfile.TemporaryDirectory()))
        kafka, postgres = Kafka(), Postgres()
        for server in (kafka, postgres):
            closing.callback(server.remove)
            server.start()
        write_rules(scratch / "rules")
        events = fill(kafka.bootstrap, "events", lines(0, asked.keys, asked.keys))
        more = f'[kafka]\ngroup_instance_id = "one"\n[rules]\nfolders = ["{scratch / "rules"}"]\n'
        site = Site(scratch / "site", f"kafka://{kafka.bootstrap}/events?group=recovery", postgres.url, more)
        closing.callback(site.end)
        kept = site.kept()
        closing.callback(kept.store.close)
        print(f"{events:,} groups in {PARTITIONS} partitions, native kernel: {kernel.standing()}", flush=True)
        worker = site.start("--role", "detect")
        wait_for(lambda: received(kept) >= events)
        time.sleep(45)  # snapshots are written every 30 s
        snapshots = sum(
            each.stat().st_size for each in (site.folder / "data" / "snapshots").rglob("*") if each.is_file()
        )
        print(
            f"counted; {resident_mib(worker.pid):,.0f} MiB at most, snapshots of {snapshots / 2**20:,.0f} MiB",
            flush=True,
        )
        for _ in range(asked.repeat):
            worker.kill()
            worker.wait()
            events += fill(kafka.bootstrap, "events", lines(events, PARTITIONS * APPS, asked.keys))
            begun = time.monotonic()
            worker = site.start("--role", "detect")
            wait_for(lambda events=events: received(kept) >= events)
            print(
                f"goes on {time.monotonic() - begun:.2f} s after its start, with {resident_mib(worker.pid):,.0f} MiB at most",
                flush=True,
            )
            time.sleep(2)


if __name__ == "__main__":
    main()
