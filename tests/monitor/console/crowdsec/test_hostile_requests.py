"""Hostile bodies and queries on every page that speaks CrowdSec's Local API: each gets an answer, and none is a fault of ours."""

import gzip
import json
import socket
import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from whole import whole_daemon

from monitor.clock import now_us
from monitor.console.bounds import STRANGER_BYTES_MAX
from monitor.console.crowdsec.allowlists import CHECK_BYTES_MAX
from monitor.console.crowdsec.given import ALERTS_BYTES_MAX
from monitor.tokens import Role, new_token

DECISION = {
    "scope": "Ip",
    "value": "192.0.2.1",
    "type": "captcha",
    "duration": "4h",
    "scenario": "x",
    "origin": "cscli",
}
ALERT = {"scenario": "manual", "source": {"scope": "Ip", "value": "192.0.2.1"}, "decisions": [DECISION]}
BODIES = {
    "/v1/watchers/login": {"machine_id": "ann", "password": "guess", "scenarios": []},
    "/v1/watchers": {"machine_id": "ann", "password": "guess"},
    "/v1/alerts": [ALERT],
    "/v1/allowlists/check": {"targets": ["192.0.2.1", "2001:db8::/32"]},
    "/v1/usage-metrics": {"remediation_components": [{"name": "x"}]},
}
BOUNDS = {
    "/v1/watchers/login": STRANGER_BYTES_MAX,
    "/v1/alerts": ALERTS_BYTES_MAX,
    "/v1/allowlists/check": CHECK_BYTES_MAX,
}
ODD = [
    *(b"null", b"true", b"-1", b"1e999", b"9" * 5000, b"-0.0", b"NaN", b"[]", b"{}", b'""', b"[[[]]]", b'[{"a":1}]'),
    *(b'"\\u0000"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xe2\x80\xae\x1b[2J"'),
    *(b'"' + b"a" * 5000 + b'"', b'"%s"', b'"192.0.2.1%eth0"', b'"fe80::1%x"', b'"0.0.0.0/0"', b'"1.2.3.4/33"'),
    *(b'"throttle:1/0"', b'"throttle:99999999/99999999:x"', b'"function-ban:"', b'"ban"', b'"remove"', b'"captcha:x"'),
    *(b'"' + b"9" * 60 + b'h"', b'"-1h"', b'"0.0000001ns"', b'"106751991167300d"', b'"AppId"', b'"range"', b'"user"'),
    *(b"[" * 4000, b'{"a":' * 2500, b"[" * 4000 + b"]" * 4000, b'{"a":' * 2500 + b"1" + b"}" * 2500),
]
QUERIES = [
    *(
        "%00",
        "\xff",
        "%ff%fe",
        "%ed%a0%80",
        "a%00b",
        "9" * 400,
        "-1",
        "1e999",
        "٣",
        "%D9%A3",
        "fe80::1%25eth0",
        "0",
        "",
    ),
    *("2562047h47m16.854775807s", "9" * 60 + "h", "-1h", "true", "TRUE", "null", "[]", "%", "%zz", "a,b," * 40),
    *("0.0.0.0/0", "::/0", "1.2.3.4/33", "1.2.3.4,", "%2e%2e%2f", "%0d%0aX:1", "💥"),
]
NAMES = [
    *(
        "ip",
        "range",
        "scope",
        "scopes",
        "value",
        "type",
        "origins",
        "origin",
        "scenario",
        "scenarios_containing",
        "uuid",
    ),
    *("contains", "since", "until", "limit", "has_active_decision", "startup", "dedup", "with_content", "id", "%00"),
]
ANSWERED = {200, 201, 204, 307, 400, 401, 403, 404, 405, 409, 411, 413, 415, 422}


