"""What the daemon tells of a run adds up to what it leaves in its record."""

from __future__ import annotations

import io
import json

import journey
import pytest
from journey import configured, daemon, outcome

SOURCES = ("one", "two")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory):
    """A run over two files: its folder, its accounts, its lines and its metrics."""
    folder = tmp_path_factory.mktemp("telling")
    for place, name in enumerate(SOURCES):
        (folder / name).write_bytes(b"".join(journey.troubled(seed=3 + place, events=1300)))
    config = configured(folder / "data", [folder / name for name in SOURCES], batch__rows_max=400)
    log = io.StringIO()
    with daemon(config, log) as opened:
        opened.run()
        registry, progress = opened.telemetry.registry, opened.kept.store.progress()
    return folder, progress, [json.loads(line) for line in log.getvalue().splitlines()], registry


@pytest.mark.parametrize("label", ["late", "duplicate", "future"])
def test_labelled_events_are_counted_for_the_source_they_came_from(told, label: str) -> None:
    _, progress, _, registry = told
    counted = {
        name: registry.get_sample_value(f"miniwatch_events_{label}_total", {"source": name}) for name in progress
    }
    assert counted == {name: getattr(account, label) for name, account in progress.items()}
    assert all(counted.values())


def test_every_incident_is_told_once_when_it_is_opened(told) -> None:
    folder, _, lines, registry = told
    opened = [line["incident"] for line in lines if line["event"] == "incident_opened"]
    recorded = outcome(folder / "data").incidents
    counted = sum(
        registry.get_sample_value("miniwatch_incidents_opened_total", {"severity": severity})
        for severity in {incident.severity for incident in recorded.values()}
    )
    assert len(opened) == len(set(opened))
    assert set(opened) <= set(recorded)
    assert counted == len(recorded)


def test_a_source_that_has_given_all_is_told_once_with_where_that_is(told) -> None:
    _, progress, lines, _ = told
    ended = [(line["source"], line["position"]) for line in lines if line["event"] == "source_ended"]
    assert sorted(ended) == sorted((name, account.end) for name, account in progress.items())
