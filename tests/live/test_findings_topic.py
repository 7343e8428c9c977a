"""The topic of findings on a real broker: whatever dies, each finding stands there as the record has it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from consumer import read
from server import until

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))

import journey
from child import Plan

from monitor.kept import Kept

pytestmark = pytest.mark.live

BOUNDARIES = ("send:topic", "send:topic:done", "commit:topic", "commit:topic:done", "commit:turn:done")


def test_whatever_dies_each_finding_is_told_as_it_stands(tmp_path, fresh_kafka):
    source, data = tmp_path / "events.ndjson", tmp_path / "data"
    source.touch()
    topic = {"name": "siem", "of": "findings", "brokers": [fresh_kafka.bootstrap], "topic": "findings", "again_s": 1.0}
    keys = {"topics": [topic], "batch__rows_max": 400}
    lines = journey.stream(seed=4, events=2400).splitlines(keepends=True)
    portion = len(lines) // len(BOUNDARIES)
    for number, boundary in enumerate(BOUNDARIES):
        plan = Plan(data_dir=str(data), sources=[f"file:{source}?follow"], keys=keys, live=True, at=boundary)
        process = plan.start()
        with source.open("ab") as file:
            file.write(b"".join(lines[number * portion : (number + 1) * portion]))
        process.join(20)
        if number == 2:
            fresh_kafka.kill()
            fresh_kafka.start()
        assert process.exitcode is not None, boundary
    process = Plan(data_dir=str(data), sources=[f"file:{source}?follow"], keys=keys, live=True).start()
    kept = Kept.open(data)
    try:
        until(lambda: sum(one.received for one in kept.store.progress().values()) == portion * len(BOUNDARIES), 60)
        until(lambda: _told(fresh_kafka.bootstrap) == _stored(kept), 60)
        assert len(_stored(kept)) > 20
    finally:
        process.kill()
        process.join()
        kept.store.close()


def _stored(kept: Kept) -> dict[str, int]:
    return {each.id: each.evidence.count for each in kept.store.findings()}


def _told(bootstrap: str) -> dict[str, int]:
    """What was written last of each finding."""
    values = [json.loads(record.value) for record in read(bootstrap, "findings")]
    return {value["id"]: value["evidence"]["count"] for value in values}
