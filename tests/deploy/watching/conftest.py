"""One daemon with a life to watch, and one Prometheus that scrapes it, for all tests of a session that ask."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from watched import Daemon, Receiver, simulated, standing, until

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

[[enforcers]]
name = "platform"
url = "{taking}"

[snapshots]
every_s = 1.0
"""


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    """It reads a file that goes on, takes events over HTTP, tells one receiver that takes everything and one that takes nothing."""
    folder = tmp_path_factory.mktemp("watched")
    events = simulated(folder, "--seed", "8", "--events", "20000", "--apps", "60", "--bad-share", "0.01")
    taking, refusing = Receiver(200), Receiver(500)
    running = Daemon(
        folder, CONFIG.format(taking=taking.url, refusing=refusing.url), [f"file:{events}?follow", "http:"]
    )
    running.do("apps", "import", str(folder / "apps.ndjson"))
    with standing(running):
        until(lambda: running.total("miniwatch_events_received_total") >= 20_000)
        yield running
    taking.close()
    refusing.close()
