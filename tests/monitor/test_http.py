"""The daemon's own pages over HTTP."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.console.http import Health, HttpServer
from monitor.telemetry import Telemetry
from monitor.telemetry.happenings import LateEvents

GOOD = Health(heartbeat_age_s=0.1)


class Site:
    """A running server whose health a test can set."""

    def __init__(self, listen: str = "127.0.0.1:0"):
        self.health = GOOD
        self.telemetry = Telemetry(stream=io.StringIO())
        self.server = HttpServer(listen, self.telemetry, lambda: self.health)
        self.server.start()

    def get(self, path: str, **options) -> httpx.Response:
        return httpx.request(options.pop("method", "GET"), f"http://127.0.0.1:{self.server.port}{path}", **options)


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.server.stop()


def test_the_page_of_metrics_parses_and_counts(site: Site):
    site.telemetry.emit(LateEvents(source="stdin:", events=3))
    page = site.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(page.text)}
    assert page.headers["Content-Type"].startswith("text/plain")
    assert families["miniwatch_events_late"].samples[0].value == 3
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    assert site.get("/metrics", headers=wanted).text.endswith("# EOF\n")


def test_the_pipeline_lives_while_its_heart_beats(site: Site):
    assert (site.get("/healthz").status_code, site.get("/healthz").json()["status"]) == (200, "alive")
    site.health = Health(heartbeat_age_s=31.0)
    assert (site.get("/healthz").status_code, site.get("/healthz").json()["status"]) == (503, "dead")


def test_all_reasons_for_not_being_ready_are_given(site: Site):
    assert site.get("/readyz").json() == {"status": "ready", "reasons": []}
    site.health = Health(
        heartbeat_age_s=1.0,
        store_stalled="disk full",
        failing_sources={"file:/a": "no such file"},
        lag_bytes={"file:/b": 2**31, "file:/c": 5, "stdin:": None},
        others=("recovering",),
    )
    answer = site.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [
        "recovering",
        "the store cannot be written: disk full",
        "source file:/a fails: no such file",
        "source file:/b is 2147483648 bytes behind",
    ]
    assert site.get("/healthz").status_code == 200


def test_other_methods_paths_and_bodies_are_refused(site: Site):
    assert site.get("/metrics", method="POST").status_code == 405
    assert site.get("/metrics", method="HEAD").status_code == 200
    assert site.get("/elsewhere").status_code == 404
    assert site.get("/metrics", content=b"x" * 1_000_000).status_code == 413
    assert site.get("/metrics", headers={"X-Long": "x" * 100_000}).status_code == 431


def test_a_health_that_cannot_be_told_is_an_error_and_not_the_end(site: Site):
    site.health = None  # type: ignore[assignment]
    assert site.get("/healthz").status_code == 500
    site.health = GOOD
    assert site.get("/healthz").status_code == 200


def test_nothing_is_said_about_the_server_itself(site: Site):
    assert "server" not in site.get("/healthz").headers
    assert site.get("/healthz").headers["Cache-Control"] == "no-store"


def test_stopping_takes_less_than_a_second_with_connections_open():
    site = Site()
    with socket.create_connection(("127.0.0.1", site.server.port)), httpx.Client() as client:
        client.get(f"http://127.0.0.1:{site.server.port}/healthz")
        began = time.monotonic()
        site.server.stop()
        assert time.monotonic() - began < 1


def test_an_address_that_is_taken_is_told_at_the_start(site: Site):
    with pytest.raises(OSError, match=r'http\.listen.*in use.*"" for no server'):
        Site(f"127.0.0.1:{site.server.port}")
