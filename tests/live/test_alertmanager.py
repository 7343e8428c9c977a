"""Every incident of a simulated day reaches a real Alertmanager, though whoever stands before it fails, throttles and lies and we are killed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))

import journey
from alertmanager import AlertmanagerServer, Unreliable
from child import Plan
from server import running, until

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.clock import now_us
from monitor.kept import Kept
from monitor.responding.tending import close

pytestmark = pytest.mark.live

CHANNEL = Channel("alertmanager:main:1", Severity.LOW)
WITHIN_S = 90
"""How long a busy machine may take; what is waited for takes seconds."""


@pytest.fixture
def member() -> Iterator[AlertmanagerServer]:
    yield from running(AlertmanagerServer)


@pytest.fixture
def unreliable(member: AlertmanagerServer) -> Iterator[Unreliable]:
    server = Unreliable(member.url)
    yield server
    server.shutdown()
    server.server_close()


def _standing(data_dir: Path) -> set[tuple[str, str]]:
    """The episodes that are open, by the record."""
    kept = Kept.open(data_dir)
    try:
        found = kept.store.episodes(now_us(), 10_000)
        return {(clock.incident, clock.episode.value) for clock, _ in found if clock.stopped is None}
    finally:
        kept.store.close()


def _there(member: AlertmanagerServer) -> set[tuple[str, str]]:
    """The alerts that are not over, by Alertmanager."""
    return {
        (one["labels"]["incident"], one["labels"]["severity"])
        for one in member.alerts()
        if one["labels"]["alertname"] == "MiniwatchIncident"
    }


def _read(data_dir: Path) -> int:
    """Lines that were taken."""
    kept = Kept.open(data_dir)
    try:
        return sum(progress.received for progress in kept.store.progress().values())
    finally:
        kept.store.close()


def _said(data_dir: Path) -> dict[str, int]:
    kept = Kept.open(data_dir)
    try:
        return dict(kept.store.counts().messages_by_state)
    finally:
        kept.store.close()


def test_every_incident_of_a_day_reaches_it_and_what_is_closed_is_over(
    tmp_path: Path, member: AlertmanagerServer, unreliable: Unreliable
) -> None:
    source, data_dir = tmp_path / "day.ndjson", tmp_path / "data"
    source.write_bytes(b"".join(journey.troubled(seed=4, events=1300)))
    cluster = {
        "name": "main",
        "urls": [unreliable.url],
        "min_severity": "low",
        "resend_s": 5,
        "attempts_max": 100,
        "timeout_s": 5,
        "backoff_s_min": 0.05,
        "backoff_s_max": 1,
    }
    keys = {"batch__rows_max": 400, "alertmanagers": [cluster]}

    def plan(**more: object) -> Plan:
        return Plan(data_dir=str(data_dir), sources=[f"file:{source}?follow"], keys=keys, live=True, **more)

    for place, occurrence in (("commit:turn:done", 2), ("send:alertmanager:done", 1), ("commit:outbox", 3)):
        assert plan(at=place, occurrence=occurrence).run(WITHIN_S) == -signal.SIGKILL, place
    process = plan().start()
    try:
        until(lambda: len(unreliable.shown) == len(unreliable.MOODS), WITHIN_S)
        until(lambda: _read(data_dir) == len(source.read_bytes().splitlines()), WITHIN_S)
        until(lambda: set(_said(data_dir)) == {"sent"}, WITHIN_S)
        standing = _standing(data_dir)
        assert len(standing) > 4
        until(lambda: _there(member) == standing, WITHIN_S)

        over = sorted(standing)[:2]
        kept = Kept.open(data_dir)
        for incident, _ in over:
            close(kept.store, incident, actor="operator:ann", reason="done", now=now_us(), channels=[CHANNEL])
        kept.store.close()
        until(lambda: _there(member) == standing - set(over), WITHIN_S)

        member.kill()
        member.start()  # it has forgotten everything
        until(lambda: _there(member) == standing - set(over), WITHIN_S)
    finally:
        process.kill()
        process.join()
