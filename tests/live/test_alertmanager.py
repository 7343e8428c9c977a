"""Every incident of a simulated day reaches every member of a real Alertmanager, though one stands behind somebody who fails, throttles and lies, the
other is away at first, and we are killed again and again.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))

from alertmanager import AlertmanagerServer, Unreliable
from child import Plan
from server import running, until

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.clock import now_us
from monitor.kept import Kept
from monitor.responding.tending import close
from monitor.simulate import simulate
from monitor.stores.clocks import Episodes
from monitor.stores.sql import SqlStore

pytestmark = pytest.mark.live

SEED: Final = 5
EVENTS: Final = 100_000
HOUR_US: Final = 3_600_000_000
INCIDENTS_MIN: Final = 15
WITHIN_S: Final = 90
"""How long a busy machine may take; what is waited for takes seconds."""

CHANNELS: Final = tuple(Channel(f"alertmanager:main:{number}", Severity.INFORMATIONAL) for number in (1, 2))
KILLS: Final = (
    ("commit:turn:done", 3),
    ("send:alertmanager:done", 1),
    ("commit:turn", 4),
    ("commit:outbox", 5),
    ("send:alertmanager", 4),
)
"""At which passing of which durable boundary each life ends."""


@pytest.fixture
def behind() -> Iterator[AlertmanagerServer]:
    yield from running(AlertmanagerServer)


@pytest.fixture
def other() -> Iterator[AlertmanagerServer]:
    yield from running(AlertmanagerServer)


@pytest.fixture
def unreliable(behind: AlertmanagerServer) -> Iterator[Unreliable]:
    server = Unreliable(behind.url)
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def _record(data_dir: Path) -> Iterator[SqlStore]:
    kept = Kept.open(data_dir)
    try:
        yield kept.store
    finally:
        kept.store.close()


def _standing(store: SqlStore) -> set[tuple[str, str]]:
    """The episodes that are open, by the record."""
    found = store.episodes(Episodes(ended_after=now_us()), 10_000)
    return {(clock.incident, clock.episode.value) for clock, _ in found if clock.stopped is None}


def _there(member: AlertmanagerServer) -> set[tuple[str, str]]:
    """The alerts that are not over, by Alertmanager."""
    return {
        (one["labels"]["incident"], one["labels"]["severity"])
        for one in member.alerts()
        if one["labels"]["alertname"] == "MiniwatchIncident"
    }


def _read(store: SqlStore) -> int:
    """Lines that were taken."""
    return sum(progress.received for progress in store.progress().values())


def test_every_incident_of_a_day_reaches_every_member_and_what_is_closed_is_over(
    tmp_path: Path, behind: AlertmanagerServer, other: AlertmanagerServer, unreliable: Unreliable
) -> None:
    source, data_dir = tmp_path / "day.ndjson", tmp_path / "data"
    source.write_bytes(b"".join(simulate(SEED, EVENTS)))
    cluster = {
        "name": "main",
        "urls": [unreliable.url, other.url],
        "min_severity": "informational",
        "resend_s": 5,
        "attempts_max": 1000,
        "timeout_s": 5,
        "backoff_s_min": 0.05,
        "backoff_s_max": 1,
    }
    keys = {"batch__rows_max": 4_000, "alertmanagers": [cluster]}
    plan = {"data_dir": str(data_dir), "sources": [f"file:{source}?follow"], "keys": keys, "live": True}
    members = (behind, other)

    other.kill()
    for place, occurrence in KILLS:
        life = Plan(**plan, every_turn=False, at=place, occurrence=occurrence)
        assert life.run(WITHIN_S) == -signal.SIGKILL, place
    other.start()
    process = Plan(**plan, every_turn=False).start()
    try:
        with _record(data_dir) as store:
            until(lambda: len(unreliable.shown) == len(unreliable.MOODS), WITHIN_S)
            until(lambda: _read(store) == EVENTS, WITHIN_S)
            until(lambda: set(store.counts().messages_by_state) == {"sent"}, WITHIN_S)
            incidents, standing = list(store.incidents()), _standing(store)
            opened = sorted(incident.opened for incident in incidents)
            assert len(incidents) >= INCIDENTS_MIN
            assert opened[-1] - opened[0] > 16 * HOUR_US
            assert {incident.id for incident in incidents} == {key for key, _ in standing}
            for member in members:
                until(lambda member=member: _there(member) == standing, WITHIN_S)

            over = sorted(standing)[:3]
            _close(store, over[0])
            for member in members:
                until(lambda member=member: _there(member) == standing - set(over[:1]), WITHIN_S)
            process.kill()
            process.join()
            for one in over[1:]:
                _close(store, one)  # nobody is there to say so
            for member in members:
                member.kill()
                member.start()  # it has forgotten everything
            process = Plan(**plan, every_turn=False).start()
            for member in members:
                until(lambda member=member: _there(member) == standing - set(over), WITHIN_S)
    finally:
        process.kill()
        process.join()


def _close(store: SqlStore, episode: tuple[str, str]) -> None:
    close(store, episode[0], actor="operator:ann", reason="done", now=now_us(), channels=CHANNELS)
