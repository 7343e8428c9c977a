"""Each alert reaches its receiver; one that was sent and not recorded comes again under the same key."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import journey
import pytest
from child import Plan
from journey import differences, outcome

from monitor.app import Kept


class Receiver(ThreadingHTTPServer):
    """Takes alerts and remembers them in their order, by their keys."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.headers["Idempotency-Key"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"".join(journey.troubled(seed=4, events=1300)))
    return path


def _plan(data_dir: Path, source: Path, server: Receiver, **more: object) -> Plan:
    webhook = {"name": "oncall", "url": f"http://127.0.0.1:{server.server_port}/", "min_severity": "low"}
    keys = {"batch__rows_max": 400, "webhooks": [webhook]}
    return Plan(data_dir=str(data_dir), sources=[f"file:{source}"], keys=keys, deliver=True, **more)


def test_an_alert_is_received_once_for_each_key_unless_we_die_before_we_note_it(source: Path, tmp_path: Path) -> None:
    with receiver() as calm, receiver() as server:
        assert _plan(tmp_path / "calm", source, calm).run() == 0
        killed = -signal.SIGKILL
        assert _plan(tmp_path / "data", source, server, at="send:webhook").run() == killed
        assert server.received == []
        assert _plan(tmp_path / "data", source, server, at="send:webhook:done", occurrence=2).run() == killed
        assert len(server.received) == 2
        assert _plan(tmp_path / "data", source, server, at="commit:outbox:done").run() == killed
        assert _plan(tmp_path / "data", source, server).run() == 0
    keys = [key for key, _ in calm.received]
    assert len(keys) == len(set(keys)) > 4
    assert set(server.received) == set(calm.received)
    assert [key for key, _ in server.received] == [*keys[:2], keys[1], *keys[2:]]
    assert differences(outcome(tmp_path / "calm"), outcome(tmp_path / "data")) == {}
    assert _states(tmp_path / "data") == {"sent": len(keys)}


def _states(data_dir: Path) -> dict[str, int]:
    kept = Kept.open(data_dir)
    try:
        return dict(kept.store.counts().messages_by_state)
    finally:
        kept.store.close()