def places(value, path=()):
    """Where in a value something can stand, the whole of it first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places(one, (*path, name))


def replaced(value, path, odd):
    """The JSON of a value that has something odd at one place."""
    if not path:
        return odd
    if isinstance(value, dict):
        parts = [
            json.dumps(name).encode() + b":" + (replaced(one, path[1:], odd) if name == path[0] else encoded(one))
            for name, one in value.items()
        ]
        return b"{" + b",".join(parts) + b"}"
    return (
        b"["
        + b",".join(replaced(one, path[1:], odd) if at == path[0] else encoded(one) for at, one in enumerate(value))
        + b"]"
    )


def encoded(value):
    return json.dumps(value).encode()


class Hostile:
    """Somebody who may ask for everything here."""

    def __init__(self, daemon):
        self.daemon = daemon
        now = now_us()
        roles = [Role.RESPONDER, Role.BOUNCER]
        token, text = new_token("mallory", roles, created=now, expires=now + 10**12, actor="operator:bob")
        daemon.kept.store.add_token(token, "")
        daemon.front.guard._known._read()
        self.key = {"Authorization": f"Bearer {text}", "Content-Type": "application/json"}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{daemon.front.server.port}", timeout=20)

    def post(self, path, content, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=content, headers=self.key | named)

    def raw(self, method, target):
        """The status that a request with a target as it is gets."""
        with socket.create_connection(("127.0.0.1", self.daemon.front.server.port), timeout=20) as sent:
            head = f"Host: x\r\nAuthorization: {self.key['Authorization']}\r\nConnection: close\r\n\r\n"
            sent.sendall(f"{method} {target} HTTP/1.1\r\n".encode("utf-8", "surrogateescape") + head.encode())
            answer = b"".join(iter(lambda: sent.recv(1 << 16), b""))
        return int(answer.split()[1])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    with whole_daemon(tmp_path_factory.mktemp("hostile") / "data") as daemon:
        yield Hostile(daemon)


@pytest.mark.parametrize("path", BODIES)
def test_whatever_stands_in_a_body_is_answered(hostile, path):
    for place in places(BODIES[path]):
        for odd in ODD:
            status = hostile.post(path, replaced(BODIES[path], place, odd)).status_code
            assert status in ANSWERED, (place, odd[:40], status)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("charset", ["utf-16", "utf-8-sig", "latin-1", "utf-32"])
def test_a_body_in_another_encoding_is_answered(hostile, path, charset):
    text = json.dumps(BODIES[path], ensure_ascii=False).replace("ann", "änn")
    assert hostile.post(path, text.encode(charset)).status_code in ANSWERED


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("packing", ["gzip", "zstd", "br", "gzip, gzip", "\xff", ""])
def test_a_body_that_is_not_packed_as_it_says_is_answered(hostile, path, packing):
    for content in [b"", b"\x1f\x8b", gzip.compress(encoded(BODIES[path]))[:-9], encoded(BODIES[path])]:
        headers = {"Content_Encoding": packing.encode("latin-1")}
        assert hostile.post(path, content, **headers).status_code in ANSWERED


@pytest.mark.parametrize("path", BOUNDS)
def test_a_body_over_the_bound_of_its_page_is_refused_with_what_to_do_however_it_comes(hostile, path):
    most = BOUNDS[path]
    whole = encoded(BODIES[path])
    within, over = whole + b" " * (most - len(whole)), whole + b" " * (most - len(whole) + 1)
    assert hostile.post(path, within).status_code in {201, 200, 401}
    for content in [over, (over[at : at + 65_536] for at in range(0, len(over), 65_536))]:
        answer = hostile.post(path, content)
        assert (answer.status_code, answer.json()["message"]) == (
            413,
            f"a body of more than {most} bytes; send it in parts",
        )


def test_what_unpacks_to_more_alerts_than_a_body_may_have_is_refused(hostile):
    packed = gzip.compress(encoded([ALERT]) + b" " * ALERTS_BYTES_MAX)
    answer = hostile.post("/v1/alerts", packed, Content_Encoding="gzip")
    assert answer.status_code == 413
    assert "send it in parts" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/v1/alerts", "/v1/decisions", "/v1/decisions/stream", "/v1/allowlists")),
        *(("DELETE", path) for path in ("/v1/alerts", "/v1/decisions")),
        *(("POST", path) for path in ("/v1/alerts", "/v1/allowlists/check")),
    ],
)
def test_whatever_a_query_says_is_answered(hostile, method, path):
    for name in NAMES:
        for value in QUERIES:
            status = hostile.raw(method, f"{path}?{name}={value}")
            assert status in ANSWERED, (name, value)
    for query in ["&&&", "=", "ip", "ip=1.2.3.4&ip=::1", ";", "?" * 50, "&".join(f"a{at}=1" for at in range(1500))]:
        assert hostile.raw(method, f"{path}?{query}") in ANSWERED, query


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
def test_whatever_stands_in_a_path_is_answered(hostile, method):
    for path in ("/v1/alerts", "/v1/decisions", "/v1/allowlists", "/v1/allowlists/check", "/v1"):
        for value in QUERIES:
            assert hostile.raw(method, f"{path}/{value}") in ANSWERED, (path, value)
