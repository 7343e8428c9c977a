"""Events a second through each door of the HTTP front, against pages of the same server that only receive and parse.

    python tests/bench/doors.py [--requests N] [--connections N] [--lines N]

A request brings 500 events of simulated traffic. A door makes lines of them, seals them, and answers once they are fsynced. Its peer stands behind
the same server with the same guard, receives the same body and parses it: it has each event as a dict of its values, as a program that wants to use them would, by the
fastest library that we know (msgspec for NDJSON, actions and documents of `_bulk`, and OTLP in JSON; protobuf's own for protobuf), and then forgets it: no
line is made, nothing sealed, nothing kept. Both take turns. Told are events a second by the clock, by the CPU time of the server, and the door's share
of its peer. Figures are of this machine, whose cores the sender shares.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from starlette.requests import Request
from starlette.responses import Response

from monitor.config import load_config
from monitor.console import otlp_json
from monitor.console.bodies import read_body
from monitor.console.bounds import RequestBounds
from monitor.console.health import Health
from monitor.console.pages import Page, json_answer
from monitor.front import front_of
from monitor.sealing import Seal
from monitor.simulate import simulate
from monitor.spool.spool import Spool
from monitor.spool.taking import Taker
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store
from monitor.tokens import Role, Token, new_token

BODIES = 40
PROTOBUF = "application/x-protobuf"
TICKS = os.sysconf("SC_CLK_TCK")
LINES = msgspec.json.Decoder()


Event = dict[str, Any]


def of_lines(content: bytes) -> list[Any]:
    return LINES.decode_lines(content)


def of_protobuf(content: bytes) -> list[Event]:
    return _events(ExportLogsServiceRequest.FromString(content))


class _OfScope(msgspec.Struct, rename="camel", gc=False):
    """Whoever has no bound to keep reads a request at once; we read it record by record."""

    scope: otlp_json._Scope | None = None
    log_records: list[otlp_json._Record] = []


class _OfResource(msgspec.Struct, rename="camel", gc=False):
    resource: otlp_json._Resource | None = None
    scope_logs: list[_OfScope] = []


class _Request(msgspec.Struct, rename="camel", gc=False):
    resource_logs: list[_OfResource] = []


REQUEST = msgspec.json.Decoder(_Request)


def of_json(content: bytes) -> list[Event]:
    return _events(REQUEST.decode(content))


def _events(request: Any) -> list[Event]:
    """All values in these requests are texts: whoever has to ask each for its kind takes longer."""
    return [
        {
            "time": record.time_unix_nano,
            "severity": record.severity_number,
            "body": record.body.string_value,
            **{pair.key: pair.value.string_value for pair in record.attributes},
        }
        for of_resource in request.resource_logs
        for of_scope in of_resource.scope_logs
        for record in of_scope.log_records
    ]


PEERS: dict[str, Callable[[bytes], list[Any]]] = {
    "events": of_lines,
    "bulk": of_lines,
    "bulk-ids": of_lines,
    "otlp": of_protobuf,
    "otlp-json": of_json,
}
DOORS = {
    "events": ("/v1/events", "application/x-ndjson"),
    "bulk": ("/_bulk", "application/x-ndjson"),
    "bulk-ids": ("/_bulk", "application/x-ndjson"),
    "otlp": ("/v1/logs", PROTOBUF),
    "otlp-json": ("/v1/logs", "application/json"),
}


def bodies(door: str, lines: int, seed: int) -> list[bytes]:
    """Requests, none like another."""
    found = []
    for number in range(BODIES):
        events = b"".join(simulate(seed + number, lines, apps=100)).splitlines()
        found.append(_body(door, events[:lines], f"{seed}-{number}"))
    return found


def _body(door: str, events: Sequence[bytes], name: str) -> bytes:
    if door == "events":
        return b"\n".join(events) + b"\n"
    if door == "bulk":
        return b"".join(b'{"create":{"_index":"logs"}}\n' + event + b"\n" for event in events)
    if door == "bulk-ids":
        return b"".join(
            b'{"create":{"_index":"logs","_id":"%s-%d"}}\n%s\n' % (name.encode(), number, event)
            for number, event in enumerate(events)
        )
    request = ExportLogsServiceRequest()
    of_resource = request.resource_logs.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    records = of_resource.scope_logs.add().log_records
    for event in events:
        record = records.add(time_unix_nano=1_772_445_600_000_000_000 + len(records), severity_number=9)
        record.body.string_value = f"a line of {name}"
        for key, value in _flat(json.loads(event)):
            record.attributes.add(key=key).value.string_value = str(value)
    if door == "otlp":
        return request.SerializeToString()
    return _as_json(request)


def _flat(tree: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _flat(value, f"{before}{key}.")
        elif key != "@timestamp":
            found.append((before + key, value))
    return found


def _as_json(request: ExportLogsServiceRequest) -> bytes:
    def pairs(attributes: Any) -> list[dict[str, Any]]:
        return [{"key": one.key, "value": {"stringValue": one.value.string_value}} for one in attributes]

    of_resource = request.resource_logs[0]
    records = [
        {
            "timeUnixNano": str(record.time_unix_nano),
            "severityNumber": record.severity_number,
            "body": {"stringValue": record.body.string_value},
            "attributes": pairs(record.attributes),
        }
        for record in of_resource.scope_logs[0].log_records
    ]
    resource = {"attributes": pairs(of_resource.resource.attributes)}
    whole = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    return json.dumps(whole, separators=(",", ":")).encode()


def serve(folder: str, told: Connection) -> None:
    """In a process of its own: the front with its doors, and their peers beside them."""
    bounds = RequestBounds()

    def peer(parse: Callable[[bytes], list[Any]]) -> Callable[[Request, Token | None], Any]:
        async def answer(request: Request, _token: Token | None) -> Response:
            return json_answer({"found": len(parse(await read_body(request, bounds)))})

        return answer

    pages = [
        Page(f"/peer/{name}", ("POST",), peer(parse), Role.INGEST, takes_body=True) for name, parse in PEERS.items()
    ]
    store = scratch_store(Path(folder))
    spool = Spool(
        Path(folder) / "spool", Seal(bytes(32)), bytes_max=1 << 40, floor=0, clock=lambda: time.time_ns() // 1000
    )
    taker = Taker(spool)
    taker.start()
    token, text = new_token("bench", [Role.INGEST], created=0, expires=2**62, actor="operator:bench")
    store.add_token(token, "")
    written = {"http.listen": "127.0.0.1:0", "http.requests_per_s_max": 100_000.0}
    front = front_of(
        load_config(None, {}, written),
        store,
        Telemetry(),
        lambda: time.time_ns() // 1000,
        lambda: Health(heartbeat_age_s=0.0),
        pages,
        taker.take,
    )
    front.start()
    told.send((front.server.port, text))
    while told.recv() == "forget":
        spool.forget(spool.end)
    front.stop()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def send(port: int, token: str, path: str, kind: str, contents: Sequence[bytes], connections: int) -> float:
    """Post all over several connections at once; seconds."""
    waiting, lock = list(contents), threading.Lock()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while True:
            with lock:
                if not waiting:
                    return
                content = waiting.pop()
            connection.request("POST", path, content, headers)
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200, said[:200]

    begun = time.perf_counter()
    with ThreadPoolExecutor(connections) as threads:
        for done in [threads.submit(work) for _ in range(connections)]:
            done.result()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--doors", default=",".join(DOORS))
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}"
    )
    print(
        f"{options.lines} events a request, {options.connections} connections; the median of {options.repeat} runs of {options.requests} requests"
    )
    print(
        f"{'door':<10} {'kB':>5} {'events/s':>10} {'peer':>10} {'share':>6} {'per CPU s':>10} {'peer':>10} {'share':>6}"
    )
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        ours, theirs = processes.Pipe()
        process = processes.Process(target=serve, args=(folder, theirs), daemon=True)
        process.start()
        port, token = ours.recv()
        for number, door in enumerate(options.doors.split(",")):
            path, kind = DOORS[door]
            size, runs = 0, {}
            for turn in range(options.repeat):
                contents = bodies(door, options.lines, seed=1000 * number + 100 * turn)
                size = sum(map(len, contents)) // len(contents)
                for name, where in (("door", path), ("peer", f"/peer/{door}")):
                    count = options.requests if name == "peer" or door != "bulk-ids" else len(contents)
                    many = [contents[at % len(contents)] for at in range(count)]
                    before = cpu_s(process.pid or 0)
                    seconds = send(port, token, where, kind, many, options.connections)
                    used = cpu_s(process.pid or 0) - before
                    rate = count * options.lines
                    runs.setdefault(name, []).append((rate / seconds, rate / max(used, 1 / TICKS)))
                ours.send("forget")
            (by_clock, by_cpu), (peer_clock, peer_cpu) = (
                tuple(statistics.median(column) for column in zip(*runs[name], strict=True))
                for name in ("door", "peer")
            )
            print(
                f"{door:<10} {size // 1000:>5} {by_clock:>10,.0f} {peer_clock:>10,.0f} {by_clock / peer_clock:>6.2f} "
                f"{by_cpu:>10,.0f} {peer_cpu:>10,.0f} {by_cpu / peer_cpu:>6.2f}",
                flush=True,
            )
        ours.send("stop")
        process.join(5)


if __name__ == "__main__":
    main()
