"""The page of metrics is an API: named and described by Prometheus' practice, and no larger for anything that strangers invent."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import msgspec
import pytest
from watched import Daemon, program, standing, until

from monitor.telemetry import Telemetry
from monitor.telemetry.happenings import FindingMade, LateEvents
from monitor.telemetry.meter import NAMES_MAX, OTHER
from monitor.telemetry.metrics import CATALOGUE

SERIES_MAX = 5_000
"""What all of a daemon's metrics may come to, whatever befalls it."""

INVENTED = 100_000
RULES = 130
BASE_UNITS = {"seconds": "_seconds", "bytes": "_bytes", "ratio": "_ratio", "seconds since 1970": "_timestamp_seconds"}


def test_promtool_finds_nothing_in_the_page_of_a_run(daemon):
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"], input=daemon.page(), text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_reader_of_openmetrics_is_given_that(daemon):
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    assert httpx.get(f"{daemon.url}/metrics", headers=accept).text.endswith("# EOF\n")


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_metric_is_named_for_its_unit_and_says_what_it_means(metric):
    name = metric.name.removesuffix("_total")
    assert re.fullmatch(r"miniwatch_[a-z]+(_[a-z]+)*", metric.name)
    if metric.unit in BASE_UNITS:
        assert name.endswith(BASE_UNITS[metric.unit])
    else:
        assert not name.endswith(tuple(BASE_UNITS.values()))
    assert metric.meaning.endswith((".", "; 0.", "1.", "0."))
    assert len(metric.meaning) <= 200
    assert not {"le", "job", "instance"} & metric.labels.keys()  # Prometheus has these for itself


def test_what_all_metrics_can_come_to_is_bounded():
    assert sum(metric.series_max for metric in CATALOGUE) < SERIES_MAX - 100  # the process's own are a dozen


def test_no_label_takes_more_names_than_its_bound_nor_longer_ones():
    telemetry = Telemetry(level="error")
    said = {"severity": "high", "kind": "rule", "scope": "AppId", "value": "wx1", "title": "T", "shadow": False}
    for number in range(INVENTED):
        telemetry.emit(FindingMade(finding="f", rule=f"rule-{number}", **said))
        telemetry.emit(LateEvents(source=f"file:/{number}/{'x' * 5_000}", events=1))
    for name, label in (("rule_findings", "rule"), ("events_late", "source")):
        told = [
            (sample.labels[label], sample.value)
            for family in telemetry.registry.collect()
            if family.name == f"miniwatch_{name}"
            for sample in family.samples
        ]
        assert len(told) == NAMES_MAX + 1
        assert dict(told)[OTHER] == INVENTED - NAMES_MAX
        assert max(len(value) for value, _ in told) <= 200


def test_a_hundred_thousand_invented_names_leave_the_series_under_their_bound(tmp_path: Path):
    rules, events = tmp_path / "rules", tmp_path / "events.ndjson"
    _write_rules(rules)
    daemon = Daemon(tmp_path, f'[rules]\nfolders = ["{rules}"]', [f"file:{events}?follow", "http:"])
    with events.open("wb") as file:
        for number in range(INVENTED):
            file.write(_attack(number))
    with standing(daemon):
        for number in range(60):
            httpx.get(
                f"{daemon.url}/metrics/{number}", headers={"Host": f"h{number}.example", "User-Agent": f"{number}"}
            )
        until(lambda: daemon.total("miniwatch_events_received_total") >= INVENTED, within_s=300, pause_s=1.0)
        series = daemon.series()
    assert len(series) < SERIES_MAX
    found = {labels["rule"] for name, labels, _ in series if name == "miniwatch_rule_findings_total"}
    assert OTHER in found
    assert len(found) == NAMES_MAX + 1
    invented = re.compile(r"wx[0-9a-f]{16}|invented")
    assert [labels for _, labels, _ in series for value in labels.values() if invented.search(value)] == []


def _write_rules(folder: Path) -> None:
    """Rules that each speak of one event code."""
    folder.mkdir()
    for number in range(RULES):
        rule = {
            "title": f"Rule {number}",
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "logsource": {"product": "miniprogram"},
            "detection": {"selection": {"event.code": f"code-{number}"}, "condition": "selection"},
            "level": "informational",
        }
        twin = folder / f"rule_{number}"
        twin.mkdir()
        (folder / f"rule_{number}.yml").write_bytes(msgspec.json.encode(rule))
        (twin / "hit.jsonl").write_bytes(_event(0, f"code-{number}"))
        (twin / "miss.jsonl").write_bytes(_event(1, "other"))


def _attack(number: int) -> bytes:
    """An event of an app, a host and a rule that nobody has heard of; few of them are what a rule looks for, which costs most."""
    return _event(number, f"code-{number // 50}" if number % 50 == 0 else f"invented-{number}")


def _event(number: int, code: str) -> bytes:
    host = f"invented-{number}.example"
    event = {
        "@timestamp": 1_772_500_000_000 + number,
        "event": {"id": f"e{number}", "dataset": "miniprogram.network", "action": "request", "code": code},
        "miniprogram": {"app_id": f"wx{number:016x}", "developer_id": f"invented-{number}"},
        "url": {"full": f"https://{host}/", "domain": host},
        "host": {"name": host},
        "rule": {"name": f"invented-{number}", "id": f"invented-{number}"},
        "log": {"file": {"path": f"/invented/{number}"}},
    }
    return msgspec.json.encode(event) + b"\n"
