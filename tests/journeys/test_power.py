"""The power goes while events come over HTTP: what was acknowledged is there once, whatever the disk had not been made to keep."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from served import Served

BODY = 4
BOUNDARIES = (
    "write:spool",
    "fsync:spool",
    "fsync:spool:done",
    "write:spool-segment",
    "fsync:spool-segment",
    "rename:spool-segment",
    "rename:spool-segment:done",
    "write:spool-ids",
    "fsync:spool-ids",
    "rename:spool-ids",
    "rename:spool-ids:done",
    "unlink:spool",
    "fsync:folder",
    "commit:turn",
)


class Sender(threading.Thread):
    """Sends requests of several events in order, each until it is answered: under a key, as documents with ids, or with neither."""

    def __init__(self, served: Served, kind: str) -> None:
        super().__init__(daemon=True)
        self._served = served
        self._kind = kind
        self._stopping = threading.Event()
        self.acknowledged = 0

    def run(self) -> None:
        while not self._stopping.is_set():
            first = self.acknowledged * BODY
            while not self._is_taken(first):
                time.sleep(0.01)
            self.acknowledged += 1

    def stop(self) -> int:
        """Send what was begun to its end; how many events were acknowledged."""
        self._stopping.set()
        self.join(60)
        assert not self.is_alive()
        return self.acknowledged * BODY

    def _is_taken(self, first: int) -> bool:
        events = [
            json.dumps({"@timestamp": "2026-03-02T10:00:00Z", "name": f"{self._kind}-{number}"})
            for number in range(first, first + BODY)
        ]
        headers = {"Authorization": f"Bearer {self._served.token}"}
        path = "/v1/events"
        if self._kind == "key":
            headers["Idempotency-Key"] = str(first)
        if self._kind == "ids":
            path = "/_bulk"
            actions = [json.dumps({"create": {"_id": str(number)}}) for number in range(first, first + BODY)]
            events = [line for pair in zip(actions, events, strict=True) for line in pair]
        try:
            answer = httpx.post(self._served.url + path, content="\n".join(events) + "\n", headers=headers, timeout=5)
        except httpx.HTTPError:
            return False
        assert answer.status_code in {200, 409, 429, 503}, answer.text
        return answer.status_code in {200, 409}


@pytest.mark.parametrize(
    "occurrence", [3, pytest.param(1, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow)]
)
def test_one_power_cut_after_another_costs_nothing_acknowledged_and_brings_nothing_twice(
    tmp_path: Path, occurrence: int
) -> None:
    served = Served(tmp_path, segment_bytes=2500)
    senders = [Sender(served, kind) for kind in ("key", "ids", "none")]
    for sender in senders:
        sender.start()
    for name in BOUNDARIES:
        process = served.start(at=name, occurrence=occurrence, power_cut=True)
        process.join(60)
        assert (name, process.exitcode) == (name, -signal.SIGKILL)
    served.start()
    acknowledged = sum(sender.stop() for sender in senders)
    found = served.ended(acknowledged)
    names = served.counted("name")
    assert set(names.values()) == {1}
    assert names.total() == acknowledged == found.totals["received"] == found.totals["processed"]
    assert found.totals["duplicate"] == found.imbalance == 0
    assert "spool_damaged" not in served.plan().log.read_text(encoding="utf-8")
