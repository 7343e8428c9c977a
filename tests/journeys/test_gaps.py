"""Logs in which nobody tells when events arrived, and in which for hours nothing happens: written by hand, or of few users."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from journey import Outcome, configured, differences, outcome, run

from monitor.app import open_daemon
from monitor.telemetry import Telemetry

BEGUN_MS = 1_772_438_400_000
"""2026-03-02T08:00:00Z."""

YEARS = 5 * 365 * 24 * 60.0


def event(minute: float, app: str = "A") -> bytes:
    """A payment that is declined; five by one device within ten minutes are too many."""
    return _line(minute, app, {"dataset": "miniprogram.payment", "action": "requestPayment"}, "-15020")


def other(minute: float, app: str = "B") -> bytes:
    """A call that no rule minds."""
    return _line(minute, app, {"dataset": "miniprogram.api", "action": "getSystemInfo"}, "0")


def _line(minute: float, app: str, event: dict[str, str], code: str) -> bytes:
    body = {
        "event": event,
        "miniprogram": {"app_id": app},
        "device": {"id": f"device-of-{app}"},
        "error": {"code": code},
    }
    return msgspec.json.encode({"@timestamp": BEGUN_MS + round(minute * 60_000), **body}) + b"\n"


def _ran(
    data: Path, lines: Sequence[bytes], *, lot_bytes: int | None = None, log: io.StringIO | None = None
) -> Outcome:
    """The outcome of reading these lines to their end; again in the same folder, of reading on."""
    source = data / "events.ndjson"
    data.mkdir(parents=True, exist_ok=True)
    source.write_bytes(b"".join(lines))
    run(configured(data / "data", [source], rules__builtin=True), lot_bytes=lot_bytes, log=log)
    return outcome(data / "data")


def windows(found: Outcome) -> list[tuple[str, float, int]]:
    """Of each window that fired: whom it accuses, at which minute, and how many events it counted."""
    fired = [one for one in found.findings.values() if "count" in one.evidence.values]
    return sorted((one.entity.value, (one.time // 1000 - BEGUN_MS) / 60_000, one.evidence.count) for one in fired)


lots = pytest.mark.parametrize("lot_bytes", [None, 100])


@lots
def test_an_event_hours_later_is_not_counted_with_those_before_it(tmp_path: Path, lot_bytes: int | None) -> None:
    found = _ran(tmp_path, [event(minute) for minute in (0, 1, 2, 3, 240)], lot_bytes=lot_bytes)
    assert windows(found) == []
    assert found.totals["future"] == 0


@lots
def test_the_first_event_after_hours_is_counted_with_those_after_it(tmp_path: Path, lot_bytes: int | None) -> None:
    found = _ran(tmp_path, [event(minute) for minute in (0, 240, 241, 242, 243, 244)], lot_bytes=lot_bytes)
    assert [(minute, count) for _, minute, count in windows(found)] == [(244, 5)]


@lots
def test_an_app_that_is_the_only_one_to_go_on_is_judged_at_the_end_of_the_log(
    tmp_path: Path, lot_bytes: int | None
) -> None:
    lines = [event(0), other(0.1), other(0.2), *(event(240 + minute) for minute in range(5))]
    found = _ran(tmp_path, lines, lot_bytes=lot_bytes)
    assert [(minute, count) for _, minute, count in windows(found)] == [(244, 5)]
    assert [decision.time for decision in found.decisions.values()] == [(BEGUN_MS + 244 * 60_000) * 1000]


def test_what_was_said_at_the_end_is_not_said_again_when_the_log_goes_on(tmp_path: Path) -> None:
    lines = [event(0), other(0.1), *(event(240 + minute) for minute in range(5))]
    first = _ran(tmp_path, lines)
    assert differences(first, _ran(tmp_path, lines)) == {}
    found = _ran(tmp_path, [*lines, other(245), event(246), other(247)])
    assert windows(found) == windows(first)
    assert found.totals["late"] == found.totals["future"] == 0


def test_what_was_foreseen_at_the_end_is_not_taken_for_granted_when_the_log_goes_on(tmp_path: Path) -> None:
    """What comes out of order then is counted among the rest."""
    lines = [event(0), other(0.1), *(event(240 + minute) for minute in range(4))]
    assert windows(_ran(tmp_path, lines)) == []
    found = _ran(tmp_path, [*lines, event(239.5), other(244), other(244.1, "C")])
    assert [(minute, count) for _, minute, count in windows(found)] == [(243, 5)]


def test_a_last_line_that_is_years_ahead_makes_nothing_late_when_the_log_goes_on(tmp_path: Path) -> None:
    lines = [event(0), other(0.1), event(1), event(2), event(YEARS, "F")]
    _ran(tmp_path, lines)
    found = _ran(tmp_path, [*lines, other(2.5), event(3), event(4), other(4.5)])
    assert found.totals["late"] == 0
    assert [(minute, count) for _, minute, count in windows(found)] == [(4, 5)]


def test_who_claims_to_be_years_ahead_is_judged_by_when_it_came(tmp_path: Path) -> None:
    lines = [line for minute in range(5) for line in (other(minute), event(YEARS + 1000 * minute, "F"))]
    found = _ran(tmp_path, [other(0), other(0, "C"), *lines, other(5)])
    assert [(minute, count) for _, minute, count in windows(found)] == [(4, 5)]
    assert found.totals["future"] == 5


def test_two_logs_each_with_its_own_gaps_are_read_as_one(tmp_path: Path) -> None:
    sources = [tmp_path / "a.ndjson", tmp_path / "b.ndjson"]
    sources[0].write_bytes(b"".join(event(minute) for minute in (0, 1, 2, 240, 241, 480)))
    sources[1].write_bytes(b"".join(event(minute) for minute in (2.5, 3, 239, 240.5, 242)))
    run(configured(tmp_path / "data", sources))
    fired = windows(outcome(tmp_path / "data"))
    assert [(minute, count) for _, minute, count in fired] == [(3, 5), (242, 5)]


def test_in_a_followed_log_the_first_app_of_the_morning_is_judged_when_it_falls_silent(tmp_path: Path) -> None:
    """The clock waits for another app; lateness is measured by it all the same, and what was said is not said again."""
    source = tmp_path / "events.ndjson"
    source.write_bytes(event(0) + other(0.1) + b"".join(event(240 + minute) for minute in range(5)))
    config = configured(tmp_path / "data", [f"file:{source}?follow"])
    now = (BEGUN_MS + 300 * 60_000) * 1000
    with open_daemon(
        config, Telemetry(level="info", log_format="json", stream=io.StringIO()), clock=lambda: now
    ) as live:
        live.pipeline.settings = dataclasses.replace(live.pipeline.settings, idle_s=0.0, wait_s=0.0)
        live.pipeline.recover()
        for _ in range(4):
            live.pipeline.turn()
        assert live.pipeline.watermark == (BEGUN_MS + 6_000) * 1000
        morning = outcome(tmp_path / "data")
        with source.open("ab") as file:
            file.write(other(1) + other(245) + event(245) + other(246))
        for _ in range(4):
            live.pipeline.turn()
        live.pipeline.finish()
    later = outcome(tmp_path / "data")
    assert [(minute, count) for _, minute, count in windows(morning)] == [(244, 5)]
    assert windows(later) == windows(morning)
    assert later.totals["late"] == later.totals["future"] == 0
