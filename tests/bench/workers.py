"""What workers take from a real broker: messages per CPU second through 100 rules, for one worker and two, with either client.

    python tests/bench/workers.py [--events 1000000] [--workers 1 2] [--clients kafka-python confluent] [--store postgresql sqlite]

A topic of 8 partitions, keyed by app, is filled with a simulated platform's events before a worker starts. CPU seconds are those of the
workers' processes, all their threads, from the first committed turn to the last; the broker's and the database's are told beside them, for
they share the machine. Everything is on: archive, ledger, windows with their hits sent through the topic of hits, snapshots.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / place) for place in ("live", "surroundings")]

from chaos import Site
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from postgres import Postgres
from server import Kafka
from whole_path import APPS, SEED

from detectors import kernel
from monitor.kept import Kept
from monitor.rules import builtin_folder, load_rules
from monitor.simulate import simulation

PARTITIONS = 8
TICKS = os.sysconf("SC_CLK_TCK")
APP = b'"app_id":"'


def lines_of(events: int) -> Iterator[bytes]:
    """A simulated platform's events, one a line."""
    rest = b""
    for block in simulation(SEED, events, apps=1_000).blocks():
        *lines, rest = (rest + block).split(b"\n")
        yield from lines


def fill(bootstrap: str, topic: str, lines: Iterator[bytes], partitions: int = PARTITIONS) -> int:
    """A topic with these lines, each app in its partition; how many."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if topic not in admin.list_topics().topics:
        for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            future.result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "batch.size": 262_144, "acks": "1"})
    count = 0
    for line in lines:
        begins = line.index(APP) + len(APP)
        app = line[begins : line.index(b'"', begins)]
        while True:
            try:
                producer.produce(topic, line, key=app, partition=zlib.crc32(app) % partitions)
                break
            except BufferError:
                producer.poll(0.05)
        count += 1
    producer.flush()
    return count


def cpu_s(pids: list[int]) -> float:
    """CPU seconds that processes have spent, and their threads and ended children."""
    spent = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent += sum(int(field) for field in fields[11:15])
    return spent / TICKS


def resident_mib(pid: int) -> float:
    """The most memory that a process ever had, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def received(kept: Kept) -> int:
    """Lines of events that are accounted for."""
    return sum(one.received for name, one in kept.store.progress().items() if "miniwatch-hits" not in name)


def wait_for(true: Callable[[], bool], within_s: float = 600.0) -> None:
    """Wait until something is true; raises `TimeoutError`."""
    ends = time.monotonic() + within_s
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError("it did not come to that in time")
        time.sleep(0.05)


RULE = """title: Absent word {number}
id: 00000000-0000-4000-8000-{number:012}
status: test
logsource:
  product: miniprogram
detection:
  selection:
    - url.full|contains:
        - /absent{number}/
        - absent={number}
    - user_agent.original|endswith: Absent/{number}
  condition: selection
level: low
"""
EVENT = (
    '{{"@timestamp":"2026-03-02T08:00:00Z","event":{{"id":"e","dataset":"miniprogram.network","action":"request"}},'
    '"miniprogram":{{"app_id":"wx5b1e7c90a4d2f836","api":"request"}},"url":{{"full":"https://a.example/{word}/"}}}}\n'
)


def write_rules(count: int, folder: Path) -> None:
    """Rules with their twins, so that with those of the program there are so many."""
    for number in range(count - len(load_rules([builtin_folder()]).rules)):
        twin = folder / f"absent{number}"
        twin.mkdir(parents=True)
        twin.with_suffix(".yml").write_text(RULE.format(number=number))
        (twin / "hit.jsonl").write_text(EVENT.format(word=f"absent{number}"))
        (twin / "miss.jsonl").write_text(EVENT.format(word="present"))


def register(site: Site) -> None:
    """All apps of the simulated platform are known."""
    told = site.folder / "apps.ndjson"
    told.write_bytes(b"".join(line + b"\n" for line in APPS))
    site.run("apps", "import", str(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clients", nargs="+", default=["kafka-python", "confluent"])
    parser.add_argument("--store", choices=("postgresql", "sqlite"), nargs="+", default=["postgresql"])
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where it is kept; without, it is removed at the end")
    asked = parser.parse_args()
    with ExitStack() as closing:
        scratch = asked.folder or Path(closing.enter_context(tempfile.TemporaryDirectory()))
        kafka, postgres = Kafka(), Postgres()
        for server in (kafka, postgres):
            closing.callback(server.remove)
            server.start()
        events = fill(kafka.bootstrap, "events", lines_of(asked.events))
        rules = scratch / "rules"
        write_rules(asked.rules, rules)
        print(f"{events:,} events in {PARTITIONS} partitions, {asked.rules} rules, native kernel: {kernel.standing()}")
        for store in asked.store:
            for client in asked.clients:
                for workers in asked.workers:
                    url = postgres.database() if store == "postgresql" else ""
                    name = f"{store}-{client}-{workers}"
                    source = f"kafka://{kafka.bootstrap}/events?group={name}&client={client}"
                    site = Site(scratch / name, source, url, f'[rules]\nfolders = ["{rules}"]\n')
                    closing.callback(site.end)
                    print(f"{store}, {client}, {workers} workers: {measured(site, workers, events, kafka)}", flush=True)


def measured(site: Site, workers: int, events: int, kafka: Kafka) -> str:
    """A run of so many workers over all of the topic."""
    register(site)
    kept = site.kept()
    try:
        begun = time.monotonic()
        pids = [site.start("--role", "detect").pid for _ in range(workers)]
        wait_for(lambda: received(kept) > 0)
        first, at = received(kept), time.monotonic()
        spent, broker = cpu_s(pids), cpu_s(kafka.processes())
        wait_for(lambda: received(kept) >= events)
        seconds, read = time.monotonic() - at, events - first
        used, broker = cpu_s(pids) - spent, cpu_s(kafka.processes()) - broker
        memory = max(resident_mib(pid) for pid in pids)
        turns = sum(one.turn for one in kept.store.streams())
    finally:
        kept.store.close()
        site.end()
    return (
        f"{read / used:,.0f} messages a CPU second, {read / seconds:,.0f} a second; broker {broker / used:.2f} of their CPU; "
        f"{turns} turns, {memory:,.0f} MiB, first turn after {at - begun:.1f} s"
    )


if __name__ == "__main__":
    main()
