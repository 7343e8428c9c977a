"""Each alert reaches its receiver; one that was sent and not recorded comes again under the same key."""

from __future__ import annotations

import errno
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import journey
import pytest
from child import Plan
from journey import configured, daemon, differences, outcome, refusing, watched

from monitor.kept import Kept

HOUR_US: Final = 3_600_000_000


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


def _keys(server: Receiver) -> dict[str, object]:
    webhook = {"name": "oncall", "url": f"http://127.0.0.1:{server.server_port}/", "min_severity": "low"}
    return {"batch__rows_max": 400, "webhooks": [webhook]}


def _plan(data_dir: Path, source: Path, server: Receiver, **more: object) -> Plan:
    return Plan(data_dir=str(data_dir), sources=[f"file:{source}"], keys=_keys(server), deliver=True, **more)


def test_an_alert_is_received_once_for_each_key_unless_we_die_before_we_note_it(source: Path, tmp_path: Path) -> None:
    with receiver() as calm, receiver() as server:
        assert _plan(tmp_path / "calm", source, calm).run() == 0
        killed = -signal.SIGKILL
        for _ in range(3):  # turns that wrote messages
            assert _plan(tmp_path / "data", source, server, at="commit:turn:done").run() == killed
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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full", "failing"])
def test_a_machine_that_refuses_a_send_or_its_receipt_costs_no_alert(source: Path, tmp_path: Path, number: int) -> None:
    """One alert meets each of them, an hour apart; it was sent every time but the first."""
    refused = ("send:webhook", "send:webhook:done", "commit:outbox", "commit:outbox:done", "")
    with receiver() as server:
        config = configured(tmp_path / "data", [source], **_keys(server))
        for hour, name in enumerate(refused):
            observer = refusing(lambda passed, time, name=name: passed == name and time == 1, number)
            with watched(observer), daemon(config, now=journey.NOW + hour * HOUR_US, deliver=True) as opened:
                opened.run()
    received = Counter(key for key, _ in server.received)
    assert sorted(received.values()) == [1] * (len(received) - 1) + [3]
    assert _states(tmp_path / "data") == {"sent": len(received)}


def _states(data_dir: Path) -> dict[str, int]:
    kept = Kept.open(data_dir)
    try:
        return dict(kept.store.counts().messages_by_state)
    finally:
        kept.store.close()
