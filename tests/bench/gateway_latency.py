"""From an event to the gateway that refuses: p50 and p99 of the whole way and of its parts, beside a stream at half of what saturates.

    python tests/bench/gateway_latency.py [--by http|file] [--offences N] [--load EVENTS_PER_S]

Needs HAProxy. A real daemon with the built-in rules; each offence is one event about an app of its own, which a stateless
rule finds. Timed from before the event is sent (or appended to a followed file) until a call of that app is first refused.
Without --load, the most that the daemon takes in is measured first, and half of it sent beside. Figures are of this machine.
"""

# ruff: noqa: E402 - what the tests of the gateway stand on is found beside them

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
sys.path[:0] = [
    str(TESTS / "deploy" / "gateway"),
    str(TESTS / "surroundings"),
    str(TESTS.parent / "deploy" / "gateway"),
]

from loop import TOOLS, AgentProgram, Miniwatch
from miniwatch_gateway.miniwatch import Miniwatch as Client
from standing import Gateway, Platform, now_ms

from detectors import kernel
from monitor.simulate import simulate

PLAYBOOK: Final = """\
name: quick
title: A development build is removed at once
priority: 500
match:
  behaviours: [18]
steps:
  - tier: throttle
    when: {risk: 1}
    actions:
      - {type: captcha, for: 1h}
"""
BUDGETS: Final = """
[budgets]
throttle_per_h = 50000
all_per_h = 50000
rule_per_h = 50000
rule_share_max = 1.0
tier_share_max = 1.0
all_share_max = 1.0
[guards]
new_rule_h = 0.0
"""
BODY_LINES: Final = 1000
BODIES: Final = 60


class Traffic:
    """Bodies of ordinary events, each with the time at which it is sent."""

    def __init__(self, miniwatch: Miniwatch):
        lines = b"".join(simulate(5, 20_000, apps=200, duration_s=600, kinds=frozenset())).splitlines(keepends=True)
        # They come now: what came long ago would hold all acts.
        lines = [re.sub(rb',"ingested":"[^"]*"', b"", line) for line in lines]
        self._parts = [re.split(rb'"@timestamp":(?:"[^"]*"|\d+)', line, maxsplit=1) for line in lines]
        self._miniwatch, self._at, self.sent = miniwatch, 0, 0
        self._leaving = threading.Event()

    def body(self) -> bytes:
        """The next events; each has an id of its own."""
        stamp = b'"@timestamp":%d' % now_ms()
        parts = [self._parts[(self._at + n) % len(self._parts)] for n in range(BODY_LINES)]
        self._at += BODY_LINES
        own = b'"id":"n%d-' % self._at
        return b"".join(stamp.join(part).replace(b'"id":"', own, 1) for part in parts)

    def saturate(self) -> float:
        """Events a second from the first sent to the last committed, when they are sent as fast as they are taken."""
        bodies = [self.body() for _ in range(BODIES)]
        before = _processed(self._miniwatch)
        begun = time.monotonic()
        if not all(self._miniwatch.send(body) for body in bodies):
            sys.exit("the daemon does not take what it is sent")
        while _processed(self._miniwatch) < before + BODIES * BODY_LINES:
            time.sleep(0.02)
        return BODIES * BODY_LINES / (time.monotonic() - begun)

    def run(self, per_s: float) -> None:
        """Send so many events a second, until told to leave."""
        due = time.monotonic()
        while not self._leaving.is_set():
            if self._miniwatch.send(self.body()):
                self.sent += BODY_LINES
            due = max(due + BODY_LINES / per_s, time.monotonic() - 1)
            self._leaving.wait(max(0.0, due - time.monotonic()))

    def leave(self) -> None:
        self._leaving.set()


def _processed(miniwatch: Miniwatch) -> int:
    connection = sqlite3.connect(f"file:{miniwatch.data / 'miniwatch.db'}?mode=ro", uri=True)
    try:
        return int(connection.execute("select coalesce(sum(received), 0) from progress").fetchone()[0])
    finally:
        connection.close()


class Told:
    """Follows the list of changes beside the agent: when each app's decision was told."""

    def __init__(self, miniwatch: Miniwatch):
        self._client = Client(f"http://127.0.0.1:{miniwatch.port}", miniwatch.token_file, None)
        self.times: dict[str, float] = {}
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        position = 0
        while True:
            try:
                answer = self._client.changes(position, 20)
            except Exception:  # noqa: BLE001 - the daemon goes first when all is over
                return
            now, position = time.monotonic(), answer.position
            for decision in answer.in_force:
                self.times.setdefault(decision.value, now)


