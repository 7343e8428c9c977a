"""Whatever stands where a person should, the daemon goes on, keeps what it can, and can be started again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

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


def _event(number: int, person: object) -> dict[str, object]:
    return {
        "@timestamp": f"2026-03-02T00:00:0{number}.000Z",
        "event": {"id": f"e{number}", "dataset": "miniprogram.api", "action": "login", "duration": 1_772_409_600},
        "miniprogram": {"app_id": "wx0000000000000001"},
        "user": {"id": person},
        "device": {"id": f"device-of-nobody-{number}"},
    }
