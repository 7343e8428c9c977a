"""The daemon's own pages over HTTP."""

from __future__ import annotations

import socket
import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.config import ConfigError, load_config
from monitor.console import protocol
from monitor.console.health import Check, Health
from monitor.telemetry.happenings import LateEvents
from monitor.tokens import Role


def test_the_page_of_metrics_parses_and_counts(site):
    site.telemetry.emit(LateEvents(source="stdin:", events=3))
    page = site.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(page.text)}
    assert page.headers["Content-Type"].startswith("text/plain")
    assert families["miniwatch_events_late"].samples[0].value == 3
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    assert site.get("/metrics", headers=wanted).text.endswith("# EOF\n")


def test_the_pipeline_lives_while_its_heart_beats(site):
    assert (site.get("/healthz").status_code, site.get("/healthz").json()["status"]) == (200, "alive")
    site.health = Health(heartbeat_age_s=31.0)
    assert (site.get("/healthz").status_code, site.get("/healthz").json()["status"]) == (503, "dead")


def test_all_reasons_for_not_being_ready_are_given(site):
    assert site.get("/readyz").json() == {"status": "ready", "reasons": []}
    site.health = Health(
        heartbeat_age_s=1.0,
        store_stalled="disk full",
        failing_sources={"file:/a": "no such file"},
        lag_bytes={"file:/b": 2**31, "file:/c": 5, "stdin:": None},
        others=((Check.START, "recovering"),),
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


AMISS = {
    Check.START: {"others": ((Check.START, "recovering"),)},
    Check.STOP: {"others": ((Check.STOP, "stopping"),)},
    Check.LIFE: {"heartbeat_age_s": 31.0},
    Check.STORE: {"store_stalled": "disk full"},
    Check.SOURCES: {"failing_sources": {"file:/a": "no such file"}},
    Check.LAG: {"lag_bytes": {"file:/b": 2**31}},
    Check.RULES: {"others": ((Check.RULES, "rule r is suspended"),)},
    Check.MODELS: {"others": ((Check.MODELS, "model m cannot be opened"),)},
}


@pytest.mark.parametrize("check", Check)
def test_whoever_asks_may_leave_out_what_does_not_matter_to_him(site, check):
    site.health = Health(**{"heartbeat_age_s": 1.0, **AMISS[check]})
    every = site.get("/readyz")
    assert (every.status_code, len(every.json()["reasons"])) == (503, 1)
    but_this = "&".join(f"exclude={one}" for one in Check if one is not check)
    assert site.get(f"/readyz?{but_this}").json() == every.json()
    without = site.get(f"/readyz?exclude={check}")
    said = {"status": "ready", "reasons": [], "excluded": every.json()["reasons"]}
    assert (without.status_code, without.json()) == (200, said)


def test_what_is_no_check_cannot_be_left_out(site):
    answer = site.get("/readyz?exclude=lag&exclude=source")
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        "exclude=source: there is no such check; there are start, stop, life, store, sources, lag, rules, models"
    )


def test_other_methods_paths_and_bodies_are_refused(site):
    assert site.get("/metrics", method="POST").status_code == 405
    assert site.get("/metrics", method="HEAD").status_code == 200
    assert site.get("/elsewhere").json() == {"message": "not found"}
    assert site.get("/metrics", content=b"x" * 1_000_000).status_code == 413
    assert site.get("/metrics", headers={"X-Long": "x" * 100_000}).status_code == 431


def test_a_fault_is_told_to_the_log_and_not_to_strangers(site):
    site.health = None
    answer = site.get("/healthz")
    assert (answer.status_code, list(answer.json())) == (500, ["message"])
    assert "AttributeError" not in answer.text
    assert "AttributeError" in site.log.getvalue()
    site.health = Health(heartbeat_age_s=0.1)
    assert site.get("/healthz").status_code == 200


def test_nothing_is_said_about_the_server_itself(site):
    assert "server" not in site.get("/healthz").headers
    assert site.get("/healthz").headers["Cache-Control"] == "no-store"


def test_stopping_takes_less_than_a_second_with_connections_open(site):
    with socket.create_connection(("127.0.0.1", site.front.server.port)), httpx.Client() as client:
        client.get(f"{site.url}/healthz")
        began = time.monotonic()
        site.front.stop()
        assert time.monotonic() - began < 1


def test_an_address_that_is_taken_is_told_at_the_start(site, make_site):
    with pytest.raises(OSError, match=r'http\.listen.*in use.*"" for no server'):
        make_site(listen=f"127.0.0.1:{site.front.server.port}")


def test_reasons_and_metrics_are_for_all_where_somebody_said_so(make_site):
    site = make_site(listen="0.0.0.0:0", listen_anywhere=True)
    assert "reasons" in site.get("/readyz").json()
    assert site.get("/metrics").status_code == 200


def test_an_address_that_others_reach_needs_tls_or_a_word():
    with pytest.raises(ConfigError) as refused:
        load_config(None, {}, {"http.listen": "0.0.0.0:9464"})
    (problem,) = refused.value.problems
    assert problem.place == "command line http.listen"
    assert "http.tls_certificate" in problem.remedy
    assert "http.listen_anywhere = true" in problem.remedy


def test_a_head_that_does_not_come_in_time_ends_the_connection(site, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S_MAX", 0.2)
    for begun in (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection(("127.0.0.1", site.front.server.port), timeout=5) as slow:
            slow.sendall(begun)
            assert slow.recv(1) == b""


def _said(site, raw: bytes) -> bytes:
    """What the server answers to bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", site.front.server.port), timeout=3) as connection:
        connection.sendall(raw)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/watchers/login HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"POST /v1/watchers/login HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
        b"POST /v1/watchers/login HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 0\r\n",
        b"POST /v1/watchers/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ],
)
def test_a_body_whose_end_others_may_see_elsewhere_ends_the_connection(site, head):
    answer = _said(
        site, head + b"\r\n3\r\nabc\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_that_breaks_off_after_its_answer_is_no_fault(site):
    with socket.create_connection(("127.0.0.1", site.front.server.port), timeout=3) as connection:
        connection.sendall(b"POST /v1/watchers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        answer = b""
        while not answer.endswith(b"}\n"):
            answer += connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 422 ")
        connection.sendall(b"ZZ\r\n")
        assert _is_closed(connection)
    assert "Fatal" not in site.log.getvalue()


def test_asking_for_another_protocol_changes_nothing(site, caplog):
    answer = _said(site, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert caplog.text == ""


def test_headers_of_one_name_count_each(site):
    assert _said(site, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: 1234567\r\n" * 3000 + b"\r\n").startswith(
        b"HTTP/1.1 431"
    )


def test_connections_beyond_the_bound_are_closed_at_once(site, monkeypatch):
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", 3)
    held = [socket.create_connection(("127.0.0.1", site.front.server.port), timeout=5) for _ in range(3)]
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", site.front.server.port), timeout=5) as further:
        assert _is_closed(further)
    for one in held:
        one.close()
    time.sleep(0.1)
    assert site.get("/healthz").status_code == 200


def _is_closed(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_viewer_may_see_what_strangers_may_not(site):
    assert site.get("/healthz", site.token(Role.VIEWER)).status_code == 200


def test_a_body_does_not_wait_behind_its_head(site):
    listening = site.front.server._socket
    assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0  # what it accepts inherits it


def test_why_acts_do_not_begin_is_told_and_is_no_reason_to_send_no_events(site):
    site.health = Health(heartbeat_age_s=0.0, held=lambda: ("acts are paused by operator:ann: Something is off",))
    answer = site.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["held"] == ["acts are paused by operator:ann: Something is off"]