class Asker:
    """One kept connection to the gateway, and the shortest way to ask: statuses alone."""

    def __init__(self, gateway: Gateway):
        self._socket = socket.create_connection(("127.0.0.1", gateway.port), 5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __call__(self, app: str) -> int:
        self._socket.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\nX-Miniprogram-App-Id: %s\r\n\r\n" % app.encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self._socket.recv(65536)
        return int(answer.split(b" ", 2)[1])


def offence(app: str) -> bytes:
    """One event that the rule on development tools finds."""
    event = {"id": f"{app}-{now_ms()}", "dataset": "miniprogram.gateway", "action": "access"}
    referrer = TOOLS.format(app=app)
    return (
        json.dumps(
            {
                "@timestamp": now_ms(),
                "event": event,
                "miniprogram": {"app_id": app},
                "http": {"request": {"referrer": referrer}},
            }
        )
        + "\n"
    ).encode()


def percentiles(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 for share in (0.5, 0.99))
    print(f"{what:44} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   worst {ordered[-1] * 1000:7.1f} ms")


def stages(miniwatch: Miniwatch) -> dict[str, tuple[float, float]]:
    """Seconds and turns of each stage so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{miniwatch.port}/metrics") as answer:
        text = answer.read().decode()
    sums, counts = (
        dict(re.findall(rf'(?m)^miniwatch_stage_seconds_{part}{{stage="(\w+)"}} (\S+)$', text))
        for part in ("sum", "count")
    )
    return {stage: (float(sums[stage]), float(counts[stage])) for stage in sums}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--by", choices=("http", "file"), default="http")
    parser.add_argument("--offences", type=int, default=300)
    parser.add_argument("--load", type=float)
    given = parser.parse_args()
    haproxy = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
    if haproxy is None:
        sys.exit("HAProxy is needed")
    print(f"native kernel: {kernel.standing()}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        platform = stack.enter_context(Platform())
        gateway = stack.enter_context(Gateway(haproxy, folder, platform.port))
        followed = folder / "gateway.ndjson"
        followed.touch()
        sources = ("http:", f"file:{followed}?follow") if given.by == "file" else ("http:",)
        miniwatch = stack.enter_context(Miniwatch(folder / "miniwatch", PLAYBOOK, sources, BUDGETS))
        stack.enter_context(AgentProgram(gateway, miniwatch))
        traffic = Traffic(miniwatch)
        load = traffic.saturate() / 2 if given.load is None else given.load
        if given.load is None:
            load = traffic.saturate() / 2  # once more: the first was a start
        print(f"beside it {load:,.0f} events a second, of {load * 2:,.0f} at most")
        if load:
            threading.Thread(target=traffic.run, args=(load,), daemon=True).start()
            stack.callback(traffic.leave)
        told, ask, parts = Told(miniwatch), Asker(gateway), {"ack": [], "told": [], "refused": [], "whole": []}
        time.sleep(3)
        before = stages(miniwatch)
        for number in range(given.offences):
            app = f"wxoffence{number:05}"
            begun = time.monotonic()
            if given.by == "http":
                assert miniwatch.send(offence(app))
            else:
                with followed.open("ab") as lines:
                    lines.write(offence(app))
            taken = time.monotonic()
            while ask(app) != 428:
                if time.monotonic() - begun > 20:
                    sys.exit(f"{app} was not refused within 20 s")
                time.sleep(0.001)
            refused = time.monotonic()
            time.sleep(0.02)
            decided = told.times.get(app, refused)
            parts["ack"].append(taken - begun)
            parts["told"].append(max(decided - taken, 0.0))
            parts["refused"].append(refused - max(decided, taken))
            parts["whole"].append(refused - begun)
        traffic.leave()
        for stage, (seconds, turns) in stages(miniwatch).items():
            spent, taken = seconds - before.get(stage, (0, 0))[0], turns - before.get(stage, (0, 0))[1]
            print(f"  of a turn, {stage:30} {1000 * spent / max(taken, 1):7.1f} ms in {taken:,.0f} turns")
    percentiles("sent and on disk" if given.by == "http" else "appended to the file", parts["ack"])
    percentiles("read, found, decided, committed and told", parts["told"])
    percentiles("taken up by the agent, refused by HAProxy", parts["refused"])
    percentiles("event to refusal", parts["whole"])


if __name__ == "__main__":
    main()
