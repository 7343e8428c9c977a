"""Rules over the past find what they found when it was the present: by the sources, and by the archive."""

from __future__ import annotations

import msgspec
import pytest
from journey import configured, crowded, outcome, run, troubled

from detectors.finding import Finding
from detectors.sigma import SigmaDetector
from monitor.backtest.record import PastRecord
from monitor.backtest.rerun import past_of, rerun
from monitor.content.in_force import rules_of


def gone_through(config, **held):
    """The findings of the configured rules over the past, and the record of it."""
    found: dict[str, Finding] = {}
    rules = rules_of(config).rules
    windows = {rule.id for rule in rules if rule.is_correlation}
    record = PastRecord(lambda finding: found.update({finding.id: finding}), whole_at_once=windows, **held)
    with past_of(config) as past:
        rerun(past, [SigmaDetector(rules, config.rules.window_events_max)], record)
    return found, record


def left_alone():
    """A stream that ends long after all others with a window of one app, whose times nobody confirms."""
    last = [msgspec.json.decode(line) for line in crowded(3, bursts=9, troubled=False, begun_s=90_000)]
    for event in last:
        event["event"].pop("ingested", None)
    return [*crowded(7), *(msgspec.json.encode(event) + b"\n" for event in last[:8])]


STREAMS = {"troubled": lambda: troubled(5, 3_000), "crowded": lambda: crowded(7), "left alone": left_alone}


@pytest.mark.parametrize("name", STREAMS)
def test_the_rules_that_ran_find_the_same_again(tmp_path, name):
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"".join(STREAMS[name]()))
    config = configured(tmp_path / "data", [file], batch__rows_max=700)
    run(config)
    live = outcome(config.data_dir)
    assert len(live.findings) > 20

    found, record = gone_through(config)
    assert found == live.findings
    assert record.decisions == live.decisions
    assert record.events == live.totals["processed"]
    assert dict(record.letters) == live.dead_letters

    found, record = gone_through(configured(tmp_path / "data", [], batch__rows_max=1_100))
    assert found == live.findings
    assert record.decisions == live.decisions
    assert outcome(config.data_dir) == live


def test_of_a_daemon_that_was_stopped_the_archive_gives_what_it_had_found(tmp_path):
    file = tmp_path / "events.ndjson"
    lines = crowded(7)
    file.write_bytes(b"".join(lines))
    config = configured(tmp_path / "data", [file], batch__rows_max=40)
    assert not run(config, stop_after=5, lot_bytes=6_000)
    found, _ = gone_through(configured(tmp_path / "data", []))
    assert found == outcome(config.data_dir).findings
