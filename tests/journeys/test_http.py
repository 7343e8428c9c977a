"""Events that come over HTTP into a real daemon: whoever is killed, what was acknowledged is there once."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

import httpx
import journey
import pytest
from child import Plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journey import configured, daemon, differences, outcome
from ports import free_port

from monitor.clock import now_us
from monitor.intake import accounted
from monitor.kept import Kept
from monitor.sources.file import FileSource
from monitor.sources.spooled import SpoolSource
from monitor.spool.given import Given
from monitor.spool.spool import Spool
from monitor.stores import Progress
from monitor.tokens import Role, new_token

KEYS: Final[dict[str, object]] = {"batch__rows_max": 50, "snapshots__every_s": 1.0}
EVENTS: Final = 1200
BODY: Final = 10


class Sender:
    """A client that sends bodies in order, each under a key of its own, until each is acknowledged.

    Now and then it dies with half a body sent, or before it has seen the answer, and begins the body again.
    """

    def __init__(self, port: int, token: str, lines: list[bytes], seed: int) -> None:
        self._port = port
        self._head = {"Authorization": f"Bearer {token}"}
        self._bodies = [b"".join(lines[begin : begin + BODY]) for begin in range(0, len(lines), BODY)]
        self._chance = random.Random(seed)
        self.acknowledged = 0
        self.repeated = 0
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        for number, body in enumerate(self._bodies):
            while not self._is_taken(str(number), body):
                time.sleep(0.01)
            self.acknowledged += 1

    def _is_taken(self, key: str, body: bytes) -> bool:
        try:
            if self._chance.random() < 0.1:
                self._die(key, body, self._chance.random() < 0.5)
            headers = {**self._head, "Idempotency-Key": key}
            answer = httpx.post(f"http://127.0.0.1:{self._port}/v1/events", content=body, headers=headers, timeout=5)
        except (httpx.HTTPError, OSError):
            return False
        self.repeated += answer.status_code == 409
        assert answer.status_code in {200, 409, 429, 503}, answer.text
        return answer.status_code in {200, 409}

    def _die(self, key: str, body: bytes, is_half: bool) -> None:
        head = [f"{name}: {value}" for name, value in {**self._head, "Idempotency-Key": key, "Host": "x"}.items()]
        lines = ["POST /v1/events HTTP/1.1", *head, f"Content-Length: {len(body)}", "", ""]
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
            connection.sendall("\r\n".join(lines).encode() + body[: len(body) // 2 if is_half else None])


def _token(data_dir: Path) -> str:
    kept = Kept.open(data_dir)
    token, text = new_token("shipper", [Role.INGEST], created=0, expires=2**60, actor="operator:test")
    kept.store.add_token(token, "")
    kept.store.close()
    return text


@pytest.mark.parametrize("kills", [4, pytest.param(journey.KILLS, marks=pytest.mark.slow)])
def test_whoever_is_killed_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path: Path, kills: int) -> None:
    lines = journey.stream(3, EVENTS).splitlines(keepends=True)
    data, port, chance = tmp_path / "data", free_port(), random.Random(kills)
    data.mkdir()
    senders = [Sender(port, _token(data), lines[number::3], seed=number) for number in range(3)]
    plan = Plan(
        data_dir=str(data),
        sources=["http:"],
        keys={**KEYS, "http__listen": f"127.0.0.1:{port}", "http__requests_per_s_max": 10_000.0},
        live=True,
        every_turn=False,
        spool_segment_bytes=20_000,
    )
    for sender in senders:
        sender.thread.start()
    total = sum(-(-len(lines[number::3]) // BODY) for number in range(3))
    for number in range(kills):
        process = plan.start()
        until = time.monotonic() + 30
        while (
            sum(one.acknowledged for one in senders) < total * (number + 1) // (kills + 2) and time.monotonic() < until
        ):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.join()
    process = plan.start()
    for sender in senders:
        sender.thread.join(60)
        assert not sender.thread.is_alive()
    until = time.monotonic() + 30
    while _received(data) < len(lines) and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(1.5)  # the spool is cleared once a second
    os.kill(process.pid or 0, signal.SIGTERM)
    process.join(20)
    assert process.exitcode == 0
    found = outcome(data)
    assert found.totals["received"] == found.totals["processed"] == len(lines)
    assert (found.imbalance, found.totals["duplicate"], len(set(found.archived))) == (0, 0, len(lines))
    assert len(list((data / "spool").iterdir())) == 1
    assert sum(one.repeated for one in senders) > 0
    assert "spool_damaged" not in plan.log.read_text(encoding="utf-8")


def _received(data_dir: Path) -> int:
    connection = sqlite3.connect(f"file:{data_dir / 'miniwatch.db'}?mode=ro", uri=True)
    try:
        return int(connection.execute("select coalesce(sum(received), 0) from progress").fetchone()[0])
    finally:
        connection.close()


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """A stream whose collectors tell when each event arrived, so that it does not matter when it was sent."""
    return [line for line in journey.crowded(5, 40) if b'"ingested"' in line]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_however_the_stream_is_cut_into_bodies_and_reads_and_runs_the_outcome_is_that_of_a_file(
    lines: list[bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "events.ndjson"
    path.write_bytes(b"".join(lines))
    with daemon(configured(folder / "file", [path])) as opened:
        opened.run()
    config = configured(folder / "spooled", [])
    kept = Kept.open(config.data_dir)
    spool = Spool(kept.places.spool, kept.seal, bytes_max=1 << 30, floor=0, clock=lambda: journey.NOW)
    kept.store.close()
    cuts = sorted({0, len(lines), *data.draw(st.lists(st.integers(1, len(lines) - 1), max_size=12))})
    for begin, end in pairwise(cuts):
        spool.take([Given(b"".join(lines[begin:end]))])
    for stop_after in [*data.draw(st.lists(st.integers(1, 3), max_size=3)), None]:
        rows = data.draw(st.sampled_from([7, 60, 50_000]))
        config = configured(folder / "spooled", [], batch__rows_max=rows)
        left = [stop_after]
        with daemon(config, sources=[(SpoolSource(spool, follow=False), False)]) as opened:

            def count(_: object, opened: object = opened, left: list[int | None] = left) -> None:
                if left[0] is not None:
                    left[0] -= 1
                    if left[0] <= 0:
                        opened.stop()  # type: ignore[attr-defined]

            opened.run(count)
    assert differences(outcome(folder / "file"), outcome(folder / "spooled")) == {}


def test_after_a_spool_was_lost_in_the_middle_of_a_body_what_comes_next_is_read(
    lines: list[bytes], tmp_path: Path
) -> None:
    """Two sources merged by time, so that a turn ends in the middle of what was read of the spool."""
    beside = tmp_path / "beside.ndjson"
    beside.write_bytes(b"".join(lines[:60:3]))
    config = configured(tmp_path / "data", [], batch__rows_max=16)
    kept = Kept.open(config.data_dir)

    def run(folder: str, some: list[bytes], turns: int | None) -> Progress:
        floor = accounted(kept.store.progress().get("http:"))
        spool = Spool(tmp_path / folder, kept.seal, bytes_max=1 << 30, floor=floor, clock=lambda: journey.NOW)
        spool.take([Given(b"".join(some))])
        left = [turns]
        sources = [(SpoolSource(spool, follow=False), False), (FileSource(beside), False)]
        with daemon(config, sources=sources) as opened:

            def count(_: object) -> None:
                left[0] = left[0] - 1 if left[0] is not None else None
                if left[0] == 0:
                    opened.stop()

            opened.run(count)
        return kept.store.progress()["http:"]

    first = run("lost", lines[1:60:3], 1)
    assert accounted(first) > first.end
    assert run("new", lines[60:80], None).received == first.received + 20
    kept.store.close()


def test_a_daemon_is_not_ready_before_its_memory_is_that_of_the_record(tmp_path):
    followed = tmp_path / "events.ndjson"
    followed.write_bytes(b"".join(journey.troubled(seed=2, events=100)))
    listen = f"127.0.0.1:{free_port()}"
    config = configured(tmp_path / "data", [f"file:{followed}?follow"], http__listen=listen)
    with daemon(config, until_end=False, clock=now_us) as opened:
        answer = httpx.get(f"http://{listen}/readyz")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["recovering: bringing memory up to the record"])
        working = threading.Thread(target=opened.run)
        working.start()
        deadline = time.monotonic() + 60
        while httpx.get(f"http://{listen}/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert opened.has_recovered
        opened.stop()
        working.join()
