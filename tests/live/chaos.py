"""Workers on a topic, with a record in PostgreSQL, while all of it dies and stands still at random; and what it comes to.

As a program it does so for longer: ``python tests/live/chaos.py --events 2000000 --seconds 900``.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "surroundings"))

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from postgres import Postgres
from searched import ids
from server import Elasticsearch, Kafka, until

from monitor.config import load_config
from monitor.kept import Kept
from monitor.searching import search_settings
from monitor.simulate import simulate
from monitor.stores import StoreError
from monitor.stores.elasticsearch.connection import Connection

KEY = "5e" * 32
PROGRAM = [sys.executable, "-c", "from monitor.cli import main; main()"]
SEEDS = 10
"""So many platforms, simulated apart, on one topic: of each a handful offends."""
LOUD = frozenset({"plain-http", "carding", "injection", "resource-enumeration", "sandbox-escape"})


def produced(bootstrap: str, topic: str, events: int, partitions: int, seeds: int = 1) -> int:
    """A topic with simulated events that ended an hour ago, each app in its partition, arriving in the order of their times; how many."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})]).values():
        future.result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 200_000})
    count = reached = 0
    duration_s = max(events // 40, 600)
    start = datetime.now(UTC) - timedelta(seconds=duration_s + 3600)
    platforms = [_timed(seed, events // seeds, start, duration_s) for seed in range(1, seeds + 1)]
    for time_ms, app, line in heapq.merge(*platforms):
        reached = max(reached, time_ms)
        partition = zlib.crc32(app) % partitions
        while True:
            try:
                producer.produce(topic, line, key=app, partition=partition, timestamp=reached)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
    producer.flush()
    return count


def _timed(seed: int, events: int, start: datetime, duration_s: int) -> Iterator[tuple[int, bytes, bytes]]:
    """The events of a simulated platform, with their times in milliseconds and their apps."""
    rest = b""
    for block in simulate(seed, events, apps=60, start=start, duration_s=duration_s, kinds=LOUD):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            event = json.loads(line)
            time_ms = int(datetime.fromisoformat(event["@timestamp"]).timestamp() * 1000)
            yield time_ms, event["miniprogram"]["app_id"].encode(), line


QUICK = """
[batch]
rows_max = 500
[snapshots]
every_s = 2.0
[kafka]
session_timeout_s = 6.0
poll_interval_s_max = 10.0
release_s_max = 5.0
[respond]
wait_s_max = 600.0
[guards]
input_late_s_max = 31536000.0
"""
"""Many turns; how a site notices soon that something is gone, and waits for long before it answers without; and that events of long ago hold
no act, for which a milder one would be proposed.
"""


ASKED_AGAIN = """name: decided-again
title: Whatever a guard holds for a while is decided again
priority: 1
match:
  behaviours: [10, 12, 15, 16]
steps:
  - tier: throttle
    when: {risk: 20}
    actions:
      - {type: throttle, limit: 30, per: 1m, for: 24h}
    answer_within: 30s
    when_unanswered: decide-again
  - tier: remove
    when: {risk: 60}
    actions:
      - {type: remove, for: 7d}
"""
"""What our own health holds back comes about once nobody has answered."""

LIVE = """
[playbooks]
folders = ["{folder}"]
[budgets]
throttle_per_h = 50000
all_per_h = 50000
rule_per_h = 50000
rule_share_max = 1.0
tier_share_max = 1.0
all_share_max = 1.0
"""
"""No budget holds these acts: in the end they are those of a day without troubles."""


def live(folder: Path) -> str:
    """The configuration of a site whose acts are compared."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "decided-again.yaml").write_text(ASKED_AGAIN)
    return QUICK + LIVE.format(folder=folder)


SEARCH = """
[elasticsearch]
urls = ["{url}"]
replicas = 0
refresh_s = 1.0
rest_s_max = 2.0
"""


class Site:
    """A folder with a configuration, and the processes on it."""

    def __init__(self, folder: Path, source: str, store: str = "", more: str = QUICK, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.toml"
        self.config.write_text(
            f'data_dir = "{folder / "data"}"\n[[sources]]\nuri = "{source}"\n[http]\nlisten = ""\n'
            + (f'[store]\nurl = "{store}"\n' if store else "")
            + more
        )
        self.environment = {**os.environ, "MINIWATCH_PEOPLE__KEY": KEY, **environment}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """One process more."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*PROGRAM, "run", "--config", str(self.config), *words], stdout=log, stderr=log, env=self.environment
            )
        self.processes.append(process)
        return process

    def run(self, *words: str) -> str:
        """Another command, to its end; what it prints."""
        command = [*PROGRAM, *words, "--config", str(self.config)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def end(self) -> None:
        """All of them, in order."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            process.wait(60)
        self.processes = []

    def kept(self) -> Kept:
        """What it has kept."""
        return Kept.of(load_config(self.config, self.environment))


def outcome(site: Site) -> dict[str, object]:
    """What is compared: findings with their counts, what was proposed about whom, and every line of the archive."""
    kept = site.kept()
    try:
        store = kept.store
        findings = sorted((one.id, one.rule.id, str(one.entity), one.evidence.count) for one in store.findings())
        proposed = sorted({(one.scope, one.value, one.type, one.target or "", one.tier) for one in store.decisions()})
        words = [store.considered(key) for key, *_ in findings]
        frames = kept.archive.scan(store.segments(), columns=["_line"])
        archived = Counter(zlib.crc32(line.encode()) for frame in frames for line in frame["_line"])
        accounts = {name: one for name, one in store.progress().items() if "miniwatch-hits" not in name}
        return {
            "findings": findings,
            "proposed": proposed,
            "unanswered": sum(word is None for word in words),
            "archived": archived,
            "received": sum(one.received for one in accounts.values()),
            "imbalance": sum(one.imbalance for one in accounts.values()),
        }
    finally:
        kept.store.close()


def undisturbed(folder: Path, kafka: Kafka, topic: str) -> dict[str, object]:
    """What one process makes of the topic."""
    site = Site(folder, f"kafka://{kafka.bootstrap}/{topic}", more="")
    site.run("run", "--until-end")
    return outcome(site)


def of_one_process(folder: Path, kafka: Kafka, topic: str, events: int, partitions: int) -> dict[str, object]:
    """Fill a topic, and what one process makes of it: enough that a difference would be seen."""
    assert produced(kafka.bootstrap, topic, events, partitions) == events
    found = undisturbed(folder, kafka, topic)
    assert found["received"] == events
    assert len(found["findings"]) > 50
    return found


def in_force(site: Site) -> list[tuple[str, ...]]:
    """What is done to whom by the playbook whose acts are decided again."""
    kept = site.kept()
    try:
        return sorted(
            (one.scope, one.value, one.type, one.target or "")
            for one in kept.store.decisions()
            if one.origin == "playbook:decided-again" and one.mode == "live" and one.is_in_force(time.time_ns() // 1000)
        )
    finally:
        kept.store.close()


def held_back(site: Site) -> int:
    """How many acts of that playbook came into force only once they were decided again, those that have ended since among them."""
    kept = site.kept()
    try:
        words = [one.explanation for one in kept.store.decisions() if one.origin == "playbook:decided-again"]
        return sum("nobody answered in time" in each for each in words)
    finally:
        kept.store.close()


def lived(folder: Path, kafka: Kafka, topic: str, events: int) -> dict[str, object]:
    """What one process makes of the topic in which acts come into force."""
    site = Site(folder, f"kafka://{kafka.bootstrap}/{topic}", more=live(folder / "playbooks"))
    site.start()
    kept = site.kept()
    try:
        until(lambda: _received(kept) == events and _is_at_rest(kept) and not _asked_again(kept), 3600)
    finally:
        kept.store.close()
        site.end()
    return {**outcome(site), "in force": in_force(site)}


def to_be_searched(expected: dict[str, object]) -> dict[str, object]:
    """What the search must hold of an outcome: what is archived, which repeated events are not."""
    found = [key for key, *_ in expected["findings"]]
    return {"searchable": expected["archived"].total(), "searchable twice": 0, "findings searchable": found}


def searched(site: Site) -> dict[str, object]:
    """What it holds."""
    connection = Connection(search_settings(load_config(site.config, site.environment)))
    try:
        events, findings = ids(connection, "events"), ids(connection, "findings")
        twice = len(events) - len(set(events))
        return {"searchable": len(events), "searchable twice": twice, "findings searchable": sorted(findings)}
    finally:
        connection.close()


class Chaos:
    """Kills and stops at random, and counts it."""

    def __init__(
        self, site: Site, kafka: Kafka, postgres: Postgres, elasticsearch: Elasticsearch, workers: int, seed: int
    ) -> None:
        self.site, self.kafka, self.postgres, self.elasticsearch = site, kafka, postgres, elasticsearch
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.workers = [site.start("--role", "detect") for _ in range(workers)]
        self.responder = site.start("--role", "respond")

    def go_on(self, events: int, within_s: float = 120.0) -> None:
        """Let something be accounted for that was not, if there is anything."""
        kept = self.site.kept()
        try:
            before = until(lambda: _received(kept), within_s)
            until(lambda: _received(kept) > before or before >= events, within_s)
        finally:
            kept.store.close()

    def step(self) -> None:
        """One blow."""
        kind = self.chance.choice(
            ["kill worker"] * 4
            + ["stop worker"] * 2
            + ["kill responder", "kill broker", "kill database", "pause database", "kill search", "pause search"]
            + ["add worker", "remove worker"]
        )
        self.done[kind] += 1
        getattr(self, kind.replace(" ", "_"))()

    def kill_worker(self) -> None:
        place = self.chance.randrange(len(self.workers))
        self.workers[place].kill()
        self.workers[place].wait()
        self.workers[place] = self.site.start("--role", "detect")

    def stop_worker(self) -> None:
        worker = self.chance.choice(self.workers)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(12.0)  # longer than the session of its group
        worker.send_signal(signal.SIGCONT)

    def kill_responder(self) -> None:
        self.responder.kill()
        self.responder.wait()
        self.responder = self.site.start("--role", "respond")

    def kill_broker(self) -> None:
        self.kafka.kill()
        time.sleep(self.chance.uniform(0, 3))
        self.kafka.start()

    def kill_database(self) -> None:
        self.postgres.kill()
        time.sleep(self.chance.uniform(0, 3))
        self.postgres.start()

    def pause_database(self) -> None:
        self.postgres.pause()
        time.sleep(3.0)
        self.postgres.resume()

    def kill_search(self) -> None:
        self.elasticsearch.kill()
        time.sleep(self.chance.uniform(0, 3))
        self.elasticsearch.start()

    def pause_search(self) -> None:
        self.elasticsearch.pause()
        time.sleep(5.0)
        self.elasticsearch.resume()

    def add_worker(self) -> None:
        self.workers.append(self.site.start("--role", "detect"))

    def remove_worker(self) -> None:
        if len(self.workers) > 1:
            worker = self.workers.pop()
            worker.terminate()
            worker.wait(90)

    def settle(self, events: int, stuck_s: float) -> None:
        """Let all be read, counted, answered and searchable."""
        for place, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.workers[place] = self.site.start("--role", "detect")
        if self.responder.poll() is not None:
            self.responder = self.site.start("--role", "respond")
        kept = self.site.kept()
        try:
            settled(kept, events, stuck_s, is_searched=True)
        finally:
            kept.store.close()


def _received(kept: Kept) -> int:
    try:
        return sum(one.received for name, one in kept.store.progress().items() if "miniwatch-hits" not in name)
    except StoreError:  # the database may be away
        return 0


def _is_at_rest(kept: Kept) -> bool:
    """Whether no turn comes any more: time has come up to the last event as well."""
    before = kept.store.last_turn()
    time.sleep(5.0)
    return kept.store.last_turn() == before


def _asked_again(kept: Kept) -> bool:
    """Whether acts wait that are decided again."""
    return any(one.unanswered == "decide-again" for one in kept.store.waiting_decisions(100_000))


def _is_settled(kept: Kept, events: int, *, is_searched: bool = False) -> bool:
    try:
        if _received(kept) < events:
            return False
        reached = {one.name: one.reached for one in kept.store.streams()}
        counted = [at for name, at in reached.items() if "miniwatch-hits" in name]
        newest = max(reached.values())
        is_answered = bool(counted) and min(counted) >= newest - 60_000_000 and not kept.store.detected({}, 1)
        if not is_searched or not is_answered:
            return is_answered
        if _asked_again(kept):
            return False
        return not kept.store.unindexed_events() and not kept.store.unindexed_findings()
    except StoreError:  # the database may be away
        return False
    finally:
        time.sleep(1.0)


def settled(kept: Kept, events: int, stuck_s: float = 90.0, *, is_searched: bool = False) -> None:
    """Wait until all is read and answered, as long as it gets further: what stands still for that long is told with how far it came."""
    at, since = (0, 0), time.monotonic()
    while not _is_settled(kept, events, is_searched=is_searched):
        try:
            now = (_received(kept), kept.store.last_turn())
        except StoreError:  # the database may be away
            now = at
        if now != at:
            at, since = now, time.monotonic()
        assert time.monotonic() < since + stuck_s, (
            f"nothing came further in {stuck_s:.0f} s: {at[0]} of {events} events, "
            f"streams {[(one.name, one.turn, one.reached) for one in kept.store.streams()]}, unanswered {kept.store.detected({}, 3)}"
        )


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--events", type=int, default=2_000_000)
    words.add_argument("--seconds", type=float, default=600.0)
    words.add_argument("--workers", type=int, default=3)
    words.add_argument("--partitions", type=int, default=8)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--folder", type=Path, default=Path("var/chaos"))
    given = words.parse_args()
    servers = kafka, postgres, elasticsearch = Kafka(), Postgres(), Elasticsearch()
    for server in servers:
        server.start()
    try:
        events = produced(kafka.bootstrap, "chaos", given.events, given.partitions, seeds=SEEDS)
        expected = lived(given.folder / "one", kafka, "chaos", events)
        source = f"kafka://{kafka.bootstrap}/chaos?group=chaos"
        more = live(given.folder / "playbooks") + SEARCH.format(url=elasticsearch.url)
        site = Site(given.folder / "many", source, postgres.url, more)
        chaos = Chaos(site, kafka, postgres, elasticsearch, given.workers, given.seed)
        until_s = time.monotonic() + given.seconds
        while time.monotonic() < until_s:
            time.sleep(chaos.chance.uniform(1, 8))
            chaos.step()
        chaos.settle(events, 600)
        site.end()
        found = {**outcome(site), **searched(site), "in force": in_force(site)}
        expected |= to_be_searched(expected)
        for name, value in expected.items():
            print(name, "same" if found[name] == value else "DIFFERENT")
        print(dict(chaos.done), f"{events} events, {len(found['findings'])} findings, {found['received']} received")
        print(f"{len(found['in force'])} acts in force; {held_back(site)} came about only once they were decided again")
        sys.exit(found != expected or len(found["findings"]) <= 50 or len(found["in force"]) <= 20)
    finally:
        for server in servers:
            server.remove()


if __name__ == "__main__":
    main()
