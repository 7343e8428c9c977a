"""Requests that mean harm: each is answered, within its bounds of time and memory, and none brings out a fault of ours."""

import json
import resource
import socket
import time

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity
from monitor.console import bounds
from monitor.console.api import lists, pages
from monitor.stores import Turn, sqlite
from monitor.tokens import Role

TEXTS = [
    "' OR '1'='1",
    "1; DROP TABLE findings; --",
    '" UNION SELECT digest FROM tokens --',
    "%",
    "_" * 200,
    "\x00",
    "\u202e\ufeff😀" * 20,
    "../../../../etc/passwd",
    "{{7*7}}${jndi:ldap://x}",
    "a" * 256,
    "-1",
    "1e999",
    "NaN",
    "999999999w",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30",
]
PAGED = [operation for operation in pages.OPERATIONS if operation.paged]


@pytest.fixture(autouse=True)
def _without_a_fault(request):
    asked = [request.getfixturevalue(name) for name in ("site", "fresh") if name in request.fixturenames]
    yield
    for each in asked:
        assert "page_failed" not in each.log.getvalue()
        assert "Traceback" not in each.log.getvalue()


@pytest.mark.parametrize("operation", PAGED, ids=lambda each: each.name)
def test_whatever_is_written_into_a_filter_is_a_text_or_refused(site, operation):
    for name in [*(each.name for each in operation.filters), "limit", "cursor", "'; --"]:
        for text in TEXTS:
            answer = site.ask(operation.whole_path, params={name: text})
            assert answer.status_code in (200, 400), (name, text, answer.text)
            if answer.status_code == 200 and name not in ("since", "until"):
                assert answer.json()["items"] == []


@pytest.mark.parametrize(
    "text", ["%00", "%ED%A0%80", "%C0%AE%C0%AE", "..%2F..%2Fetc", "%F0%9F%98%80", "%", "a" * 300, "*"]
)
@pytest.mark.parametrize("name", ["findings", "apps", "rules", "playbooks", "allowlists"])
def test_whatever_is_written_for_an_id_is_none_of_ours(site, name, text):
    assert site.ask(f"/api/v1/{name}/{text}").status_code in (400, 404)


@pytest.mark.parametrize(
    "path", ["//api/v1/findings", "/api/v1/../../metrics/x", "/api/v1/findings/..", "/api//v1/tokens", "/API/v1/tokens"]
)
def test_paths_are_not_made_into_others(site, path):
    with socket.create_connection(("127.0.0.1", site.front.server.port), timeout=10) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {site.token(Role.ADMIN)}\r\n\r\n".encode())
        assert raw.recv(4096).split()[1] in (b"404", b"405")


def test_thousands_of_parameters_are_refused_like_one(site):
    begun = time.monotonic()
    assert site.ask("/api/v1/findings?" + "&".join("app=x" for _ in range(2000))).status_code == 400
    assert site.ask("/api/v1/findings?" + "&" * 12_000).status_code == 200
    assert time.monotonic() - begun < 5


def _bodies():
    deep = 30_000
    yield "deep lists", b"[" * deep + b"]" * deep
    yield "deep objects", b'{"act":' * 8_000 + b"1" + b"}" * 8_000
    yield "deep in a field", b'{"reason":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    yield "twice the same", b'{"reason":"a","reason":"b"}'
    yield "a large number", b'{"reason":"a","for_s":' + b"9" * 40_000 + b"}"
    yield "no number", b'{"reason":"a","for_s":NaN}'
    yield "half a pair", b'{"reason":"\\ud800"}'
    yield "not UTF-8", b'{"reason":"\xff\xfe"}'
    yield "nothing", b""
    yield "zeros", b"\x00" * 1000
    yield "a byte order mark", b'\xef\xbb\xbf{"reason":"a"}'


@pytest.mark.parametrize("body", [body for _, body in _bodies()], ids=[name for name, _ in _bodies()])
def test_a_body_that_is_none_is_answered(fresh, body):
    for path in ("pause", "decisions", "decisions/x/revoke", "allowlists"):
        begun = time.monotonic()
        answer = fresh.ask(f"/api/v1/{path}", method="POST", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 404, 422), answer.text
        assert time.monotonic() - begun < 5
        json.loads(answer.content.decode())


