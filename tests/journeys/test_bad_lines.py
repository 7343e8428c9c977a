"""Bad lines cost themselves, and a database that another holds costs time: nothing else is lost."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

import journey
import pytest
from journey import Outcome, configured, daemon, differences, outcome, run
from sqlalchemy import event

from detectors.event import LINE
from monitor.decoders import Decoded
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door
from monitor.simulate import bad_lines

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
