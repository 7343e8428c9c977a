"""Bad lines cost themselves, and a database that another holds costs time: nothing else is lost."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

import journey
import polars as pl
import pytest
from journey import Outcome, configured, daemon, differences, outcome, run
from sqlalchemy import event
from typer.testing import CliRunner

from detectors.event import LINE, MICROSECONDS
from detectors.sigma.match import Matcher
from detectors.statistical.series import Series
from detectors.statistical.windows import Window
from monitor.app import Daemon, health_of
from monitor.cli.tree import app
from monitor.clock import now_us
from monitor.containment import FaultWatch
from monitor.decoders import Decoded
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door
from monitor.simulate import bad_lines
from monitor.sources import SourceError

EVENTS: Final = 20_000
SEED: Final = 11


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Outcome]:
    """A simulated stream and what it comes to."""
    folder = tmp_path_factory.mktemp("clean")
    data = journey.stream(SEED, EVENTS, duration_s=3600)
    (folder / "events.ndjson").write_bytes(data)
    run(configured(folder / "data", [folder / "events.ndjson"]))
    return data, outcome(folder / "data")


def test_one_bad_line_in_a_hundred_costs_these_lines_and_nothing_else(
    clean: tuple[bytes, Outcome], tmp_path: Path
) -> None:
    data, expected = clean
    mixed, truth = bad_lines([data], EVENTS, SEED, share=0.01)
    (tmp_path / "events.ndjson").write_bytes(b"".join(mixed))
    run(configured(tmp_path / "data", [tmp_path / "events.ndjson"]))
    found = outcome(tmp_path / "data")
    assert found.dead_letters == {kind.value: count for kind, count in truth.items()}
    bad = sum(truth.values())
    assert (found.totals["received"], found.totals["processed"]) == (EVENTS + bad, EVENTS)
    assert found.totals["dead_lettered"] == bad
    assert found.imbalance == 0
    apart = {name for name in differences(expected, found) if not name.startswith(("dead_letters", "totals"))}
    assert apart == set()


def test_a_database_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    lines = journey.troubled(seed=3, events=1300)
    (tmp_path / "events.ndjson").write_bytes(b"".join(lines))
    run(configured(tmp_path / "calm", [tmp_path / "events.ndjson"]))
    log = io.StringIO()
    with daemon(configured(tmp_path / "data", [tmp_path / "events.ndjson"], batch__rows_max=400), log) as opened:
        _shorten_patience(opened.kept.store)
        holder = threading.Thread(target=_hold, args=(opened.kept.places.database, 3.0))
        holder.start()
        time.sleep(0.2)
        opened.run()
        holder.join()
    assert differences(outcome(tmp_path / "calm"), outcome(tmp_path / "data")) == {}
    assert "locked" in log.getvalue()
    assert log.getvalue().count("store_stalled") == log.getvalue().count("store_resumed") == 1


def _shorten_patience(store) -> None:
    """So that three seconds are long: the daemon itself waits five before it says anything."""
    engine = store._database.engine
    engine.dispose()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 300"))


def _hold(database: Path, seconds: float) -> None:
    """Hold the write lock as another process would."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()


class _Trapped(Door):
    """A door with a fault that some lines bring out."""

    def admit(self, decoded: Decoded, fields: frozenset[str], *, suspected: bool = False) -> Decoded:
        if decoded.frame[LINE].str.contains("trap", literal=True).any():
            raise ZeroDivisionError
        return super().admit(decoded, fields, suspected=suspected)


def test_a_fault_at_the_door_costs_the_lines_that_bring_it_out(clean: tuple[bytes, Outcome], tmp_path: Path) -> None:
    data, expected = clean
    lines = data.splitlines(keepends=True)
    for place in (0, 7_000, 7_001, len(lines)):
        lines.insert(place, b'{"@timestamp":"2026-03-02T08:00:00Z","message":"trap"}\n')
    (tmp_path / "events.ndjson").write_bytes(b"".join(lines))
    log = io.StringIO()
    with daemon(configured(tmp_path / "data", [tmp_path / "events.ndjson"]), log) as opened:
        (intake,) = opened.pipeline.intakes
        intake.native = None
        intake.door = _Trapped(opened.kept.people(opened.config), NdjsonDecoder())
        opened.run()
    found = outcome(tmp_path / "data")
    assert found.dead_letters == {"fault": 4}
    assert found.imbalance == 0
    assert {name for name in differences(expected, found) if not name.startswith(("dead_letters", "totals"))} == set()
    assert log.getvalue().count("line_faulted") == 4


def _faulty(opened: Daemon) -> None:
    """Let every line bring out a fault."""
    (intake,) = opened.pipeline.intakes
    intake.native = None
    intake.door = _Broken(opened.kept.people(opened.config), NdjsonDecoder())


class _Broken(Door):
    """A door with a fault that every line brings out."""

    def admit(self, decoded: Decoded, fields: frozenset[str], *, suspected: bool = False) -> Decoded:
        if decoded.frame.height:
            raise ZeroDivisionError
        return super().admit(decoded, fields, suspected=suspected)