def test_large_bodies_are_refused_and_cost_no_memory(fresh):
    token = fresh.token(Role.ADMIN)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def flood():
        for _ in range(200):
            yield b" " * 65_536

    statuses = set()
    for _ in range(20):
        try:
            statuses.add(fresh.client.post("/api/v1/pause", content=flood(), headers=headers).status_code)
        except httpx.HTTPError:
            statuses.add("closed")
    assert statuses <= {413, "closed"}
    assert fresh.client.post("/api/v1/pause", content=b" " * 65_537, headers=headers).status_code == 413
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 40 * 1024
    assert fresh.get("pause") == {"stop": None}


def test_packed_bodies_are_refused_unseen(fresh):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (
        fresh.ask("/api/v1/pause", method="POST", content=b"\x1f\x8b" + b"\0" * 500, headers=headers).status_code == 415
    )


def test_header_bombs_are_refused(site):
    assert site.ask("/api/v1/findings", headers={"X-Long": "a" * 17_000}).status_code in (400, 431)
    many = {f"X-{number}": "a" * 10 for number in range(1400)}
    assert site.ask("/api/v1/findings", headers=many).status_code in (400, 431)
    assert site.ask("/api/v1/findings", headers={"Accept": "application/x-ndjson," * 400}).status_code == 200
    key = {"Idempotency-Key": "k" * 256, "Content-Type": "application/json"}
    body = b'{"scope":"Ip","value":"192.0.2.1","for_s":1,"reason":"x"}'
    assert site.ask("/api/v1/allowlists", method="POST", content=body, headers=key).status_code == 400


def test_a_body_that_comes_slowly_holds_up_nobody_and_ends(fresh, monkeypatch):
    monkeypatch.setattr(bounds, "REQUEST_S_MAX", 1.0)
    head = f"POST /api/v1/pause HTTP/1.1\r\nHost: x\r\nX-Api-Key: {fresh.token(Role.ADMIN)}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
    slow = [socket.create_connection(("127.0.0.1", fresh.front.server.port), timeout=10) for _ in range(20)]
    for raw in slow:
        raw.sendall(head.encode())
    begun = time.monotonic()
    assert fresh.get("pause") == {"stop": None}
    assert time.monotonic() - begun < 2
    for raw in slow:
        assert raw.recv(4096).split()[1] == b"408"
        raw.close()


def test_a_list_that_takes_too_long_is_given_up(fresh, monkeypatch):
    entity = Entity(Scope.APP, "wx1")
    evidence, rule = Evidence(count=1), RuleRef("r", "1")
    found = [
        Finding(
            id=f"{number:032x}",
            time=number,
            first_event=number,
            last_event=number,
            detector="sigma",
            kind="rule",
            rule=rule,
            entity=entity,
            severity=Severity.LOW,
            title="t",
            evidence=evidence,
        )
        for number in range(3000)
    ]
    fresh.store.commit(Turn(number=1, findings=found))
    monkeypatch.setattr(sqlite, "STEPS_BETWEEN_LOOKS", 100)
    monkeypatch.setattr(lists, "SECONDS_MAX", 0.0)
    assert "takes longer than 0 s" in fresh.refused("findings?severity=critical", 422)
    monkeypatch.setattr(lists, "SECONDS_MAX", 10.0)
    assert fresh.get("findings?severity=critical")["items"] == []


def test_when_too_many_wait_for_their_turn_others_are_told_to_come_again(fresh, monkeypatch):
    monkeypatch.setattr(pages, "WAITING_MAX", 0)
    answer = fresh.ask("/api/v1/findings")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=300), st.binary(max_size=200).map(lambda raw: raw.hex())))
def test_no_text_is_a_cursor_by_accident(site, text):
    assert site.ask("/api/v1/findings", params={"cursor": text}).status_code == 400


def test_a_cursor_that_was_made_up_is_a_place_like_any_other(site):
    import base64  # noqa: PLC0415 - beside what it is for

    for content in (
        ["findings", [2**63, "x"], None, None],
        ["findings", ["x", 1], None, None],
        ["findings", [1], None, None],
        ["findings", [[[]], {}], None, None],
        ["findings", [1, "x"], 2**70, None],
        {"name": "findings"},
    ):
        text = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
        assert site.ask("/api/v1/findings", params={"cursor": text}).status_code == 400
    valid = base64.urlsafe_b64encode(json.dumps(["findings", [2**62, "' OR 1=1 --"], None, None]).encode()).decode()
    assert site.ask("/api/v1/findings", params={"cursor": valid}).status_code == 200
