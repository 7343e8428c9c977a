"""One daemon with a life to watch, and one Prometheus that scrapes it, for all tests of a session that ask."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import yaml
from watched import DEPLOY, Daemon, Prometheus, Receiver, simulated, standing, until

AT_FIRST = 4_000
"""Lines in the file; what comes after them is sent when somebody watches."""

CONFIG = """
[[webhooks]]
name = "oncall"
url = "{taking}"
min_severity = "low"

[[webhooks]]
name = "silent"
url = "{refusing}"
attempts_max = 2
backoff_s_min = 0.1

[[alertmanagers]]
name = "main"
urls = ["{taking}"]
resend_s = 5

[[enforcers]]
name = "platform"
url = "{taking}"

[oncall.acknowledge_h]
medium = 0.0001

[incidents.due_h]
high = 0.002

[snapshots]
every_s = 1.0
"""


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    """It reads a file that goes on, takes events over HTTP, tells one receiver that takes everything and one that takes nothing."""
    folder = tmp_path_factory.mktemp("watched")
    events = simulated(folder, "--seed", "8", "--events", "6000", "--apps", "40", "--bad-share", "0.01")
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join(lines[:AT_FIRST]))
    (folder / "later.ndjson").write_bytes(b"".join(lines[AT_FIRST:]))
    taking, refusing = Receiver(200), Receiver(500)
    running = Daemon(
        folder, CONFIG.format(taking=taking.url, refusing=refusing.url), [f"file:{events}?follow", "http:"]
    )
    running.do("apps", "import", str(folder / "apps.ndjson"))
    with standing(running):
        until(lambda: running.total("miniwatch_events_received_total") >= AT_FIRST)
        _tend(running)
        yield running
    taking.close()
    refusing.close()


def _tend(running):
    """Do what people do: see one incident in time, answer and close another."""
    lines = running.do("incidents", "list", "--severity", "high", "-o", "ndjson").splitlines()
    first, second, *_ = (json.loads(line)["id"] for line in lines)
    running.do("incidents", "ack", first)
    running.do("incidents", "close", second, "--reason", "seen to")


@pytest.fixture(scope="session")
def prometheus(daemon, tmp_path_factory):
    """It scrapes the daemon every second and works out our rules as often, and has done so for a while."""
    folder = tmp_path_factory.mktemp("prometheus")
    for name in ("miniwatch.rules.yml", "miniwatch.alerts.yml"):
        rules = yaml.safe_load((DEPLOY / "prometheus" / name).read_text())
        groups = [{**group, "interval": "1s"} for group in rules["groups"]]
        (folder / name).write_text(yaml.safe_dump({"groups": groups}))
    running = Prometheus(
        folder,
        {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["miniwatch.*.yml"],
            "scrape_configs": [
                {"job_name": "miniwatch", "static_configs": [{"targets": [f"127.0.0.1:{daemon.port}"]}]}
            ],
        },
    )
    with standing(running):
        until(lambda: running.ask("query", query="count_over_time(miniwatch_ready[1m]) > 2")["result"])
        daemon.more()
        for true in (
            "job:miniwatch_slo_latency_errors:ratio_rate1h",
            "miniwatch_archive_events > 0 and miniwatch_snapshot_timestamp_seconds > 0",
            'count_over_time((miniwatch_events_received_total{source="http:"} > 1000)[5m:1s]) > 5',
            'increase(miniwatch_incident_clock_breaches_total{clock="respond",severity="high"}[1m]) > 0',
            'miniwatch_incident_answer_seconds{clock="resolve"}',
            "increase(miniwatch_alerts_resent_total[1m]) > 0",
        ):
            until(lambda true=true: running.ask("query", query=true)["result"])
        yield running
