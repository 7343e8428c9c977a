"""Whatever stands where a person should, the daemon goes on, keeps what it can, and can be started again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from journey import configured, outcome, run

HOSTILE = {
    "a number": 13_812_345_678,
    "a list": ["o-abcdefgh", "o-ijklmnop"],
    "an object": {"openid": "o-abcdefgh"},
    "a part of the time": "2026-03-02T00",
    "a part of the event's own number": "17724096",
    "syntax": '"},"device":{"id":"',
    "a quote": 'person"of"quotes',
    "nested syntax": '","action":"',
}


@pytest.mark.drawn(6)
@pytest.mark.parametrize("person", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
def test_a_strange_person_costs_its_own_event_at_most(person: object, escaped: bool, tmp_path: Path) -> None:
    events = [_event(number, f"o-ordinary-person-{number}") for number in range(6)]
    events[2] = _event(2, person)
    lines = [json.dumps(event, separators=(",", ":")) for event in events]
    if escaped and isinstance(person, str):
        lines[2] = lines[2].replace(json.dumps(person), f'"\\u{ord(person[0]):04x}{json.dumps(person[1:])[1:]}')
    source = tmp_path / "events.ndjson"
    source.write_text("\n".join(lines) + "\n")
    for _ in range(2):
        run(configured(tmp_path / "data", [source], batch__rows_max=1))
        shutil.rmtree(tmp_path / "data" / "snapshots")
    found = outcome(tmp_path / "data")
    assert found.totals["received"] == 6
    assert found.totals["processed"] >= 5
    assert found.imbalance == 0
    for _, line in found.archived:
        told = json.loads(line)
        assert told["@timestamp"]
        assert len(told["user"]["id"]) == 32


EVASIVE = {
    "the dataset": "miniprogram",
    "the whole dataset": "miniprogram.network",
    "the action": "uploadFile",
    "the app": "wx0000000000000001",
    "the day": "2026-03-02T00",
    "a key": "@timestamp",
    "a short key": "action",
    "the domain": "evil.example",
    "the address": "http://plain.example/a",
    "the beginning of the address": "http://plain.example",
    "the scheme": "http",
}


@pytest.mark.parametrize("person", EVASIVE.values(), ids=EVASIVE)
@pytest.mark.parametrize("native", ["0", "1"], ids=["python", "kernel"])
def test_whatever_a_person_is_called_the_rules_see_the_event(
    person: str, native: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIWATCH_NATIVE", native)
    told = [_watched(tmp_path / name, who) for name, who in (("a", "somebody-ordinary"), ("b", person))]
    assert told[0][1], "nothing is found in the ordinary event"
    assert told[0] == told[1]


def _watched(folder: Path, device: str) -> tuple[list[object], list[tuple[str, str, int]]]:
    """What is kept of plain requests of one device, its name aside, and what is found: rule, scope and count."""
    events = []
    for number in range(6):
        event = {**_event(number, f"o-ordinary-person-{number}"), "device": {"id": device}}
        event["event"] = {"id": f"e{number}", "dataset": "miniprogram.network", "action": "uploadFile"}
        event["miniprogram"] = {"app_id": "wx0000000000000001", "api": "uploadFile"}
        event["url"] = {"original": "http://plain.example/a", "scheme": "http", "domain": "evil.example"}
        events.append(event)
    folder.mkdir()
    source = folder / "events.ndjson"
    source.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    run(configured(folder / "data", [source]))
    found = outcome(folder / "data")
    lines = [json.loads(line) for _, line in found.archived]
    assert all(len(line.pop("device")["id"]) == 32 for line in lines)
    findings = found.findings.values()
    return lines, sorted((one.rule.id, one.entity.scope, one.evidence.count) for one in findings)


def _event(number: int, person: object) -> dict[str, object]:
    return {
        "@timestamp": f"2026-03-02T00:00:0{number}.000Z",
        "event": {"id": f"e{number}", "dataset": "miniprogram.api", "action": "login", "duration": 1_772_409_600},
        "miniprogram": {"app_id": "wx0000000000000001"},
        "user": {"id": person},
        "device": {"id": f"device-of-nobody-{number}"},
    }