def test_a_source_of_which_every_line_brings_out_a_fault_is_left_alone_and_loses_nothing(
    clean: tuple[bytes, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, expected = clean
    monkeypatch.setattr("monitor.containment.LINES_WATCHED", 50)
    monkeypatch.setattr("monitor.stream.resting.REST_S", (0.05, 0.1))
    (tmp_path / "events.ndjson").write_bytes(data)
    log = io.StringIO()
    config = configured(tmp_path / "data", [f"file:{tmp_path / 'events.ndjson'}?follow"])
    with daemon(config, log, until_end=False) as opened:
        pipeline = opened.pipeline
        door = pipeline.intakes[0].door
        _faulty(opened)
        pipeline.recover()
        for _ in range(3):
            assert pipeline.turn()
        (why,) = health_of(opened).failing_sources.values()
        assert "most lines bring out a fault of the program (ZeroDivisionError at" in why
        assert opened.kept.store.progress() == {}
        pipeline.intakes[0].door = door
        while pipeline.intakes[0].progress.received < EVENTS:
            pipeline.turn()
        assert health_of(opened).failing_sources == {}
    assert log.getvalue().count("source_failed") == 1
    assert outcome(tmp_path / "data").totals["processed"] == expected.totals["processed"]


def test_a_run_to_the_end_stops_at_such_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.containment.LINES_WATCHED", 50)
    (tmp_path / "events.ndjson").write_bytes(journey.stream(SEED, 300))
    with daemon(configured(tmp_path / "data", [tmp_path / "events.ndjson"])) as opened:
        _faulty(opened)
        with pytest.raises(SourceError, match="most lines bring out a fault"):
            opened.run()
    assert outcome(tmp_path / "data").totals["received"] == 0


def test_a_daemon_that_looks_for_faults_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_bytes(journey.stream(SEED, 300))
    with daemon(configured(tmp_path / "data", [tmp_path / "events.ndjson"])) as opened:
        _faulty(opened)
        told = []
        opened.pipeline.intakes[0].watch = FaultWatch(lambda fault: (told.append(fault), opened.stop()))
        opened.run()
    assert len(told) == 1
    assert outcome(tmp_path / "data").totals["received"] == 0


def _failing_with(monkeypatch: pytest.MonkeyPatch, word: str, rule: str) -> None:
    """Let a rule bring out a fault with every event that has this word."""
    match = Matcher.match

    def failing(self: Matcher, frame: pl.DataFrame) -> dict[str, object]:
        if any(one.id == rule for one in self.rules) and frame[LINE].str.contains(word, literal=True).any():
            raise IndexError
        return match(self, frame)

    monkeypatch.setattr(Matcher, "match", failing)


def test_an_event_with_which_a_rule_cannot_go_on_is_overlooked_and_no_other_is(
    clean: tuple[bytes, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, expected = clean
    _failing_with(monkeypatch, "trap", next(iter(expected.findings.values())).rule.id)
    lines = data.splitlines(keepends=True)
    for place in (0, 7_000, len(lines)):
        lines.insert(place, b'{"@timestamp":"2026-03-02T08:00:00Z","message":"trap","event":{"id":"t%d"}}\n' % place)
    (tmp_path / "events.ndjson").write_bytes(b"".join(lines))
    log = io.StringIO()
    run(configured(tmp_path / "data", [tmp_path / "events.ndjson"]), log=log)
    found = outcome(tmp_path / "data")
    assert found.counts == expected.counts
    assert found.totals["processed"] == EVENTS + 3
    assert log.getvalue().count("event_overlooked") == 3


def test_a_rule_that_cannot_go_on_is_left_out_and_the_others_watch_on(
    clean: tuple[bytes, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, expected = clean
    rule = next(iter(expected.findings.values())).rule.id
    _failing_with(monkeypatch, "timestamp", rule)
    (tmp_path / "events.ndjson").write_bytes(data)
    with daemon(configured(tmp_path / "data", [tmp_path / "events.ndjson"]), now=now_us() + MICROSECONDS) as opened:
        opened.run()
        gone = {one.entry.subject for one in opened.kept.store.audit_entries() if one.entry.action == "rule.suspend"}
        assert rule in gone
        assert any(f"rule {rule} is suspended" in why for _, why in health_of(opened).others)
        told = CliRunner().invoke(app, ["doctor", "--data-dir", str(tmp_path / "data"), "-o", "ndjson"]).stdout
        assert f"rule {rule} was left out" in told
    found = outcome(tmp_path / "data")
    assert found.totals["processed"] == EVENTS
    assert found.counts == {
        key: expected.counts[key] for key, one in expected.findings.items() if one.rule.id not in gone
    }


def test_statistics_that_cannot_go_on_are_left_out_and_rules_watch_on(
    clean: tuple[bytes, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, expected = clean

    def failing(_self: Series, _window: Window) -> None:
        raise IndexError

    monkeypatch.setattr(Series, "close", failing)
    (tmp_path / "events.ndjson").write_bytes(data)
    with daemon(configured(tmp_path / "data", [tmp_path / "events.ndjson"]), now=now_us() + MICROSECONDS) as opened:
        opened.run()
        (entry,) = (one.entry for one in opened.kept.store.audit_entries() if one.entry.action == "rule.suspend")
        assert (entry.subject, opened.pipeline.lineup.statistics) == ("statistical", None)
        assert any("statistics are suspended" in why for _, why in health_of(opened).others)
        told = CliRunner().invoke(app, ["doctor", "--data-dir", str(tmp_path / "data"), "-o", "ndjson"]).stdout
        assert "rule statistical was left out" in told
    found = outcome(tmp_path / "data")
    assert found.counts == expected.counts
    assert found.totals["processed"] == EVENTS
