"""How fast events come into Elasticsearch: ours against a bare loop of bulks that were made beforehand, in turn, on one node.

    python tests/bench/elasticsearch_index.py [EVENTS] [--url http://127.0.0.1:9200]

Both send the same documents to data streams of the same templates, with as many requests under way. The bare loop is elasticsearch-py
handed bytes; ours reads the archive, makes the documents, sends them, reads what became of each and notes it in the record. Without
--url a node is started, as tests/live/servers/README.md says. Figures are of this machine, whose cores the node shares.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from elasticsearch import Elasticsearch
from msgspec import structs

from monitor.clock import now_us
from monitor.kept import Kept
from monitor.stores.elasticsearch import SearchSettings
from monitor.stores.elasticsearch.bulk import ROWS_MAX
from monitor.stores.elasticsearch.cluster import prepare
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.documents import Documents
from monitor.stores.elasticsearch.events import EventFollower
from monitor.stores.indexed import Indexed

EVENTS: Final = 200_000
ROUNDS: Final = 5
"""Of each, in turn; the first of both warms up and is not counted."""

SERVERS: Final = Path(__file__).parents[1] / "live" / "servers" / "servers"
LINES: Final = "application/x-ndjson"


@contextmanager
def node(url: str) -> Iterator[str]:
    """The node that was named, or one of our own for as long as this lasts."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run(
            [sys.executable, SERVERS, "start", "elasticsearch", "--dir", folder],
            capture_output=True,
            text=True,
            check=True,
        )
        try:
            yield told.stdout.strip().partition("=")[2]
        finally:
            subprocess.run([sys.executable, SERVERS, "stop", "elasticsearch", "--dir", folder], check=False)


def archived(folder: Path, events: int) -> Kept:
    """A data folder with so many events in its archive."""
    lines = folder / "events.ndjson"
    run = [sys.executable, "-c", "from monitor.cli import main; main()"]
    with lines.open("wb") as file:
        subprocess.run(
            [*run, "simulate", "--seed", "3", "--events", str(events)],
            stdout=file,
            check=True,
            stderr=subprocess.DEVNULL,
        )
    told = [*run, "run", "--source", f"file:{lines}", "--until-end", "--data-dir", str(folder / "data")]
    subprocess.run(told, check=True, capture_output=True)
    return Kept.open(folder / "data")


def follower_of(kept: Kept, keys: SearchSettings) -> EventFollower:
    connection = Connection(keys)
    prepare(connection)
    kept.store.put_indexed(Indexed(what="events", folder=kept.archive.name))
    return EventFollower(
        store=kept.store,
        archive=kept.archive,
        connection=connection,
        documents=Documents(kept.store.installation(), keys.namespace),
        clock=now_us,
        going_on=lambda: True,
        pause=time.sleep,
        broken=print,
    )


def ours(kept: Kept, keys: SearchSettings) -> tuple[float, float]:
    """Seconds and CPU seconds of the whole way from the archive."""
    follower = follower_of(kept, keys)
    with ThreadPoolExecutor(keys.bulks_max) as pool:
        begun, cpu = time.perf_counter(), time.process_time()
        written = 0
        while (done := follower.step(pool)) is not None:
            written += done.rows
        taken = time.perf_counter() - begun, time.process_time() - cpu
    assert written == sum(segment.rows for segment in kept.store.segments())
    return taken


def bodies(kept: Kept, keys: SearchSettings) -> list[bytes]:
    """The bulks of the bare loop."""
    documents = Documents(kept.store.installation(), keys.namespace)
    made = []
    for frame in kept.archive.replay(kept.store.segments()):
        whole = documents.bodies(frame, documents.ids(frame))
        first = 0
        while first < len(whole):
            last = first
            while (
                last < len(whole)
                and last - first < ROWS_MAX
                and len(whole.part(first, last + 1)) <= keys.bulk_bytes_max
            ):
                last += 1
            made.append(bytes(whole.part(first, last)))
            first = last
    return made


def bare(made: Sequence[bytes], keys: SearchSettings) -> tuple[float, float]:
    """Seconds and CPU seconds of sending what was made."""
    prepare(Connection(keys))
    client = Elasticsearch(list(keys.urls), request_timeout=60)
    headers = {"content-type": LINES, "accept": "application/json"}
    path = f"/{keys.stream('events')}/_bulk"

    def send(body: bytes) -> None:
        answer = client.perform_request("POST", path, headers=headers, body=body).body
        assert not answer["errors"]

    with ThreadPoolExecutor(keys.bulks_max) as pool:
        begun, cpu = time.perf_counter(), time.process_time()
        list(pool.map(send, made))
        return time.perf_counter() - begun, time.process_time() - cpu


def stored(keys: SearchSettings, events: int) -> float:
    """Bytes an event takes in the index."""
    connection = Connection(structs.replace(keys, timeout_s=600.0))
    stream = keys.stream("events")
    connection.ask("POST", f"/{stream}/_forcemerge?max_num_segments=1")
    connection.ask("POST", f"/{stream}/_flush")
    indices = connection.ask("GET", f"/_cat/indices/.ds-{stream}-*?format=json&bytes=b").read(list[dict[str, str]])
    return sum(int(index["store.size"]) for index in indices) / events


def main() -> None:
    asked = argparse.ArgumentParser(description="Events into Elasticsearch, against a bare loop of bulks.")
    asked.add_argument("events", nargs="?", type=int, default=EVENTS)
    asked.add_argument("--url", default="")
    asked.add_argument("--mode", default="standard", choices=("standard", "logsdb"))
    given = asked.parse_args()
    with node(given.url) as url, tempfile.TemporaryDirectory() as folder:
        kept = archived(Path(folder), given.events)
        events = sum(segment.rows for segment in kept.store.segments())
        run = f"bench{time.time_ns()}"
        keys = SearchSettings(urls=(url,), replicas=0, mode=given.mode, timeout_s=120.0)
        figures: dict[str, list[tuple[float, float]]] = {"bare loop": [], "ours": []}
        for round_ in range(ROUNDS):
            of_bare = structs.replace(keys, namespace=f"{run}.bare{round_}")
            of_ours = structs.replace(keys, namespace=f"{run}.ours{round_}")
            figures["bare loop"].append(bare(bodies(kept, of_bare), of_bare))
            figures["ours"].append(ours(kept, of_ours))
        print(
            f"{events:,} events, {keys.bulks_max} requests under way, {ROUNDS - 1} rounds each, in turn, after one to warm up"
        )
        speeds = {}
        for name, taken in figures.items():
            counted = taken[1:]
            speeds[name] = median(events / seconds for seconds, _ in counted)
            cpu = median(cpu / events for _, cpu in counted) * 1e6
            print(f"{name:10} {speeds[name]:>10,.0f} documents/s (median)   client {cpu:.2f} us of CPU a document")
        print(f"ours / bare loop: {speeds['ours'] / speeds['bare loop']:.2f}")
        print(f"in the index, merged: {stored(of_ours, events):.0f} bytes an event")
        archive = sum(segment.bytes for segment in kept.store.segments())
        print(f"in the archive: {archive / events:.0f} bytes an event")
        kept.store.close()


if __name__ == "__main__":
    main()
