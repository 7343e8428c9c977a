"""What came due while nobody looked is told and noted also of an incident that has become more severe before anybody looked again."""

import pytest
from sqlalchemy import select
from town import Town

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.responding.clocks_told import ClockWatch
from monitor.stores import tables
from playbooks.clocks import Targets
from playbooks.testing import NOON, finding

SECOND = 1_000_000
MINUTE_S = 60
CHANNELS = (
    Channel("webhook:oncall", Severity.LOW),
    Channel("webhook:boss", Severity.LOW, is_second=True),
    Channel("pagerduty:a", Severity.LOW),
    Channel("pagerduty:b", Severity.LOW, is_second=True),
)
TARGETS = Targets(
    acknowledge_s=dict.fromkeys(Severity, 10 * MINUTE_S),
    respond_s=dict.fromkeys(Severity, 40 * MINUTE_S),
    resolve_s=dict.fromkeys(Severity, 100 * MINUTE_S),
)
EVER = 10**6


def lived(folder, looked_s):
    """An incident that becomes critical after half an hour; its clocks are looked at at these seconds, and at last."""
    folder.mkdir(exist_ok=True)
    town = Town(folder, channels=CHANNELS, targets=TARGETS)
    steps = [
        (0, finding(severity="high")),
        (30 * MINUTE_S, finding(severity="critical", after_s=30 * MINUTE_S, rule="r2")),
    ]
    for at_s, one in sorted([*steps, *((at_s, None) for at_s in (*looked_s, EVER))], key=lambda step: step[0]):
        town.now_s = at_s
        if one is None:
            ClockWatch(town.store, CHANNELS, lambda: town.now).look()
        else:
            town.turn([one])
    return town


def told(town):
    with town.store._database.reading() as connection:
        rows = connection.execute(select(tables.outbox.c.key, tables.outbox.c.created)).all()
    return {key: (created - NOON) // SECOND for key, created in rows}


def breaches(town):
    entries = [one.entry for one in town.store.audit_entries() if one.entry.action == "incident.breach"]
    return sorted((entry.before, (entry.time - NOON) // SECOND) for entry in entries)


@pytest.mark.parametrize("looked_s", [(), (301,), (29 * MINUTE_S,), (30 * MINUTE_S + 1, 31 * MINUTE_S)])
def test_whenever_it_was_looked_the_same_is_told_and_noted(tmp_path, looked_s):
    always = lived(tmp_path / "always", range(0, 120 * MINUTE_S, MINUTE_S))
    town = lived(tmp_path / "now_and_then", looked_s)
    assert told(town) == told(always)
    assert breaches(town) == breaches(always)
    for each in (always, town):
        each.close()


def test_nobody_has_to_look_for_a_breach_to_be_told_before_what_it_gives_way_to(tmp_path):
    town = lived(tmp_path, ())
    with town.store._database.reading() as connection:
        rows = connection.execute(select(tables.outbox).order_by(tables.outbox.c.place)).mappings().all()
    for channel in ("pagerduty:a", "pagerduty:b"):
        keys = [
            row["key"].rpartition(":high:")[2] for row in rows if row["channel"] == channel and ":high:" in row["key"]
        ]
        assert keys[-1] == "superseded"
        assert "acknowledge:100" in keys
    assert ("acknowledge", 10 * MINUTE_S) in breaches(town)
    settled = {(one.kind.value, one.severity.value): one.missed for one in town.store.settled_clocks(0)}
    assert settled["acknowledge", "high"] == 1
    town.close()
