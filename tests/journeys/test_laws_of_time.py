"""Windows and the arrival clock depend on what the events say, and not on how they are read, cut, stopped or shuffled."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import journey
import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from journey import Outcome, configured, differences, outcome, run

from monitor.intake.timeline import ALONE

few = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # to shrink what fails would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # `fresh` gives every example its own folder
)
"""An example is two runs of the daemon: a second or two each."""

seeds = st.integers(0, 99)
rows = st.sampled_from([35, 120, 50_000])
lots = st.sampled_from([900, 5_000, 32 << 20])
"""Bytes read at once: the smallest are three or four lines."""


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    """A new empty folder for each run."""
    numbers = iter(range(1000))
    return lambda: tmp_path / str(next(numbers))


def _ran(folder: Path, lines: Sequence[bytes], *, lot_bytes: int | None = None, **keys: object) -> Outcome:
    """The outcome of reading these lines to their end."""
    run(configured(folder / "data", [_written(folder, lines)], **keys), lot_bytes=lot_bytes)
    return outcome(folder / "data")


def _written(folder: Path, lines: Sequence[bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "events.ndjson"
    place.write_bytes(b"".join(lines))
    return place


def test_the_crowded_stream_has_windows_firing_all_along_and_clocks_that_are_wrong(tmp_path: Path) -> None:
    found = _ran(tmp_path, journey.crowded(seed=3))
    fired = [finding for finding in found.findings.values() if "count" in finding.evidence.values]
    assert len(fired) > 50
    assert len({finding.rule.id for finding in fired}) >= 3
    assert found.totals["future"] > 10
    assert 5 < found.totals["late"] < 30


@few
@given(seed=seeds, rows_max=rows, lot_bytes=lots)
def test_reading_and_cutting_otherwise_changes_nothing(
    fresh: Callable[[], Path], seed: int, rows_max: int, lot_bytes: int
) -> None:
    lines = journey.crowded(seed)
    whole = _ran(fresh(), lines)
    found = _ran(fresh(), lines, lot_bytes=lot_bytes, batch__rows_max=rows_max)
    assert differences(whole, found) == {}


def test_the_clock_is_carried_from_lot_to_lot(tmp_path: Path) -> None:
    """Each lot begins with another line, a forged one too: alone it would be believed."""
    lines = journey.crowded(seed=5)
    whole = _ran(tmp_path / "whole", lines)
    found = _ran(tmp_path / "lots", lines, lot_bytes=600, batch__rows_max=100)
    assert differences(whole, found) == {}


@few
@given(seed=seeds, rows_max=st.sampled_from([35, 120]))
def test_order_within_lateness_does_not_matter_to_windows(fresh: Callable[[], Path], seed: int, rows_max: int) -> None:
    lines = journey.crowded(seed, troubled=False)
    chance = random.Random(seed)
    shuffled = sorted(lines, key=lambda line: _happened_ms(line) + chance.uniform(0, 1_000))
    whole, found = _ran(fresh(), lines), _ran(fresh(), shuffled, batch__rows_max=rows_max)
    assert shuffled != lines
    assert whole.totals["late"] == found.totals["late"] == 0
    assert found.counts == whole.counts


def _happened_ms(line: bytes) -> int:
    return int(msgspec.json.decode(line)["@timestamp"])


@few
@given(seed=seeds, rows_max=rows, lot_bytes=lots)
def test_times_that_one_app_forges_take_no_finding_from_others(
    fresh: Callable[[], Path], seed: int, rows_max: int, lot_bytes: int
) -> None:
    """Nobody tells when the events arrived; the first line is forged, and so are many in a row."""
    lines = [_untold(line, number) for number, line in enumerate(journey.crowded(seed, troubled=False))]
    whole = _ran(fresh(), lines)
    found = _ran(fresh(), _with_forged_runs(lines, seed), lot_bytes=lot_bytes, batch__rows_max=rows_max)
    assert len(whole.findings) > 20
    assert found.findings == whole.findings
    assert found.totals["late"] == whole.totals["late"] == 0


def _untold(line: bytes, number: int) -> bytes:
    """A line of one of three apps that does not say when it arrived."""
    event = msgspec.json.decode(line)
    event["event"].pop("ingested", None)
    event["miniprogram"]["app_id"] = f"wx{number % 3}"
    return msgspec.json.encode(event) + b"\n"


def _with_forged_runs(lines: Sequence[bytes], seed: int) -> list[bytes]:
    """With runs of events of one app, as long as they may be, that claim to be of years ahead."""
    mixed: list[bytes] = []
    for number, line in enumerate(lines):
        if number % 40 == 0:
            for forged in range(ALONE - 1 - seed % 2):
                ahead_ms = (number + 10 * forged) * 365 * 86_400_000 // 40 + 5 * 365 * 86_400_000
                event = {"id": f"forged-{number}-{forged}", "action": "login"}
                claim = {"@timestamp": _happened_ms(line) + ahead_ms, "event": event, "miniprogram": {"app_id": "wxF"}}
                mixed.append(msgspec.json.encode(claim) + b"\n")
        mixed.append(line)
    return mixed


def test_a_stream_of_a_single_event_lets_time_come_up_to_it_and_no_metric_tells_a_time_before_all(
    tmp_path: Path,
) -> None:
    line = _untold(journey.crowded(seed=4, bursts=1)[0], 0)
    with journey.daemon(configured(tmp_path / "data", [_written(tmp_path, [line])])) as opened:
        opened.run()
        assert opened.pipeline.watermark == _happened_ms(line) * 1000
        told = [sample for family in opened.pipeline.telemetry.registry.collect() for sample in family.samples]
        assert [
            sample.value
            for sample in told
            if sample.name == "miniwatch_watermark_timestamp_seconds" and sample.value < 0
        ] == []
    assert outcome(tmp_path / "data").totals["processed"] == 1


legs = st.lists(
    st.tuples(st.integers(1, 9), rows, lots, st.sampled_from(["kept", "lost", "emptied", "older"])),
    min_size=2,
    max_size=4,
)


@few
@given(seed=seeds, legs=legs)
def test_stopping_between_turns_and_going_on_changes_nothing(
    fresh: Callable[[], Path], seed: int, legs: list[tuple[int, int, int, str]]
) -> None:
    lines = journey.crowded(seed)
    whole = _ran(fresh(), lines)
    folder = fresh()
    source = _written(folder, lines)
    for turns, rows_max, lot_bytes, memory in legs:
        keys = {"batch__rows_max": min(rows_max, 50)}
        run(configured(folder / "data", [source], **keys), stop_after=turns, lot_bytes=lot_bytes)
        _spoil(folder / "data" / "snapshots", memory)
    run(configured(folder / "data", [source], batch__rows_max=150))
    assert differences(whole, outcome(folder / "data")) == {}


def _spoil(snapshots: Path, memory: str) -> None:
    """What becomes of the detectors' memory between two runs; an emptied frame is whole, and not what was written."""
    newest = max(snapshots.iterdir())
    if memory == "lost":
        shutil.rmtree(snapshots)
    elif memory == "emptied":
        for frame in newest.glob("*.arrow"):
            pl.read_ipc(frame.read_bytes()).clear().write_ipc(frame)
    elif memory == "older":
        shutil.rmtree(newest)


def test_a_restart_remembers_how_far_time_came_when_nothing_was_read(tmp_path: Path) -> None:
    """At an end of the input, time comes up to the latest event and windows fire; no archived event tells of it."""
    lines = journey.crowded(seed=7)
    ends = range(100, len(lines), 100)
    calm, forgetful = tmp_path / "calm", tmp_path / "forgetful"
    for folder in (calm, forgetful):
        for end in (*ends, len(lines)):
            run(configured(folder / "data", [_written(folder, lines[:end])]))
            if folder is forgetful:
                shutil.rmtree(max((folder / "data" / "snapshots").iterdir()))
    assert differences(outcome(calm / "data"), outcome(forgetful / "data")) == {}


def test_an_event_that_comes_too_late_is_so_as_the_first_after_a_restart_too(tmp_path: Path) -> None:
    lines = journey.crowded(seed=8, troubled=False)
    lines.insert(200, lines.pop(120))
    source = _written(tmp_path, lines)
    run(configured(tmp_path / "data", [source], batch__rows_max=200), stop_after=1)
    run(configured(tmp_path / "data", [source]))
    whole = _ran(tmp_path / "whole", lines)
    assert whole.totals["late"] == 1
    assert differences(whole, outcome(tmp_path / "data")) == {}
