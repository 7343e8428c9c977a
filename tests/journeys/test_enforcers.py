"""From a finding to the receiver of penalties: wherever the daemon is killed, it ends with just what is in force, each key with one body."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import journey
import msgspec
import pytest
from child import Plan

from monitor.kept import Kept
from monitor.notifiers.alert import told_time
from playbooks.decision import Mode

SECRET = "a secret of both"
KILLED = -signal.SIGKILL
BOUNDARIES = ("commit:turn", "commit:turn:done", "send:enforcer", "send:enforcer:done", "commit:outbox", "commit:outbox:done")  # fmt: skip


class Receiver(ThreadingHTTPServer):
    """Checks signatures, takes each key once, and knows what is in force."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.in_force: dict[str, str] = {}
        self.bodies: dict[str, bytes] = {}
        self.problems: list[str] = []
        self.arrived: dict[str, float] = {}

    def take(self, key: str, signature: str, body: bytes) -> None:
        with self.lock:
            if not _is_genuine(signature, body):
                self.problems.append(f"{key} is not signed")
            if self.bodies.setdefault(key, body) != body:
                self.problems.append(f"{key} came with another body")
            if key in self.arrived:
                return
            self.arrived[key] = time.time()
            told = msgspec.json.decode(body)
            if told["Event"] == "wxa_punish_event":
                self.in_force[told["punish_id"]] = told["miniwatch"]["expires"]
            else:
                self.in_force.pop(told["punish_id"], None)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # whoever sent it is gone
            return
        self.server.take(self.headers["Idempotency-Key"], self.headers["Miniwatch-Signature"], body)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


def _is_genuine(header: str, body: bytes) -> bool:
    """As docs/penalties.md says how to check it."""
    stated, _, signed = header.partition(",v1=")
    seconds = stated.removeprefix("t=")
    expected = hmac.new(SECRET.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signed, expected) and abs(time.time() - int(seconds)) < 300


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Installation:
    """A daemon that follows a file and tells the receiver."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.data, self.source, self.receiver = folder / "data", folder / "events.ndjson", receiver
        self.source.touch()
        secret = folder / "secret"
        secret.touch(0o600)
        secret.write_text(SECRET)
        url = f"http://127.0.0.1:{receiver.server_port}/"
        scopes = ["AppId", "DeviceId", "OpenId", "Ip", "DeveloperId"]
        enforcer = {"name": "platform", "url": url, "secret_file": str(secret), "scopes": scopes, "backoff_s_max": 1.0}
        self.keys: dict[str, object] = {"enforcers": [enforcer], "batch__rows_max": 400}

    def plan(self, at: str = "") -> Plan:
        source = f"file:{self.source}?follow"
        return Plan(data_dir=str(self.data), sources=[source], keys=self.keys, live=True, at=at)

    def write(self, lines: list[bytes]) -> None:
        with self.source.open("ab") as file:
            file.write(b"".join(lines))

    def in_force(self) -> dict[str, str]:
        kept = Kept.open(self.data)
        try:
            live = kept.store.decisions_in_force(0, [Mode.LIVE])
            return {each.id: told_time(each.expires) for each in live}
        finally:
            kept.store.close()

    def agrees(self) -> bool:
        return self.receiver.in_force == self.in_force() != {}


def _until(holds: Callable[[], bool], within_s: float = 30) -> bool:
    until = time.monotonic() + within_s
    while not holds() and time.monotonic() < until:
        time.sleep(0.1)
    return holds()


def test_killed_at_every_boundary_the_receiver_ends_with_what_is_in_force(tmp_path: Path, receiver: Receiver) -> None:
    installed = Installation(tmp_path, receiver)
    lines = journey.stream(seed=4, events=2400).splitlines(keepends=True)
    portion = len(lines) // len(BOUNDARIES)
    for number, name in enumerate(BOUNDARIES):
        installed.write(lines[number * portion : (number + 1) * portion])
        assert (name, installed.plan(name).run()) == (name, KILLED)
    process = installed.plan().start()
    assert _until(installed.agrees)
    one = min(receiver.in_force)
    _revoke(installed.data, one, installed.keys, tmp_path)
    assert _until(lambda: one not in receiver.in_force, 10)
    assert _until(installed.agrees)
    os.kill(process.pid, signal.SIGTERM)
    process.join(20)
    assert process.exitcode == 0
    assert receiver.problems == []
    assert len(receiver.bodies) > 3


def _revoke(data: Path, key: str, keys: dict[str, object], folder: Path) -> None:
    """By the command line, in a process of its own: it tells enforcers too."""
    (enforcer,) = keys["enforcers"]  # type: ignore[misc]
    config = folder / "config.toml"
    told = "\n".join(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in enforcer.items())
    config.write_text(f'data_dir = "{data}"\n[[enforcers]]\n{told}\n')
    command = [sys.executable, "-c", "from monitor.cli import main; main()", "decisions", "revoke", key]
    subprocess.run([*command, "--reason", "a mistake", "--config", str(config)], check=True, capture_output=True)
