"""What the start of an enforcer costs: seconds until it has all decisions in force, and how long others wait meanwhile.

    python tests/bench/start_pull.py [DECISIONS] [--ended N]

The server is a process of its own, with a record on disk. One client pulls `GET /api/v1/decisions/changes` from its beginning,
then `GET /v1/decisions/stream?startup=true`; it reads the bytes and lets them go. A process beside it asks again and again for what
changed last, on a connection of its own: told are its waits at rest and during each pull, and by how much the server's memory grew.
`--ended` decisions were made before the others and revoked. Figures are of this machine, whose cores the clients share.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

from monitor.config import load_config
from monitor.console.health import Health
from monitor.front import front_of
from monitor.stores import Turn
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store, stored_decision
from monitor.tokens import Role, new_token
from playbooks.decision import DecisionState

TURN = 1000
DAY_US = 86_400_000_000
CHANGES = "/api/v1/decisions/changes"
STREAM = "/v1/decisions/stream?startup=true&scopes=AppId"


def serve(folder: Path, decisions: int, ended: int, parent: Connection) -> None:
    """A front with so many decisions; it tells its port and a token, and each time that it is asked its greatest memory (KiB)."""
    store, now = scratch_store(folder), time.time_ns() // 1000
    made = [
        stored_decision(
            f"d{number}",
            value=f"wx{number:016x}",
            time=now + number,
            expires=now + 30 * DAY_US + number,
            parameters={"limit": 60, "per_s": 60},
            state=DecisionState.REVOKED if number < ended else DecisionState.ACTIVE,
        )
        for number in range(ended + decisions)
    ]
    for turn, first in enumerate(range(0, len(made), TURN), start=1):
        store.commit(Turn(number=turn, decisions=made[first : first + TURN]))
    del made
    token, text = new_token("bench", [Role.BOUNCER], created=now, expires=now + 30 * DAY_US, actor="operator:bench")
    store.add_token(token, "")
    config = load_config(None, {}, {"http.listen": "127.0.0.1:0"})
    clock, health = (lambda: time.time_ns() // 1000), (lambda: Health(heartbeat_age_s=0.1))
    front = front_of(config, store, Telemetry(stream=(folder / "log").open("w")), clock, health)
    front.start()
    parent.send((front.server.port, text, store.last_decision_change()))
    while parent.recv():
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
        parent.send(_status("VmRSS"))
        parent.recv()
        parent.send(_status("VmHWM"))
    front.stop()
    store.close()


def _status(name: str) -> int:
    return int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0])


class Client:
    """One kept connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, target: str) -> bytes:
        self._connection.request("GET", target, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"{target}: {response.status} {body[:200]!r}")
        return body


def probe(port: int, token: str, last: int, stop: Event, parent: Connection) -> None:
    """How long (ms) each of many requests took that are answered by nothing new."""
    client = Client(port, token)
    client.get(f"{CHANGES}?after={last}")
    parent.send(None)
    waits = []
    while not stop.is_set():
        begun = time.perf_counter()
        client.get(f"{CHANGES}?after={last}")
        waits.append(1000 * (time.perf_counter() - begun))
        time.sleep(0.005)
    parent.send(waits)


def pages(client: Client) -> Iterator[bytes]:
    """All of the list of changes, from its beginning."""
    position, more = 0, True
    while more:
        body = client.get(f"{CHANGES}?after={position}")
        head = json.loads(body[: body.index(b',"anew"')] + b"}")  # what follows is for the enforcer to read
        position, more = head["position"], head["more"]
        yield body


def measured(name: str, pull: Callable[[], int], port: int, token: str, last: int, server: Connection) -> None:
    stop, (here, there) = multiprocessing.Event(), multiprocessing.Pipe()
    prober = multiprocessing.Process(target=probe, args=(port, token, last, stop, there))
    prober.start()
    here.recv()
    server.send(True)
    before = server.recv()
    begun = time.perf_counter()
    size = pull()
    took = time.perf_counter() - begun
    server.send(True)
    grown = server.recv() - before
    stop.set()
    waits = sorted(here.recv())
    prober.join()
    print(
        f"{name:8} {took:6.2f} s, {size / 1e6:5.1f} MB; the server's memory grew by {grown / 1024:.0f} MiB; others waited "
        f"p50 {statistics.median(waits):.1f} ms, p99 {waits[int(0.99 * len(waits))]:.1f} ms, longest {waits[-1]:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("decisions", type=int, nargs="?", default=100_000)
    parser.add_argument("--ended", type=int, default=0)
    given = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    with tempfile.TemporaryDirectory() as folder:
        here, there = multiprocessing.Pipe()
        server = multiprocessing.Process(target=serve, args=(Path(folder), given.decisions, given.ended, there))
        server.start()
        port, token, last = here.recv()
        client = Client(port, token)
        measured("at rest", lambda: time.sleep(3) or 0, port, token, last, here)
        for name, pull in (
            ("changes", lambda: sum(map(len, pages(client)))),
            ("stream", lambda: len(client.get(STREAM))),
        ):
            measured(name, pull, port, token, last, here)
        here.send(False)
        server.join()


if __name__ == "__main__":
    main()
